import type { IscsiTask } from './iscsi-task.ts'

/**
 * Data-In of a session that was sent and is kept until it is acknowledged, at ErrorRecoveryLevel 1 and 2. Beyond its
 * limit, and where its memory is needed, the oldest is dropped: a SNACK for it is rejected. That of the newest task is kept
 * whatever its size.
 */
export class RetainedData {
  readonly #limitBytes: number
  /** In order of age, with what each has reserved. */
  readonly #tasks = new Map<IscsiTask, number>()
  readonly #dropped: (task: IscsiTask) => void
  #bytes = 0

  constructor(limitBytes: number, dropped: (task: IscsiTask) => void) {
    this.#limitBytes = limitBytes
    this.#dropped = dropped
  }

  get isEmpty(): boolean {
    return this.#tasks.size === 0
  }

  add(task: IscsiTask): void {
    this.remove(task)
    this.#tasks.set(task, task.reservedBytes)
    this.#bytes += task.reservedBytes
    while (this.#bytes > this.#limitBytes && this.#tasks.size > 1) this.dropOldest()
  }

  remove(task: IscsiTask): void {
    const bytes = this.#tasks.get(task)
    if (bytes === undefined) return
    this.#tasks.delete(task)
    this.#bytes -= bytes
  }

  /** False where there is none. */
  dropOldest(): boolean {
    for (const task of this.#tasks.keys()) {
      this.remove(task)
      task.dropData()
      this.#dropped(task)
      return true
    }
    return false
  }
}
