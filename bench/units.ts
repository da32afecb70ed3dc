/** Figures as text for people. */
import type { Case } from './cases.ts'
import type { Figure } from './sample.ts'

const MEBI = 2 ** 20

/** Three significant digits, and all digits before the point: `0.0123`, `1.23`, `12.3`, `12345`. */
export function digits(value: number): string {
  if (!Number.isFinite(value)) return '-'
  const size = Math.abs(value)
  if (size >= 100) return Math.round(value).toString()
  return value === 0 ? '0' : value.toPrecision(3)
}

/** A count with commas: `12,345`. */
export const count = (value: number): string => Math.round(value).toLocaleString('en-US')

export const mebibytes = (bytes: number): string => count(bytes / MEBI)

/** The figure that says how fast a case is, and how to write it. */
export function rateOf({ unit }: Pick<Case, 'unit'>): {
  readonly figure: Figure
  readonly scale: number
  readonly text: (value: number) => string
} {
  return unit === 'IOPS'
    ? { figure: 'iops', scale: 1, text: count }
    : { figure: 'bytesPerSecond', scale: 1e-6, text: (value) => count(value * 1e-6) }
}
