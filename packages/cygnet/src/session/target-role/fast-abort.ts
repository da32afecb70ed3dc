import { AsyncEvent } from '../../pdu/codes.ts'
import type { SessionConnection } from './session-connections.ts'

/** A message that says that the tasks of a unit are terminated, until the initiator has acknowledged it. */
interface Termination {
  readonly connection: SessionConnection
  readonly lun: bigint
  /** The StatSN after its own, once it has left. */
  statSN: number | undefined
}

/**
 * Notices of terminated tasks, where TaskReporting=FastAbort was agreed on (RFC 7143 §4.2.3.4): target transfer tags of
 * aborted tasks stay valid until the initiator has acknowledged the message, and no longer.
 */
export class FastAborts {
  readonly #acknowledged: (connection: SessionConnection, lun: bigint) => void
  #terminations: Termination[] = []

  /** `acknowledged`: nothing more will come for the terminated tasks of a unit on a connection. */
  constructor(acknowledged: (connection: SessionConnection, lun: bigint) => void) {
    this.#acknowledged = acknowledged
  }

  /** Tells the initiator; once where a message has not left yet. */
  notify(connection: SessionConnection, lun: bigint): void {
    const isQueued = this.#terminations.some(
      (one) => one.connection === connection && one.lun === lun && one.statSN === undefined,
    )
    if (isQueued) return
    const termination: Termination = { connection, lun, statSN: undefined }
    this.#terminations.push(termination)
    connection.sendAsync({ asyncEvent: AsyncEvent.taskTermination, lun }, () => {
      termination.statSN = connection.statSN
    })
  }

  /** Something was acknowledged on one of the connections. */
  check(): void {
    if (this.#terminations.length === 0) return
    const done = this.#terminations.filter(
      ({ connection, statSN }) => statSN !== undefined && connection.hasAcknowledged(statSN),
    )
    if (done.length === 0) return
    this.#terminations = this.#terminations.filter((termination) => !done.includes(termination))
    for (const { connection, lun } of done) this.#acknowledged(connection, lun)
  }

  connectionGone(connection: SessionConnection): void {
    this.#terminations = this.#terminations.filter((one) => one.connection !== connection)
  }
}
