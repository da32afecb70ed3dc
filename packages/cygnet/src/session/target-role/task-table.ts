import type { IscsiTask } from './iscsi-task.ts'

/** Places to begin with. */
const FIRST_PLACES = 64
/** 2^32 divided by the golden ratio: spreads tags that follow each other, and such that differ in their high bits only. */
const SPREAD = 0x9e3779b1

const emptyPlaces = (count: number): (IscsiTask | undefined)[] =>
  Array.from({ length: count }, () => undefined)

/**
 * The tasks of a session by their Initiator Task Tags, which may be any numbers: a hash table, where a task whose place
 * is taken goes to the next that is free. (A map would do; but the tables that it drops as entries come and go keep the
 * young generation's garbage alive.)
 */
export class TaskTable {
  #places: (IscsiTask | undefined)[] = emptyPlaces(FIRST_PLACES)
  #mask = FIRST_PLACES - 1
  #size = 0
  #arrivals = 0

  get size(): number {
    return this.#size
  }

  get(tag: number): IscsiTask | undefined {
    for (let at = this.#homeOf(tag); ; at = (at + 1) & this.#mask) {
      const task = this.#places[at]
      if (task === undefined || task.tag === tag) return task
    }
  }

  /** A task whose tag is not in the table. */
  add(task: IscsiTask): void {
    task.arrival = this.#arrivals++
    // Half of the places stay free: a search soon ends.
    if (++this.#size * 2 > this.#places.length) this.#grow()
    this.#place(task)
  }

  /** Nothing, where it is not here. */
  delete(task: IscsiTask): void {
    let free = this.#homeOf(task.tag)
    for (; this.#places[free] !== task; free = (free + 1) & this.#mask) {
      if (this.#places[free] === undefined) return
    }
    this.#size--
    // Those behind it move up, where that brings them no further than to their own place: no search meets a hole.
    for (let at = (free + 1) & this.#mask; ; at = (at + 1) & this.#mask) {
      const other = this.#places[at]
      if (other === undefined) break
      const fromHome = (at - this.#homeOf(other.tag)) & this.#mask
      if (fromHome < ((at - free) & this.#mask)) continue
      this.#places[free] = other
      free = at
    }
    this.#places[free] = undefined
  }

  /** A copy, in the order in which they came. */
  values(): IscsiTask[] {
    return this.#places.filter((task) => task !== undefined).toSorted((a, b) => a.arrival - b.arrival)
  }

  #homeOf(tag: number): number {
    return (Math.imul(tag, SPREAD) >>> 16) & this.#mask
  }

  #place(task: IscsiTask): void {
    let at = this.#homeOf(task.tag)
    while (this.#places[at] !== undefined) at = (at + 1) & this.#mask
    this.#places[at] = task
  }

  #grow(): void {
    const tasks = this.values()
    this.#places = emptyPlaces(this.#places.length * 2)
    this.#mask = this.#places.length - 1
    for (const task of tasks) this.#place(task)
  }
}
