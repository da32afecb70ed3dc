import { TaskAttribute } from '../scsi/task.ts'
import type { Operation } from './operation.ts'

/**
 * Decides when a task may start (SAM-5 §8): a HEAD OF QUEUE task at once, a SIMPLE task when no older ORDERED and no
 * HEAD OF QUEUE task is left, an ORDERED task when nothing older is left. Dormant tasks wait in order of arrival: a
 * blocked one holds back all that came after it, except HEAD OF QUEUE.
 */
export class TaskSet {
  #simple = 0
  #ordered = 0
  #head = 0
  #dormant: Operation[] = []

  /** True: start it. False: it is dormant until `takeEnabled` gives it back. */
  admit(op: Operation): boolean {
    const { attribute } = op.task
    if (attribute === TaskAttribute.headOfQueue) {
      this.#head++
      return true
    }
    if (this.#dormant.length === 0 && this.#mayStart(attribute)) {
      this.#count(attribute, 1)
      return true
    }
    op.phase = 'dormant'
    this.#dormant.push(op)
    return false
  }

  #mayStart(attribute: TaskAttribute): boolean {
    if (this.#ordered + this.#head > 0) return false
    return attribute !== TaskAttribute.ordered || this.#simple === 0
  }

  #count(attribute: TaskAttribute, change: 1 | -1): void {
    if (attribute === TaskAttribute.headOfQueue) this.#head += change
    else if (attribute === TaskAttribute.ordered) this.#ordered += change
    else this.#simple += change
  }

  /** The task has ended. */
  remove(op: Operation): void {
    if (op.phase === 'dormant') this.#dormant.splice(this.#dormant.indexOf(op), 1)
    else this.#count(op.task.attribute, -1)
  }

  /** The oldest dormant task, where it may start now; call until undefined. */
  takeEnabled(): Operation | undefined {
    const op = this.#dormant[0]
    if (op === undefined || !this.#mayStart(op.task.attribute)) return undefined
    this.#dormant.shift()
    this.#count(op.task.attribute, 1)
    return op
  }
}
