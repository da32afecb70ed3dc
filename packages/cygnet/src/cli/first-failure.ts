/** What went wrong first: closing what was open may have failed because of it, and `await using` reports both. */
export function firstFailure(error: unknown): unknown {
  return error instanceof SuppressedError ? firstFailure(error.suppressed) : error
}
