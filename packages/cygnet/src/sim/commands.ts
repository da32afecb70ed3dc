import { blockCdb, inquiryCdb } from '../scsi/cdb.ts'
import { set16, set32, set64 } from '../scsi/fields.ts'
import { Opcode, ServiceAction } from '../scsi/opcodes.ts'
import { compareAndWriteCdb, unmapCdb, unmapList } from '../scsi/provisioning.ts'
import type { ScsiRequestOptions } from '../session/initiator-role/scsi-request.ts'
import { SECTOR_BYTES } from './disk.ts'
import { fillPattern, type ModelDisk } from './model.ts'
import type { Step } from './steps.ts'

/** A step that is one SCSI command. */
export type CommandStep = Extract<Step, { group: 'data' }>
type RangeStep = Extract<CommandStep, { blocks: number }>

const FUA = 0x08
const BYTCHK_1 = 0x02
const INQUIRY_BYTES = 96

/** A command as it is sent, and what it does to the sectors of its range. */
export interface Command {
  readonly request: ScsiRequestOptions
  readonly kind: CommandStep['kind']
  readonly lun: number
  readonly sector: number
  readonly sectors: number
  /** Number of the write that it makes; undefined where it writes nothing. */
  readonly writes: number | undefined
  readonly isDurable: boolean
  /** Its data shows what was on the disk: as it is, or combined with what was sent. */
  readonly reads: 'data' | 'difference' | undefined
  /** The write that VERIFY or COMPARE AND WRITE expects to find. */
  readonly expects: number | undefined
}

const NOTHING = {
  sector: 0,
  sectors: 0,
  writes: undefined,
  isDurable: false,
  reads: undefined,
  expects: undefined,
}

export interface UnitTraits {
  readonly blockBytes: number
  readonly writeCache: boolean
}

export function makeCommand(
  step: CommandStep,
  model: ModelDisk,
  { blockBytes, writeCache }: UnitTraits,
): Command {
  const { kind, lun } = step
  const tagged = { lun, attribute: step.attribute, priority: step.priority, replay: 'safe' } as const
  if (kind === 'flush')
    return { ...NOTHING, kind, lun, request: { ...tagged, cdb: blockCdb(Opcode.synchronizeCache10, 0, 0) } }
  if (kind === 'inquiry') {
    const dataIn = new Uint8Array(INQUIRY_BYTES)
    return { ...NOTHING, kind, lun, request: { ...tagged, cdb: inquiryCdb(INQUIRY_BYTES), dataIn } }
  }
  const lengthBytes = step.blocks * blockBytes
  const sector = (step.lba * blockBytes) / SECTOR_BYTES
  const range = { ...NOTHING, kind, lun, sector, sectors: lengthBytes / SECTOR_BYTES }
  switch (kind) {
    case 'read': {
      const cdb = blockCdb(step.lba % 2 ? Opcode.read10 : Opcode.read16, step.lba, step.blocks)
      const dataIn = new Uint8Array(lengthBytes)
      return { ...range, reads: 'data', request: { ...tagged, cdb, dataIn } }
    }
    case 'write': {
      const writes = model.takeNumber()
      const data = patterned(lengthBytes, sector, writes)
      const cdb = blockCdb(Opcode.write10, step.lba, step.blocks, step.fua ? FUA : 0)
      return {
        ...range,
        writes,
        isDurable: step.fua || !writeCache,
        request: { ...tagged, cdb, dataOut: slicesOf(data, step.slices) },
      }
    }
    case 'verify': {
      const expects = model.possible(sector)[0] ?? 0
      const data = patterned(lengthBytes, sector, expects)
      const cdb = blockCdb(Opcode.verify10, step.lba, step.blocks, BYTCHK_1)
      return { ...range, expects, request: { ...tagged, cdb, dataOut: [data] } }
    }
    case 'unmap':
      return {
        ...range,
        writes: 0,
        request: { ...tagged, cdb: unmapCdb(), dataOut: [unmapList(step.lba, step.blocks)] },
      }
    case 'compareAndWrite': {
      const expects = model.possible(sector).at(-1) ?? 0
      const writes = model.takeNumber()
      const dataOut = [patterned(lengthBytes, sector, expects), patterned(lengthBytes, sector, writes)]
      // Not twice: the second time it finds what the first one wrote.
      const cdb = compareAndWriteCdb(step.lba, step.blocks)
      return { ...range, writes, expects, request: { ...tagged, cdb, dataOut, replay: 'never' } }
    }
    case 'exchange': {
      const writes = model.takeNumber()
      const dataOut = [patterned(lengthBytes, sector, writes)]
      const request = { ...tagged, cdb: exchangeCdb(step), dataOut, dataIn: new Uint8Array(lengthBytes) }
      return { ...range, writes, reads: 'difference', request }
    }
  }
}

/** XDWRITEREAD (SBC-3 §5.42, §5.43). */
function exchangeCdb(step: Extract<RangeStep, { kind: 'exchange' }>): Uint8Array {
  if (!step.isLong) return blockCdb(Opcode.xdWriteRead10, step.lba, step.blocks)
  const cdb = new Uint8Array(32)
  cdb[0] = Opcode.variableLength
  cdb[7] = 24
  set16(cdb, 8, ServiceAction.xdWriteRead32)
  set64(cdb, 12, step.lba)
  set32(cdb, 28, step.blocks)
  return cdb
}

function patterned(lengthBytes: number, sector: number, number: number): Uint8Array {
  const bytes = new Uint8Array(lengthBytes)
  fillPattern(bytes, sector, number)
  return bytes
}

/** Data in pieces of odd sizes. */
function slicesOf(bytes: Uint8Array, count: number): Uint8Array[] {
  const slices: Uint8Array[] = []
  const size = Math.ceil(bytes.length / count) | 1
  for (let at = 0; at < bytes.length; at += size) slices.push(bytes.subarray(at, at + size))
  return slices
}

/** What a command that succeeded has shown to be on the disk. */
export function shownBy({ request, reads }: Command): Uint8Array {
  const { dataIn = new Uint8Array(0), dataOut = [] } = request
  const [sent = dataIn] = dataOut
  if (reads === undefined) return sent
  return reads === 'data' ? dataIn : dataIn.map((byte, index) => byte ^ (sent[index] as number))
}
