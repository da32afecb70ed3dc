/** The part of a load that counts: after the warm-up, for so many seconds or until the load ends by itself. */
import { LoadMeter } from '../packages/cygnet/src/cli/load.ts'
import type { ClientJob, ClientReport } from './client-job.ts'
import { cpuUs } from './process-figures.ts'

export class MeasuredWindow {
  /** Requests that end in the warm-up go to a meter that nobody asks. */
  #meter = new LoadMeter()
  #servedBeforeUs = 0
  #report: ClientReport | undefined
  readonly #job: Pick<ClientJob, 'seconds' | 'warmUpSeconds' | 'servedPid'>
  readonly #over: Promise<void>
  #resolveOver: () => void = () => undefined

  constructor(job: Pick<ClientJob, 'seconds' | 'warmUpSeconds' | 'servedPid'>) {
    this.#job = job
    this.#over = new Promise((resolve) => (this.#resolveOver = resolve))
    if (job.warmUpSeconds === 0) this.#begin()
    else setTimeout(() => this.#begin(), job.warmUpSeconds * 1000)
  }

  /** The warm-up is over. */
  hasBegun = false

  get isOver(): boolean {
    return this.#report !== undefined
  }

  ended(startMs: number, lengthBytes: number): void {
    this.#meter.ended(startMs, lengthBytes)
  }

  /** The load has come to its end. */
  close(): void {
    if (this.#report) return
    const { requests, bytes, seconds, latencyMs, cpuSeconds } = this.#meter.result()
    this.#report = {
      requests,
      bytes,
      seconds,
      latencyMs: { p50: latencyMs.p50, p99: latencyMs.p99, p999: latencyMs.p999 },
      clientCpuUs: cpuSeconds * 1e6,
      servedCpuUs: cpuUs(this.#job.servedPid) - this.#servedBeforeUs,
    }
    this.#resolveOver()
  }

  /** Waits for the end. */
  async report(): Promise<ClientReport> {
    await this.#over
    if (this.#report === undefined) throw new Error('the measured window has no report')
    return this.#report
  }

  #begin(): void {
    this.hasBegun = true
    this.#servedBeforeUs = cpuUs(this.#job.servedPid)
    this.#meter = new LoadMeter()
    setTimeout(() => this.close(), this.#job.seconds * 1000)
  }
}
