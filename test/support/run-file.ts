/** Runs one test file in a process of its own and turns the events of node:test into checks. */
import { type EventData, run } from 'node:test'
import { relative } from 'node:path'
import { inspect } from 'node:util'
import type { Check, Outcome } from './tally.ts'

export interface FileRun {
  readonly root: string
  readonly file: string
  /** The whole file: its process is killed at this age. */
  readonly timeoutMs: number
  /** Called for each finished test. */
  readonly onCheck: (check: Check, durationMs: number, failure: string | undefined) => void
  /** What the file's process wrote, and its tests' diagnostics. */
  readonly onOutput: (text: string) => void
}

type TestEnd = EventData.TestPass | EventData.TestFail

export async function runFile(options: FileRun): Promise<void> {
  const { root, file, timeoutMs, onCheck, onOutput } = options
  const where = relative(root, file)
  const signal = AbortSignal.timeout(timeoutMs)
  let failures = 0
  const finish = (
    event: TestEnd,
    name: string,
    outcome: Outcome,
    reason?: string,
    failure?: string,
  ): void => {
    if (outcome === 'failed') failures++
    onCheck({ where, name, outcome, ...(reason && { reason }) }, event.details.duration_ms, failure)
  }
  const parents: string[] = []
  for await (const event of run({ files: [file], signal, cwd: root })) {
    switch (event.type) {
      case 'test:start':
        parents.length = event.data.nesting
        parents.push(event.data.name)
        break
      case 'test:stdout':
      case 'test:stderr':
        onOutput(event.data.message)
        break
      case 'test:diagnostic':
        if (!isRunStatistic(event.data.message)) onOutput(`${event.data.message}\n`)
        break
      case 'test:pass':
      case 'test:fail': {
        const { data } = event
        const failed = event.type === 'test:fail'
        if (data.name === file) {
          // The process itself: it ended badly, was killed, or held no test at all.
          if (!failed) finish(data, where, 'failed', undefined, 'There is no test in this file.')
          else if (signal.aborted)
            finish(data, where, 'failed', undefined, `Killed: still running after ${timeoutMs / 1000} s.`)
          else finish(data, where, 'failed', undefined, 'The process of this file ended with an error.')
          break
        }
        if (data.details.type === 'suite' && isSumOfItsTests(data)) break
        const name = [...parents.slice(0, data.nesting), data.name].join(' > ')
        if (failed && data.todo === undefined) finish(data, name, 'failed', undefined, describe(data))
        else if (data.todo !== undefined) finish(data, name, 'todo', reasonOf(data.todo))
        else if (data.skip !== undefined) finish(data, name, 'skipped', reasonOf(data.skip))
        else finish(data, name, 'passed')
        break
      }
      default:
        break
    }
  }
  if (signal.aborted && failures === 0) {
    const failure = `Killed: still running after ${timeoutMs / 1000} s.`
    onCheck({ where, name: where, outcome: 'failed' }, timeoutMs, failure)
  }
}

const reasonOf = (mark: string | boolean): string => (typeof mark === 'string' ? mark : '')

const isRunStatistic = (message: string): boolean =>
  /^(tests|suites|pass|fail|cancelled|skipped|todo|duration_ms) [\d.]+$/.test(message)

const errorOf = (event: TestEnd): (Error & { failureType?: string }) | undefined =>
  'error' in event.details && event.details.error instanceof Error ? event.details.error : undefined

/** A suite is a check of its own only where a hook failed or the whole suite was skipped. */
function isSumOfItsTests(event: TestEnd): boolean {
  if (event.skip !== undefined || event.todo !== undefined) return false
  const error = errorOf(event)
  return error === undefined || error.failureType === 'subtestsFailed'
}

function describe(event: TestEnd): string {
  const error = errorOf(event)
  const cause = error?.cause ?? error
  return typeof cause === 'string' ? cause : inspect(cause)
}
