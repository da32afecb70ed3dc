import { type InitiatorTask, sendDataOut } from './initiator-task.ts'
import type { InitiatorConnection } from './initiator-connection.ts'
import { RESERVED_TAG } from '../../pdu/bhs.ts'
import type { R2T } from '../../pdu/data.ts'
import type { Outgoing, TransmitVector } from '../transmit.ts'

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

/** What is wrong with an R2T for a task; undefined: nothing. */
export function wrongR2T(task: InitiatorTask, header: R2T, maxBurstLength: number): string | undefined {
  const { bufferOffset, desiredDataTransferLength: lengthBytes, targetTransferTag } = header
  const { dataOutBytes } = task.request
  if (targetTransferTag === RESERVED_TAG) return 'it sent an R2T without a target transfer tag'
  // §4.2.5.3
  if (header.lun !== task.lun) return 'it sent an R2T whose LUN is not that of the command'
  if (lengthBytes === 0 || lengthBytes > maxBurstLength)
    return `it sent an R2T for ${lengthBytes} bytes, the limit is ${maxBurstLength}`
  if (bufferOffset + lengthBytes > dataOutBytes)
    return `it asked for bytes up to ${bufferOffset + lengthBytes} where there are ${dataOutBytes}`
  return undefined
}
