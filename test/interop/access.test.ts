/** Who may log in, and what it then sees. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { startConfigured } from '../support/configured.ts'
import { RawInitiator } from '../support/raw-initiator.ts'
import { chapLogin, INITIATOR } from '../support/raw-login.ts'
import { rw10 } from '../support/recording-writer.ts'
import { Scratch } from '../support/scratch.ts'
import { startSubject, until } from '../support/subject.ts'

const name = (suffix: string): string => `iqn.2026-11.dev.example:${suffix}`
const DISKS = { luns: { 0: { memory: '16M' }, 1: { memory: '32M' }, 5: { memory: '64M' } } }
const SECRET = 'the-only-secret'

/** LUNs as REPORT LUNS lists them. */
async function reportLuns(initiator: RawInitiator): Promise<number[]> {
  const cdb = [0xa0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0]
  const { status, data } = await initiator.command(cdb, { read: 256 })
  assert.equal(status, 0)
  const count = data.readUInt32BE(0) / 8
  return Array.from({ length: count }, (_, index) => data.readUInt16BE(8 + 8 * index))
}

/** Byte 0 of standard INQUIRY data: peripheral qualifier and device type. */
async function inquiry(initiator: RawInitiator, lun: number): Promise<number> {
  const { status, data } = await initiator.command([0x12, 0, 0, 0, 36, 0], { lun, read: 36 })
  assert.equal(status, 0)
  return data.readUInt8(0)
}

/** Size of a disk in bytes; a unit attention is passed over. */
async function capacity(initiator: RawInitiator, lun: number): Promise<number | string> {
  for (;;) {
    const result = await initiator.command([0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0], { lun, read: 8 })
    if (result.senseKey === 6) continue
    if (result.status !== 0) return `${result.senseKey}/${(result.asc ?? 0).toString(16)}`
    return (result.data.readUInt32BE(0) + 1) * result.data.readUInt32BE(4)
  }
}

interface Applicant {
  readonly as?: string
  readonly from?: string
}

