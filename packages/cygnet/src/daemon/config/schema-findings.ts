import type { core } from 'zod'
import { nearest } from './did-you-mean.ts'
import type { Finding } from './finding.ts'
import { schemaAt } from './json-schema.ts'
import { describeValue, type Path } from './problem.ts'
import type { IssueParams } from './schema.ts'

type Issue = core.$ZodIssue

const REPLACE = 'replace it by what is expected'

/** What the schema found wrong with a file's data. */
export const findingsOf = (issues: readonly Issue[], data: unknown): Finding[] =>
  issues.flatMap((issue) => findingsOfIssue(issue, [], data))

function findingsOfIssue(issue: Issue, base: Path, data: unknown): Finding[] {
  const path = [...base, ...(issue.path as Path)]
  const value = valueAt(data, path)
  const expected = schemaAt(path)?.title ?? 'something else'
  const common = { severity: 'error', path, at: 'value', expected, found: foundAt(path, value) } as const
  switch (issue.code) {
    case 'unrecognized_keys':
      return issue.keys.map((key) => unknownKey(path, key))
    case 'invalid_union': {
      const branch = branchOf(issue.errors)
      if (branch !== undefined) return branch.flatMap((inner) => findingsOfIssue(inner, path, data))
      return [{ ...common, remedy: 'see the guide for the two ways to write it' }]
    }
    case 'custom':
      return [{ ...common, remedy: (issue.params as IssueParams | undefined)?.remedy ?? REPLACE }]
    case 'invalid_type':
      return [
        { ...common, at: value === undefined ? 'key' : 'value', remedy: typeRemedy(issue, path, value) },
      ]
    case 'too_small':
    case 'too_big':
      return [{ ...common, found: measured(issue, common.found), remedy: sizeRemedy(issue) }]
    case 'invalid_value': {
      const words = issue.values.map(String)
      const near = nearest(String(value), words)
      return [{ ...common, remedy: near === undefined ? 'choose one of them' : `did you mean ${near}?` }]
    }
    default:
      return [{ ...common, remedy: REPLACE }]
  }
}

function unknownKey(path: Path, key: string): Finding {
  const known = Object.keys(schemaAt(path)?.properties ?? {})
  const near = nearest(key, known)
  return {
    severity: 'error',
    path: [...path, key],
    at: 'key',
    expected: `one of ${known.join(', ')}`,
    found: `the unknown setting ${JSON.stringify(key)}`,
    remedy: near === undefined ? 'remove it, or write the one that was meant' : `did you mean ${near}?`,
  }
}

/** Of the ways that a value may be written, the one whose type it has. */
const branchOf = (branches: readonly (readonly Issue[])[]): readonly Issue[] | undefined =>
  branches.find((issues) => !issues.some(({ code, path }) => code === 'invalid_type' && path.length === 0))

function typeRemedy(issue: core.$ZodIssueInvalidType, path: Path, value: unknown): string {
  if (value === undefined) return `add ${String(path.at(-1) ?? 'settings')}`
  if (value === null) return 'write a value behind the colon, or remove the line'
  if (issue.expected === 'string' && typeof value !== 'object') return 'put it in quotes, so that it is text'
  if (issue.expected === 'array' && typeof value !== 'object') return 'put it in brackets, [ ], as a list'
  if (issue.expected === 'array') return 'begin each entry with a dash and a space'
  if (['number', 'int', 'boolean'].includes(issue.expected) && typeof value === 'string')
    return 'write it without quotes and units'
  if (issue.expected === 'object' || issue.expected === 'record')
    return 'write KEY: VALUE lines, indented below it'
  if (issue.expected === 'int' && typeof value === 'number') return 'choose a whole number'
  return 'write one value behind the colon'
}

/** Texts and lists that are too long or too short are told with their length. */
function measured(issue: core.$ZodIssueTooSmall | core.$ZodIssueTooBig, found: string): string {
  if (issue.code === 'too_big' && issue.origin === 'string') return 'a longer one'
  return found
}

function sizeRemedy(issue: core.$ZodIssueTooSmall | core.$ZodIssueTooBig): string {
  if (issue.origin === 'array') return 'name at least one, or remove the line'
  if (issue.origin === 'string') return issue.code === 'too_small' ? 'fill it in' : 'shorten it'
  return 'choose a number of that range'
}

/** Secrets are not shown, whatever is wrong with them. */
function foundAt(path: Path, value: unknown): string {
  return path.at(-1) === 'secret' && typeof value !== 'object' ? `a ${typeof value}` : describeValue(value)
}

export function valueAt(data: unknown, path: Path): unknown {
  let value = data
  for (const step of path) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, step)) return undefined
    value = (value as Record<string | number, unknown>)[step]
  }
  return value
}
