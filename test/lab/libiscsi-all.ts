/**
 * `[CYGNET_SUBJECT=tgt] node test/lab/libiscsi-all.ts`: runs all of libiscsi's suite and prints what passed, failed and was skipped, for
 * the record. Nothing is judged here: `test/interop/libiscsi-suite.test.ts` does that for the suites that must pass.
 */
import { listSuiteTests, type Outcome, runSuite, runTest, type SuiteTest } from '../support/libiscsi-suite.ts'
import { Scratch } from '../support/scratch.ts'
import { startSubject } from '../support/subject.ts'

/** An aborted task of one of these tests disturbs the next: they run one by one. */
const oneByOne = new Set(['iSCSITMF'])

const scratch = new Scratch()
process.on('SIGINT', () => void scratch.end().finally(() => process.exit(130)))
try {
  const options = { images: [scratch.path('disk')], size: '1G' }
  let subject = await startSubject(scratch, options)
  const listed = await listSuiteTests()
  const results: SuiteTest[] = []
  for (const suite of new Set(listed.map((name) => name.split('.')[0] ?? ''))) {
    const names = listed.filter((name) => name.startsWith(`${suite}.`))
    const outcomes = oneByOne.has(suite)
      ? await inTurn(names, subject.url())
      : await runSuite(suite, subject.url(), listed)
    results.push(...outcomes)
    const count = (outcome: Outcome): number => outcomes.filter((test) => test.outcome === outcome).length
    process.stdout.write(
      `${suite.padEnd(24)} ${count('passed')} passed, ${count('failed')} failed, ${count('skipped')} skipped\n`,
    )
    for (const { name, outcome, why } of outcomes) {
      if (outcome !== 'passed') process.stdout.write(`    ${outcome} ${name}: ${why[0] ?? ''}\n`)
    }
    if (subject.isRunning) continue
    process.stdout.write(`    the target ended in ${suite} and is started again\n`)
    subject = await startSubject(scratch, { ...options, port: subject.port })
  }
  const total = (outcome: Outcome): number => results.filter((test) => test.outcome === outcome).length
  process.stdout.write(
    `${results.length} tests: ${total('passed')} passed, ${total('failed')} failed, ${total('skipped')} skipped\n`,
  )
} finally {
  await scratch.end()
}

async function inTurn(names: readonly string[], url: string): Promise<SuiteTest[]> {
  const outcomes: SuiteTest[] = []
  for (const name of names) outcomes.push(await runTest(name, url))
  return outcomes
}
