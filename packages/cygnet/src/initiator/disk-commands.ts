import { blockCdb } from '../scsi/cdb.ts'
import { Opcode } from '../scsi/opcodes.ts'
import {
  compareAndWriteCdb,
  decodeLbaStatus,
  getLbaStatusCdb,
  type LbaStatus,
  unmapCdb,
  unmapList,
} from '../scsi/provisioning.ts'
import type { ScsiStatusResult } from '../session/initiator-role/scsi-request.ts'
import { BlockDeviceError } from './block-device-error.ts'
import type { ScsiUnit, SubmittedCommand, UnitCommand } from './scsi-unit.ts'

/** FUA in byte 1 of READ and WRITE; UNMAP in that of WRITE SAME. */
const FUA = 0x08
const UNMAP = 0x08
/** What the fields of 10-byte commands hold. */
const LBA_10_END = 2 ** 32
const BLOCKS_10_MAX = 0xffff
const STATUS_BYTES = 8 + 16 * 1024

const NO_ABORT = {}
const abortedBy = (signal: AbortSignal | undefined): { signal?: AbortSignal } =>
  signal === undefined ? NO_ABORT : { signal }

/** The short form of a command where its fields suffice: some old targets know no other. */
const form = <T>(lba: number, blocks: number, short: T, long: T): T =>
  lba + blocks <= LBA_10_END && blocks <= BLOCKS_10_MAX ? short : long

/** One SCSI command for each method, of whole blocks. All throw `BlockDeviceError`. */
export class DiskCommands {
  readonly #unit: ScsiUnit
  readonly #blockBytes: number

  constructor(unit: ScsiUnit, blockBytes: number) {
    this.#unit = unit
    this.#blockBytes = blockBytes
  }

  /** READ: fills `into`. */
  async read(lba: number, into: Uint8Array, signal: AbortSignal | undefined): Promise<void> {
    const command = this.readCommand(lba, into)
    const wrong = wrongAnswer(command, await this.#unit.run({ ...command, ...abortedBy(signal) }))
    if (wrong) throw wrong
  }

  /** WRITE; with `fua` on stable storage when it ends. */
  async write(lba: number, bytes: Uint8Array, fua: boolean, signal: AbortSignal | undefined): Promise<void> {
    const command = this.writeCommand(lba, bytes, fua)
    const wrong = wrongAnswer(command, await this.#unit.run({ ...command, ...abortedBy(signal) }))
    if (wrong) throw wrong
  }

  readCommand(lba: number, into: Uint8Array): SubmittedCommand {
    const blocks = into.length / this.#blockBytes
    const cdb = blockCdb(form(lba, blocks, Opcode.read10, Opcode.read16), lba, blocks)
    const offset = lba * this.#blockBytes
    return { what: 'READ', lun: this.#unit.lun, cdb, dataIn: into, offset, replay: 'safe' }
  }

  writeCommand(lba: number, bytes: Uint8Array, fua: boolean): SubmittedCommand {
    const blocks = bytes.length / this.#blockBytes
    const cdb = blockCdb(form(lba, blocks, Opcode.write10, Opcode.write16), lba, blocks, fua ? FUA : 0)
    const offset = lba * this.#blockBytes
    return { what: 'WRITE', lun: this.#unit.lun, cdb, dataOut: [bytes], offset, replay: 'safe' }
  }

  /** SYNCHRONIZE CACHE of a range; zero blocks mean up to the end. */
  async synchronizeCache(lba: number, blocks: number, signal: AbortSignal | undefined): Promise<void> {
    const opcode = form(lba, blocks, Opcode.synchronizeCache10, Opcode.synchronizeCache16)
    await this.#unit.run({
      what: 'SYNCHRONIZE CACHE',
      cdb: blockCdb(opcode, lba, blocks),
      replay: 'safe',
      ...abortedBy(signal),
    })
  }

  /** UNMAP of at most 2^32 - 1 blocks. */
  async unmap(lba: number, blocks: number, signal: AbortSignal | undefined): Promise<void> {
    const dataOut = [unmapList(lba, blocks)]
    await this.#send('UNMAP', lba, { cdb: unmapCdb(), dataOut, replay: 'safe', ...abortedBy(signal) })
  }

  /** WRITE SAME: `blocks` times `block`, with `mayUnmap` released where that reads the same. */
  async writeSame(
    lba: number,
    blocks: number,
    block: Uint8Array,
    mayUnmap: boolean,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const opcode = mayUnmap ? Opcode.writeSame16 : form(lba, blocks, Opcode.writeSame10, Opcode.writeSame16)
    const cdb = blockCdb(opcode, lba, blocks, mayUnmap ? UNMAP : 0)
    await this.#send('WRITE SAME', lba, { cdb, dataOut: [block], replay: 'safe', ...abortedBy(signal) })
  }

  /** COMPARE AND WRITE. Done twice it would fail the second time, so it is never replayed. */
  async compareAndWrite(
    lba: number,
    expected: Uint8Array,
    bytes: Uint8Array,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const cdb = compareAndWriteCdb(lba, bytes.length / this.#blockBytes)
    const dataOut = [expected, bytes]
    await this.#send('COMPARE AND WRITE', lba, { cdb, dataOut, replay: 'never', ...abortedBy(signal) })
  }

  /** GET LBA STATUS from a block on: at least one run, that begins there or before. */
  async lbaStatus(lba: number, signal: AbortSignal | undefined): Promise<LbaStatus[]> {
    const dataIn = new Uint8Array(STATUS_BYTES)
    const { dataInBytes } = await this.#unit.run({
      what: 'GET LBA STATUS',
      cdb: getLbaStatusCdb(lba, STATUS_BYTES),
      dataIn,
      offset: lba * this.#blockBytes,
      replay: 'safe',
      ...abortedBy(signal),
    })
    const runs = decodeLbaStatus(dataIn.subarray(0, dataInBytes)).filter(({ blocks }) => blocks > 0)
    if (runs.length === 0)
      throw contradiction('GET LBA STATUS', 'there is no run in it', lba * this.#blockBytes)
    return runs
  }

  /** A command with data for the unit, all of which it must have taken. */
  async #send(
    what: string,
    lba: number,
    command: {
      cdb: Uint8Array
      dataOut: readonly Uint8Array[]
      replay: 'safe' | 'never'
      signal?: AbortSignal
    },
  ): Promise<ScsiStatusResult> {
    const unitCommand = { what, offset: lba * this.#blockBytes, ...command }
    const answer = await this.#unit.run(unitCommand)
    const wrong = wrongAnswer(unitCommand, answer)
    if (wrong) throw wrong
    return answer
  }
}

/** What is wrong with the good answer to a command that fills its `dataIn` or takes all of its `dataOut`. */
export function wrongAnswer(
  { what, offset = 0, dataIn }: UnitCommand,
  { dataInBytes, dataInResidualBytes, dataOutResidualBytes }: ScsiStatusResult,
): BlockDeviceError | undefined {
  if (dataIn !== undefined && (dataInBytes !== dataIn.length || dataInResidualBytes !== 0))
    return contradiction(what, `${dataInBytes} bytes came, of ${dataIn.length}`, offset)
  if (dataOutResidualBytes > 0)
    return contradiction(what, `the device left ${dataOutResidualBytes} bytes of the data`, offset)
  return undefined
}

const contradiction = (what: string, detail: string, offset: number): BlockDeviceError =>
  new BlockDeviceError(
    'PROTOCOL_ERROR',
    `${what} ended well, but ${detail}: update or report the target's software.`,
    offset,
  )
