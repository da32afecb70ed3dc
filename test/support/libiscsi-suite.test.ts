import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseReport } from './libiscsi-suite.ts'

const summary = (ran: number, passed: number, failed: number): string => `
Run Summary:    Type  Total    Ran Passed Failed Inactive
              suites      1      1    n/a      0        0
               tests      ${ran}      ${ran}      ${passed}      ${failed}        0
             asserts      9      9      9      0      n/a
`

const passed = `  Test: Simple ...
    Send READ10 (Expecting SUCCESS) LBA:0 blocks:1
    [OK] READ10 returned SUCCESS NO SENSE(0x00) (null)(0x0000)
passed    Send PRIN/READ_KEYS
    [SKIPPED] PERSISTENT RESERVE IN is not implemented.
`
const quiet = '  Test: Quiet ...passed\n'
const skipped = `  Test: Absent ...
    [SKIPPED] LUN is not removable. Skipping test.
passed
`
const failed = `  Test: Broken ...
    [FAILED] READ10 returned SUCCESS. Should have failed
FAILED
    1. ./test_read10_beyond_eol.c:45  - ret == 0
`

test('a test that skips does not pass, though CUnit says so', () => {
  const report = `\nSuite: Read10\n${passed}${quiet}${skipped}${failed}${summary(4, 3, 1)}`
  const outcomes = parseReport('Read10', report).map(({ name, outcome }) => `${name} ${outcome}`)
  assert.deepEqual(outcomes, [
    'Read10.Simple passed',
    'Read10.Quiet passed',
    'Read10.Absent skipped',
    'Read10.Broken failed',
  ])
})

test('a program that dies in a test has failed it', () => {
  const [first, second, ...rest] = parseReport(
    'Read10',
    `Suite: Read10\n${passed}  Test: Last ...\n    Send READ10`,
  )
  assert.equal(first?.outcome, 'passed')
  assert.deepEqual(second, {
    name: 'Read10.Last',
    outcome: 'failed',
    why: ['the program ended in this test, behind: Send READ10'],
  })
  assert.deepEqual(rest, [])
})

test('a report whose sums do not fit is refused', () => {
  assert.throws(() => parseReport('Read10', `Suite: Read10\n${passed}${summary(2, 2, 0)}`), /misread/)
  assert.throws(() => parseReport('Read10', `Suite: Read10\n${passed}${summary(1, 0, 1)}`), /misread/)
})
