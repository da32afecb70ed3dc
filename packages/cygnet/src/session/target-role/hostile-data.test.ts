/** RFC 7143 §11.7, §11.8: Data-Out that is not what was asked for, at every ErrorRecoveryLevel. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { ScsiStatus } from '../../scsi/status.ts'
import { FakeOpcode, fakeCdb, pattern } from './fake-target.test-helper.ts'
import { PeerSession } from './peer-session.test-helper.ts'
import { type Answer, asR2T, asScsi, names } from '../wire.test-helper.ts'

const TAG = 0x100
const NONE = fakeCdb(FakeOpcode.none)

/** A write of 2048 bytes whose first R2T, for 1024, was not answered yet. */
function asked(level: 0 | 1 | 2): { session: PeerSession; targetTransferTag: number } {
  const session = new PeerSession({
    level,
    keys: [
      ['MaxBurstLength', '1024'],
      ['FirstBurstLength', '512'],
    ],
  })
  const write = { write: true, expectedDataTransferLength: 2048, initiatorTaskTag: TAG }
  const r2t = asR2T(session.at(1).command(fakeCdb(FakeOpcode.write, 2048), write)[0])
  assert.equal(r2t.desiredDataTransferLength, 1024)
  return { session, targetTransferTag: r2t.targetTransferTag }
}

for (const level of [0, 1, 2] as const) {
  describe(`at ErrorRecoveryLevel ${level}`, () => {
    for (const [what, edit, lengthBytes] of [
      ['past the end of its R2T', {}, 1028],
      ['from before its R2T', { bufferOffset: 0xffff_ff00 }, 1024],
      ['far beyond its command', { bufferOffset: 0x1000_0000 }, 1024],
      ['for the R2T after the one that was sent', { bufferOffset: 1024 }, 1024],
      ['with a gap in DataSN', { dataSN: 1 }, 1024],
      ['with a DataSN at the end of the numbers', { dataSN: 0xffff_ffff }, 1024],
    ] as const) {
      test(`Data-Out ${what} reaches no unit, and others go on`, () => {
        const { session, targetTransferTag } = asked(level)
        const answers: Answer[] = []
        for (let tries = 0; tries < 20; tries++) {
          const data = { initiatorTaskTag: TAG, targetTransferTag, ...edit }
          answers.push(...session.at(1).dataOut(data, pattern(lengthBytes)))
        }
        for (const answer of answers.filter(({ name }) => name === 'SCSI Response')) {
          assert.equal(asScsi(answer).status, ScsiStatus.checkCondition)
        }
        assert.equal(session.target.written.size, 0)
        const allowed = new Set(['Reject', 'SCSI Response', 'Ready To Transfer'])
        assert.deepEqual(
          names(answers).filter((name) => !allowed.has(name)),
          [],
        )
        // With recovery, what was asked for is asked for again, a bounded number of times.
        assert.ok(answers.length <= 40, `${answers.length} answers`)
        for (const cid of [1, 2]) assert.equal(asScsi(session.at(cid).command(NONE).at(-1)).status, 0)
        assert.ok(session.pool.inUse <= 2, `${session.pool.inUse} buffers for one command`)
        session.finish()
      })
    }
  })
}
