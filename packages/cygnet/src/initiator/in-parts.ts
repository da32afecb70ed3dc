/** Parts of one request that are under way together: enough to keep a fast network busy. */
const PARTS_AT_ONCE = 8

/**
 * Runs `action` for each part of [start, end), of `partLength` each and what is left last, a few at a time. When one
 * fails, no more are begun, and its error is thrown when the others have ended: nobody uses the caller's memory then.
 */
export async function inParts(
  start: number,
  end: number,
  partLength: number,
  action: (from: number, to: number) => Promise<unknown>,
): Promise<void> {
  if (end - start <= partLength) {
    if (end > start) await action(start, end)
    return
  }
  let next = start
  const failures: unknown[] = []
  const worker = async (): Promise<void> => {
    while (next < end && failures.length === 0) {
      const from = next
      next = Math.min(end, from + partLength)
      try {
        // oxlint-disable-next-line no-await-in-loop -- this is one of the few
        await action(from, next)
      } catch (error) {
        failures.push(error)
      }
    }
  }
  const workers = Math.min(PARTS_AT_ONCE, Math.ceil((end - start) / partLength))
  await Promise.all(Array.from({ length: workers }, worker))
  if (failures.length > 0) throw failures[0]
}
