/** npm hands on the terminal's Ctrl-C: a second signal this soon is the same key press. */
const SAME_KEY_PRESS_MS = 500
const EXIT_INTERRUPTED = 130

/** Calls `stop` at the first signal. Who cannot wait for what that does ends the process with a second one. */
export function stopOnSignals(signals: readonly NodeJS.Signals[], stop: () => void): void {
  let firstAt: number | undefined
  const heard = (): void => {
    if (firstAt === undefined) {
      firstAt = performance.now()
      stop()
    } else if (performance.now() - firstAt > SAME_KEY_PRESS_MS) process.exit(EXIT_INTERRUPTED)
  }
  for (const signal of signals) process.on(signal, heard)
}
