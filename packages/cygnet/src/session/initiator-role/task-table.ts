import { RESERVED_TAG } from '../../pdu/bhs.ts'
import type { InitiatorTask } from './initiator-task.ts'

const LARGEST_TAG = RESERVED_TAG - 1
/** The tag to be given after another one. */
export const tagAfter = (tag: number): number => (tag >= LARGEST_TAG ? 1 : tag + 1)

/** Places to begin with. */
const FIRST_PLACES = 64
const emptyPlaces = (count: number): (InitiatorTask | undefined)[] =>
  Array.from({ length: count }, () => undefined)

/**
 * The tasks of a session by their Initiator Task Tags. Tags are given one after the other, and the low bits of one are
 * its place: `isTaken` says where a tag must be passed over because a task that has lived for long is in its place. (A map
 * would do; but the tables that it drops as entries come and go keep the young generation's garbage alive.)
 */
export class TaskTable {
  #places: (InitiatorTask | undefined)[] = emptyPlaces(FIRST_PLACES)
  #size = 0

  get size(): number {
    return this.#size
  }

  get(tag: number): InitiatorTask | undefined {
    const task = this.#places[tag & (this.#places.length - 1)]
    return task?.initiatorTaskTag === tag ? task : undefined
  }

  /** The tag, or its place, is in use. */
  isTaken(tag: number): boolean {
    return this.#places[tag & (this.#places.length - 1)] !== undefined
  }

  /** A task whose tag is not taken. */
  add(task: InitiatorTask): void {
    this.#places[task.initiatorTaskTag & (this.#places.length - 1)] = task
    // Half of the places stay free: a free tag is soon found.
    if (++this.#size * 2 > this.#places.length) this.#grow()
  }

  delete(task: InitiatorTask): void {
    this.#places[task.initiatorTaskTag & (this.#places.length - 1)] = undefined
    this.#size--
  }

  /** In no order. */
  values(): InitiatorTask[] {
    return this.#places.filter((task) => task !== undefined)
  }

  #grow(): void {
    const tasks = this.values()
    this.#places = emptyPlaces(this.#places.length * 2)
    for (const task of tasks) this.#places[task.initiatorTaskTag & (this.#places.length - 1)] = task
  }
}
