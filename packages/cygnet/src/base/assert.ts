/** Thrown when the program's own invariants are broken: a bug of ours, never a peer's fault. */
export class AssertionError extends Error {
  override readonly name = 'AssertionError'
}

/** Stays on in production: a broken invariant must stop the shard before it can corrupt data. */
export function assert(condition: boolean, message: string): asserts condition {
  if (!condition) throw new AssertionError(message)
}
