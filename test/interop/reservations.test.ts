/** What reservations and target port groups are for, from the outside: two hosts, a server that dies, a path that is taken away. */
import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { test } from 'node:test'
import { startConfigured } from '../support/configured.ts'
import { RawInitiator } from '../support/raw-initiator.ts'
import { Scratch } from '../support/scratch.ts'
import { startCygnet, type Subject, subjectName } from '../support/subject.ts'

const TEST_UNIT_READY = [0, 0, 0, 0, 0, 0]
const WRITE_10 = [0x2a, 0, 0, 0, 0, 0, 0, 0, 1, 0]
const READ_KEYS = [0x5e, 0, 0, 0, 0, 0, 0, 1, 0, 0]
const GOOD = 0
const RESERVATION_CONFLICT = 0x18
const WRITE_EXCLUSIVE_REGISTRANTS_ONLY = 5

async function logIn(subject: Subject, host: number, port = subject.port): Promise<RawInitiator> {
  const initiator = await RawInitiator.open(port, {
    target: subject.iqn,
    initiatorName: `iqn.2026-11.dev.example:host${host}`,
    isid: Uint8Array.of(0x80, 0, 0, 0, 0, host),
  })
  await initiator.command(TEST_UNIT_READY)
  return initiator
}

async function reserveOut(initiator: RawInitiator, action: number, key: number, actionKey = 0, flags = 0) {
  const list = Buffer.alloc(24)
  list[7] = key
  list[15] = actionKey
  list[20] = flags
  const cdb = [0x5f, action, WRITE_EXCLUSIVE_REGISTRANTS_ONLY, 0, 0, 0, 0, 0, 24, 0]
  return (await initiator.command(cdb, { write: list })).status
}

const write = async (initiator: RawInitiator): Promise<number> =>
  (await initiator.command(WRITE_10, { write: Buffer.alloc(512) })).status

async function keys(initiator: RawInitiator): Promise<number[]> {
  const { data } = await initiator.command(READ_KEYS, { read: 256 })
  return Array.from({ length: data.readUInt32BE(4) / 8 }, (_, i) => Number(data.readBigUInt64BE(8 + 8 * i)))
}

// tgt keeps no reservations over its end.
if (subjectName() === 'cygnet') {
  for (const where of ['beside the image', 'in a state folder'] as const) {
    test(`a reservation with APTPL outlives kill -9, ${where}`, { timeout: 60_000 }, async (t) => {
      const scratch = new Scratch(t)
      const image = scratch.path('disk')
      const folder = scratch.path('state')
      const options = {
        images: [image],
        size: '1M',
        ...(where === 'in a state folder' && { stateFolder: folder }),
      }
      let subject = await startCygnet(scratch, options)
      const [one, two, three] = await Promise.all([1, 2, 3].map((host) => logIn(subject, host)))
      assert.ok(one && two && three)
      assert.equal(await reserveOut(one, 0, 0, 1, 1), GOOD, 'REGISTER')
      assert.equal(await reserveOut(two, 0, 0, 2, 1), GOOD, 'REGISTER')
      assert.equal(await reserveOut(one, 1, 1), GOOD, 'RESERVE')
      assert.deepEqual(
        [await write(one), await write(two), await write(three)],
        [GOOD, GOOD, RESERVATION_CONFLICT],
      )
      await subject.crash()
      assert.equal(existsSync(`${image}.state`), where === 'beside the image')
      assert.equal(existsSync(folder), where === 'in a state folder')

      subject = await startCygnet(scratch, options)
      const again = await Promise.all([3, 2, 1].map((host) => logIn(subject, host)))
      const statuses: number[] = []
      for (const initiator of again) statuses.push(await write(initiator))
      assert.deepEqual(statuses, [RESERVATION_CONFLICT, GOOD, GOOD])
      const [, second] = again
      assert.ok(second)
      assert.deepEqual(await keys(second), [1, 2])
      assert.equal(await reserveOut(second, 4, 2, 1), GOOD, 'PREEMPT')
      assert.deepEqual(await keys(second), [2])
      for (const initiator of again) await initiator.logout()
      await subject.stop()
    })
  }

  test('paths through two portal groups: asked for, changed, and what becomes of a write', async (t) => {
    const scratch = new Scratch(t)
    await using server = await startConfigured(scratch, {
      portals: [{ listen: '127.0.0.1:0' }, { listen: '127.0.0.1:0', group: 2 }],
      targets: {
        'iqn.2026-11.dev.example:paths': { paths: { 2: 'standby' }, luns: { 0: { memory: '1M' } } },
      },
    })
    const { subject, ports } = server
    const [first, second] = await Promise.all([1, 2].map((group) => logIn(subject, group, ports[group - 1])))
    assert.ok(first && second)
    const states = async (): Promise<number[]> => {
      const { data } = await first.command([0xa3, 0x0a, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0], { read: 256 })
      assert.equal(data.length, 28)
      return [data[4] ?? -1, data[16] ?? -1]
    }
    assert.deepEqual(await states(), [0, 2])
    const refused = await second.command(WRITE_10, { write: Buffer.alloc(512) })
    assert.deepEqual([refused.senseKey, refused.asc], [2, 0x040b])
    const list = Buffer.from('00000000 00000002'.replaceAll(' ', ''), 'hex')
    const set = await first.command([0xa4, 0x0a, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0], { write: list })
    assert.equal(set.status, GOOD, 'SET TARGET PORT GROUPS')
    assert.deepEqual(await states(), [0, 0])
    const told = await second.command(TEST_UNIT_READY)
    assert.deepEqual([told.senseKey, told.asc], [6, 0x2a06])
    assert.equal(await write(second), GOOD)
  })
}
