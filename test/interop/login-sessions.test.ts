/** Who takes whose place: sessions and connections that log in again. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { startConfigured } from '../support/configured.ts'
import { peerPath, requirePeers } from '../support/peer.ts'
import { Op, RawInitiator } from '../support/raw-initiator.ts'
import { chapLogin, type Pairs, RawLogin, Stage } from '../support/raw-login.ts'
import { rw10 } from '../support/recording-writer.ts'
import { runOk, Scratch } from '../support/scratch.ts'
import { until } from '../support/subject.ts'

const TARGET = 'iqn.2026-11.dev.example:sessions'
const SECURED = 'iqn.2026-11.dev.example:secured'
const HOST = 'iqn.2026-11.dev.example:host'
const users = ['one', 'two'].map((user) => ({ user, secret: `the secret of ${user}` }))
const isid = (last: number): Buffer => Buffer.from([0x80, 0, 0, 0, 0, last])
const READ = rw10(0x28, 0, 1)

interface Attempt {
  readonly initiator: RawInitiator
  readonly status: string
  readonly tsih: number
}

/** Reads once, past unit attentions, whose codes come back. */
async function attentions(initiator: RawInitiator): Promise<string[]> {
  const codes: string[] = []
  for (;;) {
    const result = await initiator.command(READ, { read: 512 })
    if (result.status === 0) return codes
    assert.equal(result.senseKey, 6)
    codes.push((result.asc ?? 0).toString(16).padStart(4, '0'))
  }
}

