import { get8, get16, get24, get32, get64, set16, set24, set32, set64 } from './fields.ts'
import { cdbLength, Opcode, ServiceAction } from './opcodes.ts'

const VARIABLE_LENGTH = Opcode.variableLength

/*
 * Variable length CDB (SPC-5 §4.2.3): 0 OPERATION CODE (7Fh)   1 CONTROL   7 ADDITIONAL CDB LENGTH   8 SERVICE ACTION (2)
 * A block command's, of 32 bytes (SBC-3 §5.43):
 *   6 GROUP NUMBER(4-0)   10 DPO(4) FUA(3) …   12 LOGICAL BLOCK ADDRESS (8)   28 TRANSFER LENGTH (4)
 */
const isVariable = (cdb: Uint8Array): boolean => cdb[0] === VARIABLE_LENGTH

/** Bytes of a CDB as it says itself; 0 where its group has no fixed length. */
export const lengthOfCdb = (cdb: Uint8Array): number =>
  isVariable(cdb) ? 8 + get8(cdb, 7) : cdbLength(get8(cdb, 0))

/** Which command it is, where the opcode does not say. */
export const cdbServiceAction = (cdb: Uint8Array): number =>
  isVariable(cdb) ? get16(cdb, 8) : get8(cdb, 1) & 0x1f

/** The byte of CONTROL; -1 where it is not known. */
export const cdbControlAt = (opcode: number): number =>
  opcode === VARIABLE_LENGTH ? 1 : cdbLength(opcode) - 1

/** NACA in CONTROL: a CHECK CONDITION of this command establishes ACA (SAM-5 §5.9). */
export const NACA = 0x04

export const hasNaca = (cdb: Uint8Array): boolean => (get8(cdb, cdbControlAt(get8(cdb, 0))) & NACA) !== 0

const PERSISTENT_RESERVE_OUT = 0x5f
const PREEMPT_AND_ABORT = 0x05

/** The one command that ends another nexus's ACA condition (SAM-5 §5.9.4). */
export const isPreemptAndAbort = (cdb: Uint8Array): boolean =>
  cdb[0] === PERSISTENT_RESERVE_OUT && (get8(cdb, 1) & 0x1f) === PREEMPT_AND_ABORT

/** The byte with DPO, FUA and what is beside them, in commands of more than six bytes. */
export const cdbFlagsAt = (cdb: Uint8Array): number => (isVariable(cdb) ? 10 : 1)

/**
 * LBA of a block command of 6, 10, 12, 16 or 32 bytes. A 64-bit LBA past 2^53 comes back inexact but never below 2^53:
 * check it against the capacity before using it.
 */
export function cdbLba(cdb: Uint8Array): number {
  switch (cdbLength(get8(cdb, 0))) {
    case 6:
      return get24(cdb, 1) & 0x1f_ffff
    case 16:
      return get64(cdb, 2)
    case 0:
      return get64(cdb, 12)
    default:
      return get32(cdb, 2)
  }
}

/** TRANSFER LENGTH (or the field in its place) in blocks. In a 6-byte CDB zero means 256 (SBC-4 §5.15). */
export function cdbBlocks(cdb: Uint8Array): number {
  switch (cdbLength(get8(cdb, 0))) {
    case 6:
      return get8(cdb, 4) || 256
    case 10:
      return get16(cdb, 7)
    case 12:
      return get32(cdb, 6)
    case 0:
      return get32(cdb, 28)
    default:
      return get32(cdb, 10)
  }
}

const BLOCKS_AT: Readonly<Record<number, number>> = { 0: 28, 6: 4, 10: 7, 12: 6, 16: 10 }

/** The byte where TRANSFER LENGTH begins, for a field pointer. */
export const cdbBlocksAt = (cdb: Uint8Array): number => BLOCKS_AT[cdbLength(get8(cdb, 0))] ?? 0

// What an initiator sends.

const newCdb = (opcode: Opcode): Uint8Array => {
  const cdb = new Uint8Array(16)
  cdb[0] = opcode
  return cdb
}

/** A block command of the opcode's own length. `flags` is CDB byte 1 (FUA is 08h, DPO 10h). */
export function blockCdb(opcode: Opcode, lba: number, blocks: number, flags = 0): Uint8Array {
  const cdb = newCdb(opcode)
  switch (cdbLength(opcode)) {
    case 6:
      set24(cdb, 1, lba)
      cdb[4] = blocks & 0xff
      return cdb
    case 10:
      set32(cdb, 2, lba)
      set16(cdb, 7, blocks)
      break
    case 12:
      set32(cdb, 2, lba)
      set32(cdb, 6, blocks)
      break
    default:
      set64(cdb, 2, lba)
      set32(cdb, 10, blocks)
  }
  cdb[1] = flags
  return cdb
}

/** Without `page`: standard INQUIRY data; with it: that vital product data page. */
export function inquiryCdb(allocationBytes: number, page?: number): Uint8Array {
  const cdb = newCdb(Opcode.inquiry)
  if (page !== undefined) {
    cdb[1] = 0x01
    cdb[2] = page
  }
  set16(cdb, 3, allocationBytes)
  return cdb
}

export const testUnitReadyCdb = (): Uint8Array => newCdb(Opcode.testUnitReady)

export const readCapacity10Cdb = (): Uint8Array => newCdb(Opcode.readCapacity10)

export function readCapacity16Cdb(allocationBytes = 32): Uint8Array {
  const cdb = newCdb(Opcode.serviceActionIn16)
  cdb[1] = ServiceAction.readCapacity16
  set32(cdb, 10, allocationBytes)
  return cdb
}

export function requestSenseCdb(allocationBytes: number, descriptorFormat: boolean): Uint8Array {
  const cdb = newCdb(Opcode.requestSense)
  cdb[1] = descriptorFormat ? 0x01 : 0
  cdb[4] = allocationBytes
  return cdb
}

/** `selectReport`: 0 without, 1 only, 2 with well known logical units (SPC-5 §6.33). */
export function reportLunsCdb(allocationBytes: number, selectReport = 0): Uint8Array {
  const cdb = newCdb(Opcode.reportLuns)
  cdb[2] = selectReport
  set32(cdb, 6, allocationBytes)
  return cdb
}

/** `pageControl`: 0 current, 1 changeable, 2 default, 3 saved values (SPC-5 §6.13). */
export function modeSense10Cdb(
  page: number,
  subpage: number,
  pageControl: number,
  allocationBytes: number,
): Uint8Array {
  const cdb = newCdb(Opcode.modeSense10)
  cdb[2] = (pageControl << 6) | page
  cdb[3] = subpage
  set16(cdb, 7, allocationBytes)
  return cdb
}
