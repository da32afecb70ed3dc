interface Waiter {
  resolve(): void
  reject(error: Error): void
}

/** Those who wait for one and the same thing to happen. */
export class Waiters {
  #waiting: Waiter[] = []

  /** Until `wake`. Rejects with the signal's reason, or as `fail` says. */
  wait(signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve, reject) => {
      const stop = (): void => reject(signal?.reason as Error)
      signal?.addEventListener('abort', stop, { once: true })
      const done = (): void => signal?.removeEventListener('abort', stop)
      this.#waiting.push({
        resolve: () => {
          done()
          resolve()
        },
        reject: (error) => {
          done()
          reject(error)
        },
      })
    })
  }

  wake(): void {
    for (const waiter of this.#waiting.splice(0)) waiter.resolve()
  }

  fail(error: Error): void {
    for (const waiter of this.#waiting.splice(0)) waiter.reject(error)
  }
}
