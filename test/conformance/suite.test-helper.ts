/** What the tests of the `suite-*` files share: our target as a process of its own, and commands by hand over TCP. */
import assert from 'node:assert/strict'
import { startConfigured } from '../support/configured.ts'
import type { CommandResult } from '../support/raw-command.ts'
import { type LoginOptions, RawInitiator } from '../support/raw-initiator.ts'
import type { Scratch } from '../support/scratch.ts'

export const TARGET = 'iqn.2026-11.dev.example:suite'
export const BLOCK_BYTES = 512

export const Status = { good: 0x00, checkCondition: 0x02, reservationConflict: 0x18 } as const

/** Sense key and additional sense code of a CHECK CONDITION; of any other status, that. */
export const senseOf = ({ status, senseKey, asc }: CommandResult): string =>
  status === Status.checkCondition
    ? `${senseKey.toString(16)}/${asc.toString(16).padStart(4, '0')}`
    : `status ${status}`

export interface SuiteTarget {
  /** The first portal's; all are on 127.0.0.1. */
  readonly port: number
  /** Ports of portal groups 1 and 2. */
  readonly ports: readonly number[]
  /** Logs in, and hears what waits for the nexus first (power on). Closed at the end of the test. */
  logIn(options?: LoginOptions & { readonly port?: number }): Promise<RawInitiator>
}

/** A target with these LUNs, behind two portal groups. */
export async function startSuiteTarget(
  scratch: Scratch,
  luns: Readonly<Record<number, object>>,
  more: { readonly target?: object; readonly limits?: object } = {},
): Promise<SuiteTarget> {
  const { subject, ports } = await startConfigured(scratch, {
    portals: [{ listen: '127.0.0.1:0' }, { listen: '127.0.0.1:0', group: 2 }],
    targets: { [TARGET]: { luns, ...more.target } },
    ...(more.limits !== undefined && { limits: more.limits }),
  })
  return suiteTargetAt(scratch, subject.port, ports)
}

/** The target that is served at these ports. */
export function suiteTargetAt(scratch: Scratch, port: number, ports: readonly number[]): SuiteTarget {
  return {
    port,
    ports,
    async logIn({ port: to = port, ...options } = {}) {
      const initiator = await RawInitiator.open(to, { target: TARGET, ...options })
      scratch.defer(() => initiator.close())
      await heedAttentions(initiator)
      return initiator
    },
  }
}

/** More than any test causes for one nexus. */
const ATTENTIONS = 8
const TEST_UNIT_READY = new Uint8Array(6)
const UNIT_ATTENTION = 6

/** TEST UNIT READY until it is GOOD: additional sense codes of the unit attentions on the way. */
export async function heedAttentions(initiator: RawInitiator, lun = 0): Promise<number[]> {
  const codes: number[] = []
  while (codes.length <= ATTENTIONS) {
    const result = await initiator.command(TEST_UNIT_READY, { lun })
    if (result.status === Status.good) return codes
    assert.equal(result.senseKey, UNIT_ATTENTION, senseOf(result))
    codes.push(result.asc)
  }
  return assert.fail(`${codes.length} unit attentions, and no end`)
}

/** READ and WRITE (16) and the like: flags in byte 1, LBA (8), TRANSFER LENGTH (4). */
export function cdb16(opcode: number, lba: number, blocks: number, flags = 0): Buffer {
  const cdb = Buffer.alloc(16)
  cdb[0] = opcode
  cdb[1] = flags
  cdb.writeBigUInt64BE(BigInt(lba), 2)
  cdb.writeUInt32BE(blocks, 10)
  return cdb
}

export const READ_16 = 0x88
export const WRITE_16 = 0x8a

export const blocksOf = (count: number, fill: number | string): Buffer =>
  Buffer.alloc(count * BLOCK_BYTES, fill)

export async function write(initiator: RawInitiator, lba: number, data: Buffer): Promise<void> {
  const result = await initiator.command(cdb16(WRITE_16, lba, data.length / BLOCK_BYTES), { write: data })
  assert.equal(senseOf(result), 'status 0', `WRITE at ${lba}`)
}

export async function read(initiator: RawInitiator, lba: number, blocks: number): Promise<Buffer> {
  const result = await initiator.command(cdb16(READ_16, lba, blocks), { read: blocks * BLOCK_BYTES })
  assert.equal(senseOf(result), 'status 0', `READ at ${lba}`)
  return result.data
}

/** COMPARE AND WRITE: NUMBER OF LOGICAL BLOCKS in byte 13 (SBC-3 §5.2). Sends `expected`, then `replacement`. */
export function compareAndWrite(
  initiator: RawInitiator,
  lba: number,
  expected: Buffer,
  replacement: Buffer,
): Promise<CommandResult> {
  const blocks = expected.length / BLOCK_BYTES
  return initiator.command(cdb16(0x89, lba, blocks), { write: Buffer.concat([expected, replacement]) })
}

export async function inquiry(initiator: RawInitiator, page: number, lun = 0): Promise<Buffer> {
  const result = await initiator.command([0x12, 1, page, 0x10, 0, 0], { read: 4096, lun })
  assert.equal(senseOf(result), 'status 0', `INQUIRY ${page.toString(16)}h`)
  return result.data
}
