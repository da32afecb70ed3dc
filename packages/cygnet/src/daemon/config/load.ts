import { readFileSync, statSync } from 'node:fs'
import { dirname } from 'node:path'
import { CygnetError } from '../../base/errors.ts'
import { checkAuth } from './check-auth.ts'
import { checkPortals } from './check-portals.ts'
import { checkTargets } from './check-targets.ts'
import { checkTls } from './check-tls.ts'
import type { Finding } from './finding.ts'
import type { Environment } from './named-files.ts'
import { stateOf } from './normalise.ts'
import { formatProblem, type Problem } from './problem.ts'
import { soundPart } from './prune.ts'
import { configSchema } from './schema.ts'
import { findingsOf } from './schema-findings.ts'
import { Secrets } from './secrets.ts'
import type { DesiredState } from './state.ts'
import { type SyntaxFault, YamlSource } from './yaml-source.ts'

/** More than thousands of targets need. */
const MAX_FILE_BYTES = 4 * 1024 * 1024

export interface LoadedConfig {
  readonly state: DesiredState
  /** What the state's secret sources held. */
  readonly secrets: Secrets
  readonly warnings: readonly Problem[]
}

export interface ConfigReport {
  /** In the order of the file. */
  readonly problems: readonly Problem[]
  /** Undefined where a problem is an error. */
  readonly loaded: LoadedConfig | undefined
}

/**
 * Reads cygnet.yaml, with the secrets that it names. Warnings are in the result.
 * @throws {CygnetError} CONFIG_UNREADABLE; CONFIG_INVALID, whose message has a line for each problem
 */
export function loadConfig(path: string, environment: Environment = process.env): LoadedConfig {
  const { problems, loaded } = checkConfig(readConfig(path), path, environment)
  if (loaded) return loaded
  const errors = problems.filter(({ severity }) => severity === 'error').length
  const count = errors === 1 ? 'one error' : `${errors} errors`
  const lines = problems.map(formatProblem).join('\n')
  throw new CygnetError('CONFIG_INVALID', `${path} has ${count}:\n${lines}`)
}

/** @throws {CygnetError} CONFIG_UNREADABLE */
export function readConfig(path: string): string {
  const unreadable = (why: string, cause?: unknown): CygnetError =>
    new CygnetError('CONFIG_UNREADABLE', `${path} ${why}.`, { cause })
  const stats = statSync(path, { throwIfNoEntry: false })
  if (stats === undefined) throw unreadable('does not exist: write one, or name another with -c')
  if (stats.isDirectory()) throw unreadable('is a folder: name the file in it with -c')
  if (stats.size > MAX_FILE_BYTES)
    throw unreadable(`has more than ${MAX_FILE_BYTES} bytes: name another with -c`)
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    throw unreadable(
      `cannot be read (${(error as NodeJS.ErrnoException).code}): check its permissions`,
      error,
    )
  }
}

/** Checks the text of a file. `path` is for messages, and its folder is where relative paths start. */
export function checkConfig(text: string, path: string, environment: Environment): ConfigReport {
  const source = new YamlSource(text)
  const problems = source.faults.map((fault) => syntaxProblem(fault, path))
  const secrets = new Secrets()
  let state: DesiredState | undefined
  if (!source.faults.some(({ hidesRest }) => hidesRest)) {
    const data = source.value
    const result = configSchema.safeParse(data)
    const findings = result.success ? [] : findingsOf(result.error.issues, data)
    const part = soundPart(data)
    const folder = dirname(path)
    if (part) {
      const surroundings = { folder, environment }
      const inPart = [
        ...checkPortals(part),
        ...checkTls(part, surroundings),
        ...checkTargets(part),
        ...checkAuth(part, surroundings, secrets),
      ]
      findings.push(...inPart.map((finding) => ({ ...finding, path: part.inFile(finding.path) })))
    }
    problems.push(...findings.map((finding) => locate(finding, source, path)))
    if (result.success && !problems.some(isError)) state = stateOf(result.data, folder)
  }
  const sorted = problems.toSorted((a, b) => a.line - b.line || a.column - b.column)
  return { problems: sorted, loaded: state && { state, secrets, warnings: sorted } }
}

const isError = ({ severity }: Problem): boolean => severity === 'error'

function syntaxProblem({ position, expected, found, remedy }: SyntaxFault, file: string): Problem {
  return {
    severity: 'error',
    file,
    ...position,
    path: [],
    expected,
    found,
    remedy,
  }
}

function locate(finding: Finding, source: YamlSource, file: string): Problem {
  const { severity, path, at, expected, found, remedy } = finding
  const position = at === 'key' ? source.positionOfKey(path) : source.positionOf(path)
  return { severity, file, ...position, path, expected, found, remedy }
}
