import { assert } from '../base/assert.ts'
import type { Clock, Instant } from '../base/clock.ts'

/** Something that will happen. */
interface Event {
  readonly at: Instant
  /** Order among events of the same instant: first scheduled, first run. */
  readonly order: number
  readonly run: () => void
}

const isBefore = (a: Event, b: Event): boolean => a.at < b.at || (a.at === b.at && a.order < b.order)

/** Virtual time: a binary heap of events. Time stands still while one runs and jumps to the next. */
export class EventQueue implements Clock {
  readonly #heap: Event[] = []
  #now: Instant
  #order = 0

  constructor(now: Instant = 0) {
    this.#now = now
  }

  now(): Instant {
    return this.#now
  }

  get isEmpty(): boolean {
    return this.#heap.length === 0
  }

  /** Runs `run` in `delayMs` (0 or more) milliseconds. Fractions are time, too. */
  after(delayMs: number, run: () => void): void {
    this.at(this.#now + delayMs, run)
  }

  at(at: Instant, run: () => void): void {
    assert(at >= this.#now, 'an event in the past')
    const event = { at, order: this.#order++, run }
    const heap = this.#heap
    let index = heap.length
    heap.push(event)
    while (index > 0) {
      const parent = (index - 1) >> 1
      const other = heap[parent] as Event
      if (!isBefore(event, other)) break
      heap[index] = other
      index = parent
    }
    heap[index] = event
  }

  /** When the next event comes. */
  get next(): Instant | undefined {
    return this.#heap[0]?.at
  }

  /** Runs the next event; false where there is none. */
  step(): boolean {
    const heap = this.#heap
    const first = heap[0]
    if (first === undefined) return false
    const last = heap.pop() as Event
    if (heap.length > 0) this.#siftDown(last)
    this.#now = first.at
    first.run()
    return true
  }

  #siftDown(event: Event): void {
    const heap = this.#heap
    let index = 0
    for (;;) {
      let child = 2 * index + 1
      if (child >= heap.length) break
      if (child + 1 < heap.length && isBefore(heap[child + 1] as Event, heap[child] as Event)) child++
      const smaller = heap[child] as Event
      if (!isBefore(smaller, event)) break
      heap[index] = smaller
      index = child
    }
    heap[index] = event
  }
}

/** One deadline that is set again and again; an event is in the queue for the earliest of them only. */
export class Alarm {
  readonly #queue: EventQueue
  readonly #ring: () => void
  #deadline = Infinity
  #scheduledFor = Infinity
  /** Makes the events void that an earlier one was scheduled over. */
  #generation = 0

  constructor(queue: EventQueue, ring: () => void) {
    this.#queue = queue
    this.#ring = ring
  }

  /** Replaces the deadline; one that has passed rings at once, but not before this returns. */
  set(deadline: Instant | undefined): void {
    this.#deadline = deadline ?? Infinity
    this.#schedule()
  }

  #schedule(): void {
    if (this.#deadline >= this.#scheduledFor) return
    const generation = ++this.#generation
    this.#scheduledFor = Math.max(this.#deadline, this.#queue.now())
    this.#queue.at(this.#scheduledFor, () => {
      if (generation === this.#generation) this.#due()
    })
  }

  #due(): void {
    this.#scheduledFor = Infinity
    if (this.#deadline > this.#queue.now()) {
      this.#schedule()
      return
    }
    this.#deadline = Infinity
    this.#ring()
  }
}
