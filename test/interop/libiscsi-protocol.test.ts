/** libiscsi's tests of the iSCSI protocol itself, each in a process of its own: an aborted task of one disturbs the next. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { listSuiteTests, runTest, runTwice } from '../support/libiscsi-suite.ts'
import { requirePeers } from '../support/peer.ts'
import { Scratch } from '../support/scratch.ts'
import { startSubject } from '../support/subject.ts'

const suites = new Set(['iSCSITMF', 'iSCSIcmdsn', 'iSCSIdatasn'])
/**
 * It asks whether an answer to LOGICAL UNIT RESET has come before it has sent the request: the variable that it looks at is set by that
 * answer, which is read while it logs out. So the first time in a process always fails here, with every target; it sends and checks
 * everything the second time.
 */
const asksTooEarly = 'iSCSITMF.LUNResetSimpleAsync'

test('iscsi-test-cu, the iSCSI protocol', { timeout: 120_000 }, async (t) => {
  if (!requirePeers(t, 'iscsi-test-cu')) return
  const scratch = new Scratch(t)
  const subject = await startSubject(scratch, { images: [scratch.path('disk')], size: '256M' })
  const names = (await listSuiteTests()).filter((name) => suites.has(name.split('.')[0] ?? ''))
  assert.ok(names.length === 5 && names.includes(asksTooEarly))

  for (const name of names) {
    await t.test(name, async () => {
      if (name === asksTooEarly) {
        const [first, second, ...more] = await runTwice(name, subject.url())
        assert.equal(first?.outcome, 'failed')
        assert.equal(first.why.length, 1)
        assert.match(first.why[0] ?? '', /CU_ASSERT_EQUAL\(reconnect_succeeded,1\)/)
        assert.deepEqual([second, more], [{ name, outcome: 'passed', why: [] }, []])
      } else assert.deepEqual(await runTest(name, subject.url()), { name, outcome: 'passed', why: [] })
      assert.ok(subject.isRunning)
    })
  }
})
