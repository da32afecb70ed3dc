/** Where in the data: keys of mappings, places in lists. */
export type Path = readonly (string | number)[]

/** What is wrong in a configuration file, and what to do about it. */
export interface Problem {
  readonly severity: 'error' | 'warning'
  readonly file: string
  /** 1 for the first line, and for its first character. */
  readonly line: number
  readonly column: number
  /** Empty where it concerns the whole file. */
  readonly path: Path
  readonly expected: string
  readonly found: string
  /** What to do. */
  readonly remedy: string
}

/** `portals[0].listen`, `targets["iqn.2026-11.dev.example:db"].luns[0].size`. */
export function formatPath(path: Path): string {
  const steps = path.map((step) => {
    if (/^[a-z]\w*$/i.test(String(step))) return `.${step}`
    return /^\d+$/.test(String(step)) ? `[${step}]` : `["${step}"]`
  })
  return steps.join('').replace(/^\./, '')
}

/** One line: `cygnet.yaml:4:11: error: luns[0].size: expected …, found …: what to do.` */
export function formatProblem(problem: Problem): string {
  const { severity, file, line, column, path, expected, found, remedy } = problem
  const where = path.length === 0 ? '' : `${formatPath(path)}: `
  return `${file}:${line}:${column}: ${severity}: ${where}expected ${expected}, found ${found}: ${remedy}${/[.?]$/.test(remedy) ? '' : '.'}`
}

const MAX_SHOWN = 60

/** A value of the file in words. */
export function describeValue(value: unknown): string {
  if (typeof value === 'string')
    return JSON.stringify(value.length > MAX_SHOWN ? `${value.slice(0, MAX_SHOWN)}…` : value)
  if (value === null || value === undefined) return 'nothing'
  if (Array.isArray(value)) return value.length === 0 ? 'an empty list' : 'a list'
  if (typeof value === 'object') return Object.keys(value).length === 0 ? 'an empty mapping' : 'a mapping'
  return typeof value === 'number' || typeof value === 'boolean' ? String(value) : typeof value
}
