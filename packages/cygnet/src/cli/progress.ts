import { styleText } from 'node:util'
import { formatSize } from '../daemon/size.ts'

/** The line is drawn so often. */
const INTERVAL_MS = 100
/** The rate is that of the last seconds. */
const WINDOW_MS = 5000
const BAR_LEAST = 4
const BAR_MOST = 24

interface Sample {
  readonly atMs: number
  readonly doneBytes: number
}

/** A length for people, in three digits: `1.25 GiB`, `340 MiB`. */
export function roundedSize(bytes: number): string {
  if (bytes < 1024) return `${Math.round(bytes)} bytes`
  const power = Math.min(5, Math.floor(Math.log2(bytes) / 10))
  const value = bytes / 1024 ** power
  return `${value.toPrecision(value >= 1000 ? 4 : 3)} ${['', 'K', 'M', 'G', 'T', 'P'][power]}iB`
}

/** `0:07`, `12:34`, `1:02:03`. */
export function formatTime(seconds: number): string {
  const whole = Math.ceil(seconds)
  const two = (value: number): string => String(value).padStart(2, '0')
  const [hours, minutes] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60]
  return hours > 0 ? `${hours}:${two(minutes)}:${two(whole % 60)}` : `${minutes}:${two(whole % 60)}`
}

/**
 * One line: a bar, then `details`, then how long still. `part`: what is done, 0 to 1. The bar takes the room that is left in
 * `columns`.
 */
export function barLine(
  what: string,
  part: number,
  details: readonly string[],
  leftSeconds: number | undefined,
  columns = 80,
): string {
  const left = `${leftSeconds === undefined ? '–:––' : formatTime(leftSeconds)} left`
  const percent = `${String(Math.floor(part * 100)).padStart(3)}%`
  const rest = [percent, ...details, left].join('  ')
  const width = Math.max(BAR_LEAST, Math.min(BAR_MOST, columns - 1 - what.length - rest.length - 3))
  const filled = Math.floor(part * width)
  return `${what}  ${'█'.repeat(filled)}${'░'.repeat(width - filled)} ${rest}`
}

/** How far a copy is, and how fast. Without `totalBytes` nobody knows how long. */
export function progressLine(
  what: string,
  doneBytes: number,
  totalBytes: number | undefined,
  bytesPerSecond: number,
  columns = 80,
): string {
  const rate = `${roundedSize(bytesPerSecond)}/s`
  if (totalBytes === undefined) return `${what}  ${roundedSize(doneBytes)}  ${rate}`
  const part = totalBytes === 0 ? 1 : doneBytes / totalBytes
  const details = [`${roundedSize(doneBytes)} of ${roundedSize(totalBytes)}`, rate]
  const leftSeconds = bytesPerSecond > 0 ? (totalBytes - doneBytes) / bytesPerSecond : undefined
  return barLine(what, part, details, leftSeconds, columns)
}

export interface ProgressOutput {
  readonly isTTY?: boolean
  readonly columns?: number
  write(text: string): unknown
}

/** Shows on a terminal how a long piece of work comes on; elsewhere it says nothing. */
export class Progress {
  readonly #what: string
  readonly #totalBytes: number | undefined
  readonly #output: ProgressOutput
  readonly #isShown: boolean
  readonly #now: () => number
  readonly #startMs: number
  #samples: Sample[] = []
  #drawnMs = -Infinity
  #doneBytes = 0

  constructor(
    what: string,
    totalBytes: number | undefined,
    isQuiet = false,
    output: ProgressOutput = process.stderr,
    now: () => number = () => performance.now(),
  ) {
    this.#what = what
    this.#totalBytes = totalBytes
    this.#output = output
    this.#isShown = output.isTTY === true && !isQuiet
    this.#now = now
    this.#startMs = now()
    this.#samples.push({ atMs: this.#startMs, doneBytes: 0 })
  }

  get doneBytes(): number {
    return this.#doneBytes
  }

  get seconds(): number {
    return (this.#now() - this.#startMs) / 1000
  }

  readonly update = (doneBytes: number): void => {
    this.#doneBytes = doneBytes
    if (!this.#isShown) return
    const now = this.#now()
    if (now - this.#drawnMs < INTERVAL_MS) return
    this.#drawnMs = now
    this.#samples.push({ atMs: now, doneBytes })
    while (this.#samples.length > 2 && now - (this.#samples[0]?.atMs ?? now) > WINDOW_MS)
      this.#samples.shift()
    this.#draw(now)
  }

  /** Takes the line away. */
  end(): void {
    if (this.#isShown) this.#output.write('\r\u001b[K')
  }

  #draw(now: number): void {
    const first = this.#samples[0] ?? { atMs: now, doneBytes: 0 }
    const seconds = (now - first.atMs) / 1000
    const rate = seconds > 0 ? (this.#doneBytes - first.doneBytes) / seconds : 0
    const { columns = 80 } = this.#output
    const line = progressLine(this.#what, this.#doneBytes, this.#totalBytes, rate, columns)
    this.#output.write(`\r\u001b[K${line.slice(0, columns - 1)}`)
  }
}

/** `1 GiB in 3.2 s, 320 MiB/s`. */
export const summary = (bytes: number, seconds: number): string =>
  `${formatSize(bytes)} in ${seconds.toFixed(1)} s, ${roundedSize(seconds > 0 ? bytes / seconds : 0)}/s`

/** A heading, where the terminal has styles. */
export const heading = (text: string): string => styleText('bold', text, { stream: process.stdout })
