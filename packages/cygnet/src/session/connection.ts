import type { Instant } from '../base/clock.ts'
import { TimerTable } from '../base/clock.ts'
import type { BufferPool, PooledBuffer } from '../base/pool.ts'
import { PduAssembler } from '../pdu/assembler.ts'
import type { PduFault, PduSink, ReceivedPdu } from '../pdu/received-pdu.ts'
import { LOGIN_SEGMENT_BYTES } from './limits.ts'
import { type Outgoing, TransmitQueue, TransmitVector } from './transmit.ts'

/**
 * `login` until the last login response, then `full-feature`; `closing` sends what is queued and then closes; `closed`
 * takes and gives nothing more.
 */
export type ConnectionState = 'login' | 'full-feature' | 'closing' | 'closed'

export interface ConnectionOptions {
  readonly pool: BufferPool
  readonly now: Instant
  /** There is something to transmit, an event, or a new deadline: poll soon. Called at most once between polls. */
  readonly wake: () => void
}

/**
 * What one TCP connection is in either role, sans-IO: received bytes and the time go in; bytes to send, a deadline
 * and events come out.
 */
export abstract class Connection<TimerName extends string, Event> implements PduSink {
  // Of outgoing PDUs. Digests begin after the last login response.
  headerDigest = false
  dataDigest = false
  /** The peer's MaxRecvDataSegmentLength. */
  sendSegmentBytes = LOGIN_SEGMENT_BYTES

  protected connectionState: ConnectionState = 'login'
  protected readonly assembler: PduAssembler
  protected readonly timers: TimerTable<TimerName>
  protected lastReceived: Instant
  readonly #pool: BufferPool
  readonly #queue = new TransmitQueue()
  readonly #wake: () => void
  #now: Instant
  #awake = false
  #events: Event[] = []

  constructor(options: ConnectionOptions, timerNames: readonly TimerName[]) {
    this.#pool = options.pool
    this.#wake = options.wake
    this.#now = options.now
    this.lastReceived = options.now
    this.timers = new TimerTable<TimerName>(timerNames)
    this.assembler = new PduAssembler(this)
    this.assembler.maxDataSegmentLength = LOGIN_SEGMENT_BYTES
  }

  get state(): ConnectionState {
    return this.connectionState
  }

  get now(): Instant {
    return this.#now
  }

  /** PDUs that wait for the socket; the runtime stops reading from a peer that does not read. */
  get queuedPdus(): number {
    return this.#queue.length
  }

  /** Bytes that those hold and nothing else bounds. */
  get queuedBytes(): number {
    return this.#queue.heldBytes
  }

  get hasOutput(): boolean {
    return !this.#queue.isEmpty
  }

  // The runtime's side

  /** Bytes [start, end) of a pooled segment came in. */
  receive(segment: PooledBuffer, start: number, end: number, now: Instant): void {
    if (this.connectionState === 'closed' || this.connectionState === 'closing') return
    this.#now = now
    this.lastReceived = now
    this.assembler.receive(segment, start, end)
  }

  /** The deadline has come. */
  handleTimeout(now: Instant): void {
    this.#now = now
    for (let name = this.timers.expired(now); name !== undefined; name = this.timers.expired(now)) {
      this.expired(name)
    }
  }

  pollTimeout(): Instant | undefined {
    return this.timers.next()
  }

  /** Fills a batch; true while there is more. The caller writes its chunks and then releases it. */
  pollTransmit(out: TransmitVector): boolean {
    const more = this.#queue.drainInto(out)
    out.close()
    if (!more && this.connectionState === 'closing') this.connectionState = 'closed'
    return more
  }

  get hasEvents(): boolean {
    return this.#events.length > 0
  }

  newTransmitVector(): TransmitVector {
    return new TransmitVector(this.#pool)
  }

  pollEvent(): Event | undefined {
    this.#awake = false
    return this.#events.shift()
  }

  /** The TCP connection is gone. */
  transportClosed(reason: string, now: Instant): void {
    this.#now = now
    this.lost(reason)
  }

  // PduSink

  abstract onPdu(pdu: ReceivedPdu): void
  abstract onFault(fault: PduFault): void

  // For the roles

  protected abstract expired(name: TimerName): void
  protected abstract lost(reason: string): void

  send(item: Outgoing): void {
    if (this.connectionState === 'closed') {
      item.discard()
      return
    }
    this.enqueue(item)
    this.wake()
  }

  /** `send` without a call to poll. */
  protected enqueue(item: Outgoing): void {
    this.#queue.push(item)
  }

  /** Takes the PDUs of tasks out of the queue: they go on with another connection. */
  withdrawTasks(): void {
    this.#queue.withdrawTasks()
  }

  /** Takes one item out of the queue, which holds nothing. */
  withdraw(item: Outgoing): void {
    this.#queue.withdraw(item)
  }

  wake(): void {
    if (this.#awake) return
    this.#awake = true
    this.#wake()
  }

  emit(event: Event): void {
    this.#events.push(event)
    this.wake()
  }

  /** Takes nothing more; `closed` at once, or after what is queued has been sent. */
  protected stop(state: 'closing' | 'closed'): void {
    this.connectionState = state
    this.assembler.stop()
    this.timers.clearAll()
    if (state === 'closed') this.#queue.discardAll()
    this.wake()
  }
}
