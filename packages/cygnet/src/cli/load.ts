import { createHistogram, type RecordableHistogram } from 'node:perf_hooks'

/** Nanoseconds in a millisecond. */
const NS = 1e6

/** What a load was like. Latencies are in milliseconds. */
export interface LoadResult {
  readonly requests: number
  readonly bytes: number
  readonly seconds: number
  readonly requestsPerSecond: number
  readonly bytesPerSecond: number
  readonly latencyMs: Readonly<Record<'mean' | 'p50' | 'p90' | 'p99' | 'p999' | 'max', number>>
  /** CPU time of this process in all, and for each request in microseconds. */
  readonly cpuSeconds: number
  readonly cpuPerRequestUs: number
}

/** Counts what a number of workers do, from when it is made, or `restart`, until `result`. */
export class LoadMeter {
  readonly #histogram: RecordableHistogram = createHistogram()
  #startMs = performance.now()
  #cpu = process.cpuUsage()
  #requests = 0
  #bytes = 0

  get requests(): number {
    return this.#requests
  }

  get bytes(): number {
    return this.#bytes
  }

  get elapsedMs(): number {
    return performance.now() - this.#startMs
  }

  /** What was before does not count. */
  restart(): void {
    this.#histogram.reset()
    this.#startMs = performance.now()
    this.#cpu = process.cpuUsage()
    this.#requests = 0
    this.#bytes = 0
  }

  /** A request that began at `startMs` of `performance.now()` has ended. Returns when: now. */
  ended(startMs: number, lengthBytes: number): number {
    const endMs = performance.now()
    this.#requests++
    this.#bytes += lengthBytes
    this.#histogram.record(Math.max(1, Math.round((endMs - startMs) * NS)))
    return endMs
  }

  result(): LoadResult {
    const seconds = this.elapsedMs / 1000
    const { user, system } = process.cpuUsage(this.#cpu)
    const cpuSeconds = (user + system) / 1e6
    const requests = this.#requests
    const at = (percentile: number): number => this.#histogram.percentile(percentile) / NS
    const hasAny = requests > 0
    return {
      requests,
      bytes: this.#bytes,
      seconds,
      requestsPerSecond: requests / seconds,
      bytesPerSecond: this.#bytes / seconds,
      latencyMs: {
        mean: hasAny ? this.#histogram.mean / NS : 0,
        p50: hasAny ? at(50) : 0,
        p90: hasAny ? at(90) : 0,
        p99: hasAny ? at(99) : 0,
        p999: hasAny ? at(99.9) : 0,
        max: hasAny ? this.#histogram.max / NS : 0,
      },
      cpuSeconds,
      cpuPerRequestUs: hasAny ? (cpuSeconds * 1e6) / requests : 0,
    }
  }
}

/** `120 µs`, `1.25 ms`, `3.4 s`. */
export function formatMs(ms: number): string {
  if (ms < 1) return `${Math.round(ms * 1000)} µs`
  return ms < 1000 ? `${ms.toPrecision(3)} ms` : `${(ms / 1000).toPrecision(3)} s`
}

/** A count for people: `12,345`. */
export const formatCount = (count: number): string => Math.round(count).toLocaleString('en-US')
