import { TaskAttribute } from '../scsi/task.ts'
import type { Operation } from './operation.ts'

/** Where a command without a priority stands among those that have one, 1 (first) to 15 (last). */
const DEFAULT_PRIORITY = 8

const rank = ({ task }: Operation): number => task.priority || DEFAULT_PRIORITY

/**
 * Decides when a task may start (SAM-5 §8): a HEAD OF QUEUE or ACA task at once, a SIMPLE task when no older ORDERED
 * and no HEAD OF QUEUE task is left, an ORDERED task when nothing older is left. Dormant tasks wait in order of arrival:
 * a dormant one holds back all that came after it, except HEAD OF QUEUE.
 *
 * Dormant SIMPLE tasks between two ORDERED ones may start in any order, and do so by their priority (§8.7). As they all
 * start together when the first ORDERED task has ended, no priority keeps another task waiting for long.
 */
export class TaskSet {
  #simple = 0
  #ordered = 0
  #head = 0
  #aca = 0
  readonly #dormant: Operation[] = []

  /** There is a task with the ACA attribute, of which a task set holds one at most (§5.9.3). */
  get hasAca(): boolean {
    return this.#aca > 0
  }

  /** True: start it. False: it is dormant until `takeEnabled` gives it back. */
  admit(op: Operation): boolean {
    const { attribute, isOfCopy } = op.task
    // Its command has its place here.
    if (isOfCopy) return true
    const passes = attribute === TaskAttribute.headOfQueue || attribute === TaskAttribute.aca
    if (passes || (this.#dormant.length === 0 && this.#mayStart(attribute))) {
      this.#count(attribute, 1)
      return true
    }
    op.phase = 'dormant'
    this.#queue(op)
    return false
  }

  #queue(op: Operation): void {
    const dormant = this.#dormant
    let at = dormant.length
    if (op.task.attribute !== TaskAttribute.ordered) {
      for (; at > 0; at--) {
        const other = dormant[at - 1]
        if (!other || other.task.attribute === TaskAttribute.ordered || rank(other) <= rank(op)) break
      }
    }
    if (at === dormant.length) dormant.push(op)
    else dormant.splice(at, 0, op)
  }

  #mayStart(attribute: TaskAttribute): boolean {
    if (this.#ordered + this.#head > 0) return false
    return attribute !== TaskAttribute.ordered || this.#simple + this.#aca === 0
  }

  #count(attribute: TaskAttribute, change: 1 | -1): void {
    if (attribute === TaskAttribute.headOfQueue) this.#head += change
    else if (attribute === TaskAttribute.ordered) this.#ordered += change
    else if (attribute === TaskAttribute.aca) this.#aca += change
    else this.#simple += change
  }

  /** The task has ended. */
  remove(op: Operation): void {
    if (op.phase === 'dormant') this.#dormant.splice(this.#dormant.indexOf(op), 1)
    else if (!op.task.isOfCopy) this.#count(op.task.attribute, -1)
  }

  /** The first dormant task, where it may start now; call until undefined. */
  takeEnabled(): Operation | undefined {
    const op = this.#dormant[0]
    if (op === undefined || !this.#mayStart(op.task.attribute)) return undefined
    this.#dormant.shift()
    this.#count(op.task.attribute, 1)
    return op
  }
}
