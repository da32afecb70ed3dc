/**
 * Runs suites of libiscsi's `iscsi-test-cu` and reads its report. Each suite gets a process of its own: in one process for all, an
 * early test changes what a later one sees. CUnit counts a skipped test as passed, and the reason is only printed with `-V`, so
 * that `[SKIPPED]` lines are looked for inside each test's output.
 */
import { peerPath } from './peer.ts'
import { run, runOk } from './scratch.ts'

export type Outcome = 'passed' | 'failed' | 'skipped'

export interface SuiteTest {
  /** `Suite.Test`. */
  readonly name: string
  readonly outcome: Outcome
  /** The `[SKIPPED]` or failure lines. */
  readonly why: readonly string[]
}

const SUITE_TIMEOUT_MS = 60_000

/** Every `Suite.Test` of the family ALL. */
export async function listSuiteTests(): Promise<string[]> {
  const { stdout } = await runOk(peerPath('iscsi-test-cu'), ['--list'])
  return [...stdout.matchAll(/^ALL\.(\w+\.\S+)$/gm)].map((match) => match[1] ?? '')
}

/** Runs one suite to its end. A test that the suite lists and that left no result has failed. */
export function runSuite(suite: string, url: string, listed: readonly string[]): Promise<SuiteTest[]> {
  return runTests(
    suite,
    suite,
    url,
    listed.filter((name) => name.startsWith(`${suite}.`)),
  )
}

export interface RunOptions {
  /** The same unit by another path, for the tests of several. */
  readonly secondUrl?: string
  readonly timeoutMs?: number
}

/** Runs one `Suite.Test`. */
export async function runTest(name: string, url: string, options: RunOptions = {}): Promise<SuiteTest> {
  const [result] = await runTests(name, name.split('.')[0] ?? '', url, [name], options)
  return result ?? { name, outcome: 'failed', why: ['no result'] }
}

async function runTests(
  which: string,
  suite: string,
  url: string,
  names: readonly string[],
  { secondUrl, timeoutMs = SUITE_TIMEOUT_MS }: RunOptions = {},
): Promise<SuiteTest[]> {
  const flags = ['--dataloss', '--allow-sanitize', '--verbose', '--Verbose-scsi']
  const urls = secondUrl === undefined ? [url] : [url, secondUrl]
  const args = [...flags, '--test', `ALL.${which}`, ...urls]
  const result = await run(peerPath('iscsi-test-cu'), args, { timeoutMs })
  const tests = parseReport(suite, result.stdout)
  const missing = names.filter((name) => !tests.some((found) => found.name === name))
  const end = result.signal === null ? `exit code ${result.code}` : `ended by ${result.signal}`
  return [
    ...tests,
    ...missing.map((name): SuiteTest => ({ name, outcome: 'failed', why: [`no result: ${end}`] })),
  ]
}

/** The tests of one suite from the program's output. */
export function parseReport(suite: string, output: string): SuiteTest[] {
  const [body = '', summary] = output.split(/^Run Summary:/m)
  const tests = body
    .split(/^ {2}Test: /m)
    .slice(1)
    .map((text) => parseTest(suite, text, summary !== undefined))
  const counts = /^\s+tests\s+\d+\s+(\d+)\s+\d+\s+(\d+)/m.exec(summary ?? '')
  const failed = tests.filter((test) => test.outcome === 'failed').length
  if (counts !== null && (Number(counts[1]) !== tests.length || Number(counts[2]) !== failed)) {
    throw new Error(`the report of ${suite} was misread: ${counts[0].trim()}\n${output}`)
  }
  return tests
}

const lastLine = (lines: readonly string[]): string =>
  lines.findLast((line) => line.trim() !== '')?.trim() ?? ''

function parseTest(suite: string, text: string, ended: boolean): SuiteTest {
  const name = `${suite}.${/^\S+/.exec(text)?.[0] ?? ''}`
  const lines = text.split('\n')
  const failed = lines.some((line) => /^FAILED|\.\.\.FAILED/.test(line))
  const passed = lines.some((line) => /^passed|\.\.\.passed/.test(line))
  if (failed || (!passed && !ended)) {
    const why = lines.filter((line) => /\[FAILED\]|^\s+\d+\. /.test(line)).map((line) => line.trim())
    return {
      name,
      outcome: 'failed',
      why: passed || failed ? why : [`the program ended in this test, behind: ${lastLine(lines)}`, ...why],
    }
  }
  // Behind the verdict of the last test is what the program says while it clears up.
  const verdict = lines.findIndex((line) => /^passed|\.\.\.passed/.test(line))
  const said = verdict < 0 ? lines : lines.slice(0, verdict)
  const skips = said.filter((line) => line.includes('[SKIPPED]')).map((line) => line.trim())
  return { name, outcome: skips.length > 0 ? 'skipped' : 'passed', why: [...new Set(skips)] }
}