test('access rules', async (t) => {
  const scratch = new Scratch(t)
  const users = ['alice', 'bob'].map((user) => ({ user, secret: `${SECRET} of ${user}` }))
  const { subject } = await startConfigured(scratch, {
    targets: {
      [name('by-name')]: {
        ...DISKS,
        access: [{ initiators: [name('host-*'), 'eui.0123456789abcdef'] }],
      },
      [name('by-address')]: { ...DISKS, access: [{ addresses: ['127.0.0.2', '127.1.0.0/16'] }] },
      [name('by-both')]: {
        ...DISKS,
        access: [{ initiators: [name('host-a')], addresses: ['127.0.0.2'] }],
      },
      [name('by-user')]: { ...DISKS, auth: { users }, access: [{ users: ['alice'] }] },
      [name('masked')]: {
        ...DISKS,
        access: [
          { initiators: [name('all')] },
          { initiators: [name('some')], luns: [0, 5] },
          { initiators: [name('mapped')], luns: { 0: 5, 3: 0 } },
          { initiators: [name('reader')], readOnly: true },
        ],
      },
    },
  })

  /** The status of a login, `0000` for success; without a target, what discovery shows. */
  const logIn = async (target: string, { as = INITIATOR, from }: Applicant): Promise<string> => {
    const initiator = await RawInitiator.connect(subject.port, '127.0.0.1', from)
    const options = { target: name(target), initiatorName: as }
    const { statusClass, statusDetail } = await initiator.login(options)
    initiator.close()
    return `${statusClass}${statusDetail}`
  }
  const discover = async ({ as = INITIATOR, from }: Applicant): Promise<string[]> => {
    const initiator = await RawInitiator.connect(subject.port, '127.0.0.1', from)
    await initiator.login({ initiatorName: as })
    const pairs = await initiator.sendTargets()
    await initiator.logout()
    return pairs.filter(([key]) => key === 'TargetName').map(([, value]) => value.split(':')[1] ?? '')
  }
  const open = (as: string): Promise<RawInitiator> =>
    RawInitiator.open(subject.port, { target: name('masked'), initiatorName: name(as) })

  const cases: readonly [string, Applicant, string][] = [
    ['by-name', { as: name('host-a') }, '00'],
    ['by-name', { as: name('HOST-B') }, '00'],
    ['by-name', { as: 'eui.0123456789ABCDEF' }, '00'],
    ['by-name', { as: name('a-host-a') }, '22'],
    ['by-name', { as: name('host') }, '22'],
    ['by-address', { from: '127.0.0.2' }, '00'],
    ['by-address', { from: '127.1.255.1' }, '00'],
    ['by-address', { from: '127.0.0.3' }, '22'],
    ['by-address', { from: '127.0.0.1' }, '22'],
    ['by-both', { as: name('host-a'), from: '127.0.0.2' }, '00'],
    ['by-both', { as: name('host-a') }, '22'],
    ['by-both', { as: name('host-b'), from: '127.0.0.2' }, '22'],
    ['nobody-has-this', {}, '23'],
  ]
  for (const [target, applicant, expected] of cases) {
    const { as = '', from = '' } = applicant
    await t.test(
      `a login to ${target} by ${as} from ${from || 'anywhere'} has status ${expected}`,
      async () => {
        assert.equal(await logIn(target, applicant), expected)
      },
    )
  }

  await t.test('a user that no rule names is refused after its proof: 0202', async () => {
    for (const [user, expected] of [
      ['alice', '0000'],
      ['bob', '0202'],
    ] as const) {
      const initiator = await RawInitiator.connect(subject.port)
      const secret = `${SECRET} of ${user}`
      const { status } = await chapLogin(initiator, { target: name('by-user'), user, secret })
      assert.equal(status, expected)
      initiator.close()
    }
  })

  await t.test('discovery shows what the initiator may log in to, and no more', async () => {
    assert.deepEqual(await discover({}), ['by-user'])
    assert.deepEqual(await discover({ as: name('host-a') }), ['by-name', 'by-user'])
    assert.deepEqual(await discover({ as: name('host-a'), from: '127.0.0.2' }), [
      'by-address',
      'by-both',
      'by-name',
      'by-user',
    ])
    assert.deepEqual(await discover({ as: name('reader') }), ['by-user', 'masked'])
  })

  await t.test('a target that it may not log in to is not told of by name either', async () => {
    const initiator = await RawInitiator.open(subject.port, {})
    assert.deepEqual(await initiator.sendTargets(name('masked')), [])
    assert.deepEqual(await initiator.sendTargets(name('nobody-has-this')), [])
    assert.equal((await initiator.sendTargets(name('by-user'))).length, 2)
    await initiator.logout()
  })

  await t.test('each initiator has the LUNs of its rule', async () => {
    const [all, some, mapped] = [await open('all'), await open('some'), await open('mapped')]
    assert.deepEqual(await reportLuns(all), [0, 1, 5])
    assert.deepEqual(await reportLuns(some), [0, 5])
    assert.deepEqual(await reportLuns(mapped), [0, 3])
    const sizes = async (initiator: RawInitiator, luns: number[]) =>
      Promise.all(luns.map((lun) => capacity(initiator, lun)))
    const notThere = '5/2500'
    const mib = (count: number): number => count << 20
    assert.deepEqual(await sizes(all, [0, 1, 5]), [mib(16), mib(32), mib(64)])
    assert.deepEqual(await sizes(some, [0, 1, 5]), [mib(16), notThere, mib(64)])
    assert.deepEqual(await sizes(mapped, [0, 1, 3, 5]), [mib(64), notThere, mib(16), notThere])
    for (const initiator of [all, some, mapped]) await initiator.logout()
  })

  await t.test('INQUIRY on a LUN that is hidden says what it says where there is none', async () => {
    const some = await open('some')
    assert.equal(await inquiry(some, 0), 0)
    assert.equal(await inquiry(some, 1), 0x7f, 'qualifier 3, no device')
    assert.equal(await inquiry(some, 9), 0x7f)
    await some.logout()
  })

  await t.test('a mapped LUN is the disk that others see elsewhere', async () => {
    const [all, mapped] = [await open('all'), await open('mapped')]
    for (const [initiator, luns] of [
      [all, [0, 5]],
      [mapped, [0, 3]],
    ] as const) {
      for (const lun of luns) await capacity(initiator, lun)
    }
    const block = Buffer.alloc(512, 0xa5)
    assert.equal((await mapped.command(rw10(0x2a, 7, 1), { lun: 0, write: block })).status, 0)
    assert.deepEqual((await all.command(rw10(0x28, 7, 1), { lun: 5, read: 512 })).data, block)
    assert.deepEqual((await all.command(rw10(0x28, 7, 1), { lun: 0, read: 512 })).data, Buffer.alloc(512))
    await all.logout()
    await mapped.logout()
  })

  await t.test('one initiator writes what another one only reads', async () => {
    const [writer, reader] = [await open('all'), await open('reader')]
    for (const initiator of [writer, reader]) await capacity(initiator, 1)
    const block = Buffer.alloc(512, 0x3c)
    assert.equal((await writer.command(rw10(0x2a, 3, 1), { lun: 1, write: block })).status, 0)
    assert.deepEqual((await reader.command(rw10(0x28, 3, 1), { lun: 1, read: 512 })).data, block)
    const refused = await reader.command(rw10(0x2a, 3, 1), { lun: 1, write: Buffer.alloc(512) })
    assert.deepEqual([refused.status, refused.senseKey, refused.asc], [2, 7, 0x2700])
    // MODE SENSE (6): bit 7 of byte 2 is WP.
    const modeSense = [0x1a, 0, 0x3f, 0, 255, 0]
    const protection = async (initiator: RawInitiator): Promise<number> =>
      (await initiator.command(modeSense, { lun: 1, read: 255 })).data.readUInt8(2) & 0x80
    assert.deepEqual([await protection(writer), await protection(reader)], [0, 0x80])
    assert.deepEqual((await reader.command(rw10(0x28, 3, 1), { lun: 1, read: 512 })).data, block)
    await writer.logout()
    await reader.logout()
  })
})

test('where nothing is configured, only this machine may log in', async (t) => {
  const scratch = new Scratch(t)
  const LOOPBACK_ONLY = 'only this machine may log in: no access is configured beyond it'
  const says = (log: readonly Readonly<Record<string, unknown>>[]): unknown[] =>
    log.filter(({ msg }) => msg === LOOPBACK_ONLY).map(({ target }) => target)

  await t.test('and the log says so, for an image', async () => {
    const subject = await startSubject(scratch, { memory: '16M' })
    if (subject.name === 'tgt') return
    assert.ok(await until(() => says(subject.log).length > 0, 2000))
    assert.deepEqual(says(subject.log), [subject.iqn])
    await (await RawInitiator.open(subject.port, { target: subject.iqn })).logout()
    await subject.stop()
  })

  await t.test(
    'and the log says so, for each target of a file that has neither rules nor users',
    async () => {
      await using server = await startConfigured(scratch, {
        targets: {
          [name('closed')]: DISKS,
          [name('open')]: { ...DISKS, access: [{ addresses: ['0.0.0.0/0', '::/0'] }] },
          [name('secret')]: { ...DISKS, auth: { users: [{ user: 'a', secret: SECRET }] } },
        },
      })
      assert.deepEqual(says(server.subject.log), [name('closed')])
    },
  )
})
