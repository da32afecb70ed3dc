import { ScsiStatus } from '../../scsi/status.ts'
import type { IscsiTask } from './iscsi-task.ts'
import type { SessionConnection } from './session-connections.ts'

/** A response that must not overtake others, nor be overtaken. */
interface FencedResponse {
  readonly connection: SessionConnection
  /** Whose responses are held; undefined: those of all units. */
  readonly lun: number | undefined
  /** Queues it; `sent` is to be called when it has its StatSN. */
  readonly send: (sent: () => void) => void
}

/**
 * Response fences (RFC 7143 §4.2.2.3): where a session has several connections, a fenced response leaves when the
 * initiator has acknowledged all that was answered before it on every connection, and what comes after it for its unit
 * leaves when the initiator has acknowledged it. On one connection, the order of responses is a fence by itself.
 */
export class ResponseFence {
  readonly #live: () => Iterable<SessionConnection>
  readonly #release: (task: IscsiTask) => void
  readonly #queue: FencedResponse[] = []
  /** StatSNs that have to be acknowledged for the first of the queue to go on; undefined: not known yet. */
  readonly #marks = new Map<SessionConnection, number | undefined>()
  #isSent = false
  #held: IscsiTask[] = []

  constructor(live: () => Iterable<SessionConnection>, release: (task: IscsiTask) => void) {
    this.#live = live
    this.#release = release
  }

  get isClear(): boolean {
    return this.#queue.length === 0
  }

  raise(response: FencedResponse): void {
    this.#queue.push(response)
    if (this.#queue.length === 1) this.#begin()
  }

  /** Keeps a response behind the fence, where there is one for its unit. */
  holds(task: IscsiTask): boolean {
    if (this.#queue.every(({ lun }) => lun !== undefined && lun !== task.lun)) return false
    this.#held.push(task)
    return true
  }

  /** Something was acknowledged, or a connection is gone. */
  check(): void {
    if (this.isClear) return
    const live = new Set(this.#live())
    for (const [connection, statSN] of this.#marks) {
      const isPassed = statSN !== undefined && connection.hasAcknowledged(statSN)
      if (isPassed || !live.has(connection)) this.#marks.delete(connection)
    }
    if (this.#marks.size > 0) return
    if (this.#isSent) this.#clear()
    else this.#send()
  }

  #begin(): void {
    this.#isSent = false
    for (const connection of this.#live()) this.#mark(connection)
    this.check()
  }

  #mark(connection: SessionConnection): void {
    this.#marks.set(connection, undefined)
    connection.solicitAcknowledgment(() => {
      if (this.#marks.has(connection)) this.#marks.set(connection, connection.statSN)
      this.check()
    })
  }

  #send(): void {
    const { connection, send } = this.#queue[0] as FencedResponse
    this.#isSent = true
    this.#marks.set(connection, undefined)
    send(() => {
      if (this.#marks.has(connection)) this.#marks.set(connection, connection.statSN)
    })
    connection.solicitAcknowledgment(() => {})
    this.check()
  }

  #clear(): void {
    this.#queue.shift()
    if (this.#queue.length > 0) this.#begin()
    const held = this.#held
    this.#held = []
    for (const task of held) this.#release(task)
  }
}

const PERSISTENT_RESERVE_OUT = 0x5f
const PREEMPT_AND_ABORT = 0x05
const SENSE_UNIT_ATTENTION = 0x06
/** Additional sense codes of unit attentions after a multi-task abort: a reset, or commands cleared by another initiator. */
const abortAttentions: ReadonlySet<number> = new Set([0x29, 0x2f])

/** Whether a SCSI response is among the uses of §4.2.2.3.4 (a, c, d and f). */
export function needsFence(task: IscsiTask): boolean {
  if (task.status === ScsiStatus.acaActive) return true
  const [opcode, serviceAction] = task.cdb
  if (opcode === PERSISTENT_RESERVE_OUT && ((serviceAction ?? 0) & 0x1f) === PREEMPT_AND_ABORT) return true
  if (task.status !== ScsiStatus.checkCondition) return false
  return isAcaEstablished(task) || isAbortAttention(task.sense)
}

/** The NACA bit, in the CONTROL byte that ends a CDB (SAM-5 §5.2). */
function isAcaEstablished({ cdb }: IscsiTask): boolean {
  const group = (cdb[0] ?? 0) >>> 5
  const controlAt = group === 0 ? 5 : group <= 2 ? 9 : group === 4 ? 15 : group === 5 ? 11 : 1
  return ((cdb[controlAt] ?? 0) & 0x04) !== 0
}

/** Sense data in fixed format (70h, 71h) or descriptor format (72h, 73h). */
function isAbortAttention(sense: Uint8Array): boolean {
  const isDescriptor = ((sense[0] ?? 0) & 0x7e) === 0x72
  const key = (isDescriptor ? sense[1] : sense[2]) ?? 0
  const additional = (isDescriptor ? sense[2] : sense[12]) ?? 0
  return (key & 0x0f) === SENSE_UNIT_ATTENTION && abortAttentions.has(additional)
}
