import type { Path } from './problem.ts'

/** A problem before it is known where in the file it stands. */
export interface Finding {
  readonly severity: 'error' | 'warning'
  readonly path: Path
  /** Where to point: at the value, or at its key. */
  readonly at: 'value' | 'key'
  readonly expected: string
  readonly found: string
  /** What to do. */
  readonly remedy: string
}

type Words = Pick<Finding, 'expected' | 'found' | 'remedy'>

export const errorAt = (path: Path, words: Words): Finding => ({
  severity: 'error',
  at: 'value',
  path,
  ...words,
})
export const errorAtKey = (path: Path, words: Words): Finding => ({ ...errorAt(path, words), at: 'key' })
export const warningAt = (path: Path, words: Words): Finding => ({
  ...errorAt(path, words),
  severity: 'warning',
})
