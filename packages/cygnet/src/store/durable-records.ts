import type { Done } from './backing-store.ts'

/**
 * What a logical unit remembers beside its data, by name: small facts that outlive power loss. Implemented in
 * `runtime/`, and in memory for tests.
 */
export interface DurableRecords {
  /** What was last saved under the name: data that survives JSON. undefined: nothing. */
  get(name: string): unknown
  /**
   * Puts `value` in the place of what was there; undefined removes it. `done` when stable storage holds it: a crash
   * before leaves the old value or the new one, nothing else. After an error it may be either.
   */
  set(name: string, value: unknown, done: Done): void
}
