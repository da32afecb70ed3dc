/** libiscsi's tests of the iSCSI protocol itself, each in a process of its own: an aborted task of one disturbs the next. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { listSuiteTests, runTest } from '../support/libiscsi-suite.ts'
import { peerPath, requirePeers } from '../support/peer.ts'
import { run, Scratch } from '../support/scratch.ts'
import { startSubject } from '../support/subject.ts'

const suites = new Set(['iSCSITMF', 'iSCSIcmdsn', 'iSCSIdatasn'])
/** tgt does not look at DataSN. */
const isNotSeenByTgt = 'iSCSIdatasn.iSCSIDataSnInvalid'
/**
 * It asks whether the answer to its LOGICAL UNIT RESET has come before it has sent the request, and so fails with every target. Then
 * it lets go of its WRITE(10), logs out, and writes into freed memory when the answers come, which may end it. What can be judged is
 * that it got them.
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
        const args = ['--dataloss', '--verbose', '--Verbose-scsi', '--test', `ALL.${name}`, subject.url()]
        const { stdout } = await run(peerPath('iscsi-test-cu'), args)
        assert.match(stdout, /LU RESET: TMF response 0 .*\n\s*LU RESET completed/)
        const failures = [...stdout.matchAll(/CU_\w+\(.*\)/g)].map(([failure]) => failure)
        assert.deepEqual(new Set([...failures, 'CU_ASSERT_EQUAL(reconnect_succeeded,1)']).size, 1, stdout)
      } else {
        const { outcome } = await runTest(name, subject.url())
        assert.equal(outcome, subject.name === 'tgt' && name === isNotSeenByTgt ? 'failed' : 'passed')
      }
      assert.ok(subject.isRunning)
    })
  }
})
