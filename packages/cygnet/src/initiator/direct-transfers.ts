import type { ScsiStatusResult } from '../session/initiator-role/scsi-request.ts'
import { type DiskCommands, wrongAnswer } from './disk-commands.ts'
import { type RangeOrder, Turn } from './range-order.ts'
import type { ScsiUnit, SubmittedCommand, UnitCommandEnd } from './scsi-unit.ts'

/** What settles the promise of a request. */
type Resolve = (bytes: Uint8Array) => void
type Reject = (reason: unknown) => void

/** A request that is one READ or WRITE: its place in the order, and where its answer goes. */
class DirectTransfer extends Turn implements UnitCommandEnd {
  readonly #owner: DirectTransfers
  readonly #bytes: Uint8Array
  readonly #resolve: Resolve
  readonly #reject: Reject
  #command: SubmittedCommand | undefined

  constructor(
    owner: DirectTransfers,
    start: number,
    bytes: Uint8Array,
    isWrite: boolean,
    resolve: Resolve,
    reject: Reject,
  ) {
    super(start, start + bytes.length, isWrite)
    this.#owner = owner
    this.#bytes = bytes
    this.#resolve = resolve
    this.#reject = reject
  }

  override begin(): void {
    const { commands, unit, blockBytes } = this.#owner
    const lba = this.start / blockBytes
    const command = this.isWrite
      ? commands.writeCommand(lba, this.#bytes, false)
      : commands.readCommand(lba, this.#bytes)
    this.#command = command
    unit.submit(command, this)
  }

  answered(answer: ScsiStatusResult): void {
    const wrong = this.#command && wrongAnswer(this.#command, answer)
    this.#owner.order.leave(this)
    if (wrong) this.#reject(wrong)
    else this.#resolve(this.#bytes)
  }

  failed(error: unknown): void {
    this.#owner.order.leave(this)
    this.#reject(error)
  }
}

/**
 * The short way of a disk's ordinary requests, those that are one command of whole blocks: between the caller's promise and the
 * session there are callbacks alone, which halves what such a request costs.
 */
export class DirectTransfers {
  readonly unit: ScsiUnit
  readonly commands: DiskCommands
  readonly order: RangeOrder
  readonly blockBytes: number
  readonly #transferBytes: number

  /** `transferBytes`: most of one command. */
  constructor(
    unit: ScsiUnit,
    commands: DiskCommands,
    order: RangeOrder,
    blockBytes: number,
    transferBytes: number,
  ) {
    this.unit = unit
    this.commands = commands
    this.order = order
    this.blockBytes = blockBytes
    this.#transferBytes = transferBytes
  }

  /** The range is that of one command. */
  takes(offset: number, lengthBytes: number): boolean {
    return (
      lengthBytes > 0 &&
      lengthBytes <= this.#transferBytes &&
      offset % this.blockBytes === 0 &&
      lengthBytes % this.blockBytes === 0
    )
  }

  /** A range that it takes, and that is not past the end. */
  transfer(offset: number, bytes: Uint8Array, isWrite: boolean, resolve: Resolve, reject: Reject): void {
    const transfer = new DirectTransfer(this, offset, bytes, isWrite, resolve, reject)
    if (this.order.enter(transfer)) transfer.begin()
  }
}
