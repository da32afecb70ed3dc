import { type InitiatorTask, sendDataOut } from './initiator-task.ts'
import type { InitiatorConnection } from './initiator-connection.ts'
import type { Outgoing, TransmitVector } from './transmit.ts'

/** The Data-Out PDUs that answer one R2T (RFC 7143 §11.8), in the order of their offsets. */
export class DataOutBurst implements Outgoing {
  readonly heldBytes = 0
  readonly #task: InitiatorTask
  readonly #initiatorTaskTag: number
  readonly #connection: InitiatorConnection
  readonly #targetTransferTag: number
  readonly #end: number
  #offset: number
  #dataSN = 0

  constructor(
    task: InitiatorTask,
    connection: InitiatorConnection,
    targetTransferTag: number,
    start: number,
    end: number,
  ) {
    this.#task = task
    this.#initiatorTaskTag = task.initiatorTaskTag
    this.#connection = connection
    this.#targetTransferTag = targetTransferTag
    this.#offset = start
    this.#end = end
  }

  transmit(out: TransmitVector): boolean {
    const task = this.#task
    if (!this.#isWanted || task.isStopped) return this.#finished()
    const end = Math.min(this.#end, this.#offset + this.#connection.sendSegmentBytes)
    const isFinal = end === this.#end
    sendDataOut(
      out,
      this.#connection,
      task,
      this.#targetTransferTag,
      this.#dataSN++,
      this.#offset,
      end,
      isFinal,
    )
    this.#offset = end
    return isFinal ? this.#finished() : false
  }

  discard(): void {}

  /** The task may have ended, or begun anew, while this waited for the socket. */
  get #isWanted(): boolean {
    const task = this.#task
    return (
      task.state === 'active' &&
      task.connection === this.#connection &&
      task.initiatorTaskTag === this.#initiatorTaskTag
    )
  }

  #finished(): true {
    if (this.#isWanted) this.#task.outstandingR2Ts--
    return true
  }
}
