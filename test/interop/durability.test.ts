/** What the target has acknowledged as durable outlives its sudden death; being asked to end, it lets everybody finish. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { RawInitiator } from '../support/raw-initiator.ts'
import { RecordingWriter, rw10 } from '../support/recording-writer.ts'
import { Scratch } from '../support/scratch.ts'
import { Seeded } from '../support/seeded.ts'
import { sleep, startSubject, type Subject, subjectName, until } from '../support/subject.ts'

const ROUNDS = 20
const WORKERS = 8
const UNITS = 1024
const TEST_UNIT_READY = [0, 0, 0, 0, 0, 0]
const LOGOUT_REQUESTED = 1

/** Logs in and takes the unit attention of a new nexus, if there is one. */
async function logIn(subject: Subject, keys: Record<string, string> = {}): Promise<RawInitiator> {
  const initiator = await RawInitiator.open(subject.port, { target: subject.iqn, keys })
  await initiator.command(TEST_UNIT_READY, { lun: subject.lun() })
  return initiator
}

test('acknowledged FUA and synchronized writes survive kill -9', { timeout: 120_000 }, async (t) => {
  const scratch = new Scratch(t)
  const random = new Seeded()
  t.diagnostic(`CYGNET_SEED=${random.seed}`)
  const images = [scratch.path('disk')]
  let subject = await startSubject(scratch, { images, size: '16M' })
  const writer = new RecordingWriter(random, UNITS, subject.lun())
  for (let round = 0; round < ROUNDS; round++) {
    const initiator = await logIn(subject)
    const target = subject
    const work = Array.from({ length: WORKERS }, async () => {
      while (target.isRunning) {
        try {
          await writer.step(initiator)
        } catch (error) {
          // Only the loss of the connection ends a worker; a bad status is a failure.
          if (error instanceof assert.AssertionError || !initiator.isClosed) throw error
          return
        }
      }
    })
    const crash = async (): Promise<void> => {
      await sleep(random.between(20, 200))
      await target.crash()
    }
    await Promise.all([...work, crash()])
    initiator.close()
    subject = await startSubject(scratch, { images, size: '16M', port: subject.port })
    const reader = await logIn(subject)
    await writer.verify(reader)
    await reader.logout()
  }
  t.diagnostic(`${writer.writes} writes, ${writer.durable} units acknowledged as durable`)
  assert.ok(writer.durable > ROUNDS * 20, 'the rounds had something to lose')
})

// tgt ends on a signal without a word to its initiators.
if (subjectName() === 'cygnet') {
  test('SIGTERM during I/O', { timeout: 60_000 }, async (t) => {
    const scratch = new Scratch(t)
    const random = new Seeded()
    t.diagnostic(`CYGNET_SEED=${random.seed}`)
    const images = [scratch.path('disk')]
    let subject = await startSubject(scratch, { images, size: '16M' })
    const writer = new RecordingWriter(random, UNITS, subject.lun())
    const initiators = [
      await logIn(subject),
      await logIn(subject, { HeaderDigest: 'CRC32C', DataDigest: 'CRC32C' }),
    ]

    await t.test('commands in flight finish, and initiators are asked to log out', async () => {
      const work = initiators.map(async (initiator) => {
        const workers = Array.from({ length: WORKERS }, async () => {
          while (initiator.asyncMessages.length === 0) await writer.step(initiator)
        })
        await Promise.all(workers)
        assert.equal(initiator.isClosed, false, 'the connection stays until the initiator logs out')
        const message = initiator.asyncMessages[0]
        assert.ok(message)
        assert.equal(message.bhs.readUInt8(36), LOGOUT_REQUESTED)
        assert.ok(message.bhs.readUInt16BE(42) > 0, 'Parameter3: seconds to log out in')
        assert.equal(await initiator.logout(), 0)
        assert.equal(initiator.asyncMessages.length, 1, 'asked once')
      })
      await sleep(150)
      const [exit] = await Promise.all([subject.stop(), ...work])
      assert.deepEqual(exit, { code: 0, signal: null })
    })

    await t.test('all that was acknowledged is there after a restart', async () => {
      writer.settle()
      subject = await startSubject(scratch, { images, port: subject.port })
      const reader = await logIn(subject)
      await writer.verify(reader)
      await reader.logout()
      assert.ok(writer.writes > 20, `${writer.writes} writes`)
    })

    await t.test('an initiator that pays no heed does not keep the process alive', async () => {
      const deaf = await logIn(subject)
      const [exit] = await Promise.all([subject.stop(), deaf.closed])
      assert.deepEqual(exit, { code: 0, signal: null })
    })
  })

  test('new connections are refused once the target is ending', { timeout: 30_000 }, async (t) => {
    const scratch = new Scratch(t)
    const subject = await startSubject(scratch, { memory: '16M' })
    const initiator = await logIn(subject)
    const stopped = subject.stop()
    assert.ok(await until(() => initiator.asyncMessages.length > 0, 5000), 'asked to log out')
    await assert.rejects(RawInitiator.open(subject.port, { target: subject.iqn }))
    // The session that was asked to log out may still finish its work.
    const read = await initiator.command(rw10(0x28, 0, 8), { lun: subject.lun(), read: 4096 })
    assert.equal(read.status, 0)
    await initiator.logout()
    assert.deepEqual(await stopped, { code: 0, signal: null })
  })
}