test('session and connection reinstatement', async (t) => {
  const scratch = new Scratch(t)
  const { subject, ports } = await startConfigured(scratch, {
    portals: [
      { listen: '127.0.0.1:0', group: 1 },
      { listen: '127.0.0.1:0', group: 2 },
      { listen: '127.0.0.2:0', group: 1 },
    ],
    targets: {
      [TARGET]: { luns: { 0: { memory: '16M' } } },
      [SECURED]: { luns: { 0: { memory: '16M' } }, auth: { users } },
    },
  })
  const [group1 = 0, group2 = 0, sameGroup = 0] = ports
  const open: RawInitiator[] = []
  const logIn = async (
    options: Parameters<RawInitiator['login']>[0],
    port = group1,
    host?: string,
  ): Promise<Attempt> => {
    const initiator = await RawInitiator.connect(port, host)
    open.push(initiator)
    const { statusClass, statusDetail, tsih } = await initiator.login({ initiatorName: HOST, ...options })
    return { initiator, status: `${statusClass}${statusDetail}`, tsih }
  }
  /** A login with the TSIH of a session, and without SessionType, which is for leading logins. */
  const join = async (
    tsih: number,
    options: {
      last?: number
      as?: string
      cid?: number
      target?: string
      pairs?: Pairs
      cmdSn?: number
    } = {},
    port = group1,
  ): Promise<Attempt> => {
    const initiator = await RawInitiator.connect(port)
    open.push(initiator)
    initiator.cmdSn = options.cmdSn ?? 1
    const pairs = [
      ['InitiatorName', options.as ?? HOST],
      ['TargetName', options.target ?? TARGET],
      ...(options.pairs ?? []),
    ] as const
    const login = new RawLogin(initiator, isid(options.last ?? 1))
    const { cid = 0 } = options
    const pdu = await login.request(pairs, { next: Stage.fullFeature, tsih, cid })
    return { initiator, status: String(pdu.bhs[36]) + String(pdu.bhs[37]), tsih: pdu.bhs.readUInt16BE(14) }
  }
  const normal = (last: number) => ({ target: TARGET, isid: isid(last) })
  const endAll = async (): Promise<void> => {
    for (const initiator of open.splice(0)) if (!initiator.isClosed) await initiator.logout()
  }
  const logs = (reason: RegExp) =>
    until(() => subject.log.some((line) => reason.test(String(line['reason']))), 2000)

  await t.test('the same name with another ISID is another session', async () => {
    const [a, b] = [await logIn(normal(1)), await logIn(normal(2))]
    assert.deepEqual([a.status, b.status], ['00', '00'])
    assert.notEqual(a.tsih, b.tsih)
    await attentions(a.initiator)
    await attentions(b.initiator)
    assert.ok(!a.initiator.isClosed)
    await endAll()
  })

  await t.test('the same ISID of another initiator is another session', async () => {
    const a = await logIn(normal(1))
    const b = await logIn({ ...normal(1), initiatorName: `${HOST}2` })
    await attentions(a.initiator)
    await attentions(b.initiator)
    await endAll()
  })

  await t.test('the same initiator port with TSIH 0 takes its old session’s place', async () => {
    const a = await logIn(normal(1))
    await attentions(a.initiator)
    const b = await logIn({ ...normal(1), initiatorName: HOST.toUpperCase() })
    assert.equal(b.status, '00')
    assert.notEqual(b.tsih, a.tsih)
    assert.ok(await a.initiator.closesWithin(2000))
    assert.ok(await logs(/session reinstatement/))
    assert.ok((await attentions(b.initiator)).length > 0, 'it is told that its nexus was lost')
    await endAll()
  })

  await t.test(
    'at another portal of the group it does so, too; in another group it is another session',
    async () => {
      const a = await logIn(normal(1))
      const b = await logIn(normal(1), sameGroup, '127.0.0.2')
      assert.ok(await a.initiator.closesWithin(2000))
      const c = await logIn(normal(1), group2)
      await attentions(b.initiator)
      await attentions(c.initiator)
      await endAll()
    },
  )

  await t.test('the same CID with the session’s TSIH takes its old connection’s place', async () => {
    const a = await logIn(normal(1))
    await attentions(a.initiator)
    // An answer that nobody waits for any more.
    a.initiator.send(a.initiator.bhs(Op.scsiCommand, { flags: 0xc1, itt: 0x999, word20: 512 }))
    // The session goes on, its numbers too.
    const again = await join(a.tsih, { cmdSn: a.initiator.cmdSn })
    assert.deepEqual([again.status, again.tsih], ['00', a.tsih])
    assert.ok(await a.initiator.closesWithin(2000))
    assert.ok(await logs(/connection reinstatement/))
    await attentions(again.initiator)
    assert.equal(again.initiator.expCmdSn, again.initiator.cmdSn)
    await endAll()
  })

  await t.test('leading-only keys are refused there: 0200', async () => {
    const a = await logIn(normal(1))
    const refused: Pairs = [
      ['MaxBurstLength', '1'],
      ['ErrorRecoveryLevel', '1'],
      ['MaxConnections', '1'],
      ['SessionType', 'Normal'],
    ]
    for (const pair of refused) {
      const { initiator, status } = await join(a.tsih, { pairs: [pair] })
      assert.equal(status, '20', pair[0])
      assert.ok(await initiator.closesWithin(2000))
    }
    await attentions(a.initiator)
    await endAll()
  })

  await t.test('a TSIH that the initiator port does not have: 020a', async () => {
    const a = await logIn(normal(1))
    const other = (a.tsih % 0xffff) + 1
    for (const { initiator, status } of [
      await join(other),
      await join(a.tsih, { last: 2 }),
      await join(a.tsih, { as: `${HOST}2` }),
    ]) {
      assert.equal(status, '210')
      assert.ok(await initiator.closesWithin(2000))
    }
    await attentions(a.initiator)
    await endAll()
  })

  await t.test('a session does not span portal groups: 0208', async () => {
    const a = await logIn(normal(1))
    assert.equal((await join(a.tsih, {}, group2)).status, '28')
    assert.equal((await join(a.tsih, { last: 2 }, group2)).status, '210', 'for its own initiator port only')
    await attentions(a.initiator)
    await endAll()
  })

  await t.test('a second connection is one too many: 0206', async () => {
    const a = await logIn(normal(1))
    assert.equal((await join(a.tsih, { cid: 1 })).status, '26')
    await attentions(a.initiator)
    await endAll()
  })

  await t.test('no session is taken over without its secret, nor with another user’s', async () => {
    const chap = async (user: (typeof users)[number], more: object = {}): Promise<Attempt> => {
      const initiator = await RawInitiator.connect(group1)
      open.push(initiator)
      const options = { target: SECURED, initiatorName: HOST, isid: isid(1), ...user, ...more }
      const { status, last } = await chapLogin(initiator, options)
      return { initiator, status, tsih: last.bhs.readUInt16BE(14) }
    }
    const [one, two] = users
    assert.ok(one && two)
    const a = await chap(one)
    assert.equal(a.status, '0000')
    await attentions(a.initiator)
    assert.equal((await logIn({ target: SECURED, isid: isid(1) })).status, '21')
    assert.equal((await join(a.tsih, { target: SECURED })).status, '21')
    assert.equal((await chap({ ...one, secret: two.secret })).status, '0201')
    assert.equal((await chap({ ...one, secret: two.secret }, { tsih: a.tsih })).status, '0201')
    assert.equal((await chap(two, { tsih: a.tsih })).status, '0202')
    assert.deepEqual(await attentions(a.initiator), [], 'it goes on undisturbed')
    await endAll()
  })

  await t.test(
    'a discovery session takes the place of one of the same initiator port at the same portal',
    async () => {
      const discovery = { isid: isid(1) }
      const a = await logIn(discovery)
      const other = await logIn({ isid: isid(2) })
      const elsewhere = await logIn(discovery, sameGroup, '127.0.0.2')
      const disk = await logIn(normal(1))
      const b = await logIn(discovery)
      assert.ok(await a.initiator.closesWithin(2000))
      for (const { initiator } of [other, elsewhere, b]) {
        assert.ok((await initiator.sendTargets()).length > 0)
      }
      await attentions(disk.initiator)
      await endAll()
    },
  )

  await t.test('QEMU reads on next to all this', async (st) => {
    if (!requirePeers(st, 'qemu-io')) return
    const a = await logIn(normal(1))
    await attentions(a.initiator)
    await runOk(peerPath('qemu-io'), ['-f', 'raw', '-c', 'read -P 0 0 1M', subject.url()])
    assert.deepEqual(await attentions(a.initiator), [])
    await endAll()
  })
})
