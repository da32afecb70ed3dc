/** libiscsi's conformance suite, as far as the disk's present commands go. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { listSuiteTests, runSuite } from '../support/libiscsi-suite.ts'
import { requirePeers } from '../support/peer.ts'
import { Scratch } from '../support/scratch.ts'
import { startSubject, subjectName } from '../support/subject.ts'
import { cygnetExpectations, tgtExpectations } from './libiscsi-suite.expected.ts'

const suites = [
  'Read6',
  'Read10',
  'Read12',
  'Read16',
  'Write10',
  'Write12',
  'Write16',
  'Verify10',
  'TestUnitReady',
  'Inquiry',
  'Mandatory',
  'ReadCapacity10',
  'ReadCapacity16',
  'ModeSense6',
  'ReportSupportedOpcodes',
  'NoMedia',
  'Unmap',
  'WriteSame10',
  'WriteSame16',
  'PrinReadKeys',
  'PrinServiceactionRange',
  'PrinReportCapabilities',
  'ProutRegister',
  'ProutReserve',
  'ProutClear',
  'ProutPreempt',
  'Reserve6',
  'iSCSIcmdsn',
  'iSCSIResiduals',
]

test('iscsi-test-cu', async (t) => {
  if (!requirePeers(t, 'iscsi-test-cu')) return
  const scratch = new Scratch(t)
  const subject = await startSubject(scratch, { images: [scratch.path('disk')], size: '1G' })
  const expected = subjectName() === 'tgt' ? tgtExpectations : cygnetExpectations
  const listed = await listSuiteTests()

  for (const suite of suites) {
    await t.test(suite, async () => {
      const names = listed.filter((name) => name.startsWith(`${suite}.`))
      assert.ok(names.length > 0, 'the suite has tests')
      const results = await runSuite(suite, subject.url(), listed)
      assert.deepEqual(results.map(({ name }) => name).toSorted(), names.toSorted())
      const unexpected = results.filter(({ name, outcome }) => {
        if (outcome === 'failed') return !(name in expected.failed)
        if (outcome === 'skipped') return !(name in expected.skipped)
        return name in expected.failed || name in expected.skipped
      })
      assert.deepEqual(unexpected, [], `see libiscsi-suite.expected.ts`)
      assert.ok(subject.isRunning, 'the target still runs')
    })
  }

  await t.test('the list of expectations names only tests that were run', () => {
    const names = [...Object.keys(expected.skipped), ...Object.keys(expected.failed)]
    const unknown = names.filter(
      (name) => !listed.includes(name) || !suites.includes(name.split('.')[0] ?? ''),
    )
    assert.deepEqual(unknown, [])
  })
})
