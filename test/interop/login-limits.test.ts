/** Each limit at the front door, by its setting. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Configured, startConfigured } from '../support/configured.ts'
import { Op, RawInitiator } from '../support/raw-initiator.ts'
import {
  chapLogin,
  encodePairs,
  identity,
  type Pairs,
  RawLogin,
  type RequestOptions,
  Stage,
  statusOf,
} from '../support/raw-login.ts'
import { Scratch } from '../support/scratch.ts'
import { sleep, until } from '../support/subject.ts'

const TARGET = 'iqn.2026-11.dev.example:limits'
const SECURED = 'iqn.2026-11.dev.example:secured'
const USER = { user: 'host', secret: 'the-only-secret' }
const LOCAL = { luns: { 0: { memory: '16M' } } }

const start = (scratch: Scratch, limits: object): Promise<Configured> =>
  startConfigured(scratch, {
    targets: { [TARGET]: LOCAL, [SECURED]: { ...LOCAL, auth: { users: [USER] } } },
    limits,
  })

/** Connects and says nothing. */
const connect = ({ subject }: Configured, from?: string): Promise<RawInitiator> =>
  RawInitiator.connect(subject.port, '127.0.0.1', from)

/** The status of a login, or that the connection was closed. */
async function logIn(server: Configured, isid = 1): Promise<{ initiator: RawInitiator; status: string }> {
  const initiator = await connect(server)
  const login = new RawLogin(initiator, Buffer.from([0x80, 0, 0, 0, isid >>> 8, isid & 0xff]))
  const status = await login
    .request(identity(TARGET), { next: Stage.fullFeature })
    .then(statusOf, () => 'closed')
  return { initiator, status }
}

/** A login when a place has just become free: the target may hear of it a moment later. */
async function logInSoon(server: Configured, isid: number): ReturnType<typeof logIn> {
  for (let tries = 0; ; tries++) {
    const result = await logIn(server, isid)
    if (result.status !== 'closed' || tries === 20) return result
    await sleep(50)
  }
}

const reasons = ({ subject }: Configured, pattern: RegExp): number =>
  subject.log.filter(({ reason }) => pattern.test(String(reason))).length

const logs = (server: Configured, pattern: RegExp, count = 1): Promise<boolean> =>
  until(() => reasons(server, pattern) >= count, 2000)

const elapsedSince = (begin: number): number => performance.now() - begin

test('loginTimeoutSeconds', async (t) => {
  await using server = await start(new Scratch(t), { loginTimeoutSeconds: 1 })
  /** Checks that the connection ends when the time is up, whatever goes on meanwhile. */
  const endsInTime = async (initiator: RawInitiator, begin: number): Promise<void> => {
    assert.ok(await initiator.closesWithin(3000), 'the connection is still open')
    const ms = elapsedSince(begin)
    assert.ok(ms > 900 && ms < 2000, `it was closed after ${ms} ms`)
  }

  await t.test('ends a connection that says nothing', async () => {
    const begin = performance.now()
    await endsInTime(await connect(server), begin)
    assert.ok(await logs(server, /no login within 1000 ms/))
  })

  await t.test('ends a login that comes byte by byte', async () => {
    const begin = performance.now()
    const initiator = await connect(server)
    const timer = setInterval(() => initiator.write(Buffer.from([0x43])), 100)
    await endsInTime(initiator, begin).finally(() => clearInterval(timer))
  })

  const loops: readonly [string, number, Pairs, RequestOptions][] = [
    ['empty requests in the security stage', 0, [], { stage: Stage.security }],
    ['empty requests in the operational stage', 1, [], {}],
    ['empty parts of a text that never ends', 1, [], { continued: true }],
  ]
  for (const [what, stage, pairs, options] of loops) {
    await t.test(`ends a login of ${what}`, async () => {
      const begin = performance.now()
      const initiator = await connect(server)
      const login = new RawLogin(initiator)
      assert.equal(statusOf(await login.request(identity(TARGET), { stage })), '0000')
      let exchanges = 0
      for (let open = true; open; exchanges++) {
        open = await login.request(pairs, options).then(
          (pdu) => statusOf(pdu) === '0000',
          () => false,
        )
      }
      assert.ok(elapsedSince(begin) < 2000)
      await initiator.closesWithin(1000)
      t.diagnostic(`${what}: ${exchanges} exchanges in ${Math.round(elapsedSince(begin))} ms`)
    })
  }

  await t.test('has nothing to do with a session', async () => {
    const { initiator, status } = await logIn(server)
    assert.equal(status, '0000')
    assert.ok(!(await initiator.closesWithin(1500)))
    await initiator.logout()
  })
})

test('loginsAtOnce', async (t) => {
  const scratch = new Scratch(t)
  await t.test('the one that has been at it for longest makes room', async () => {
    await using server = await start(scratch, { loginsAtOnce: 4 })
    const session = await logIn(server, 1)
    const silent: RawInitiator[] = []
    for (let i = 0; i < 6; i++) {
      silent.push(await connect(server))
      // A login under way is one of them.
      if (i === 1) await new RawLogin(silent[1] as RawInitiator).request(identity(TARGET))
    }
    assert.ok(await silent[0]?.closesWithin(2000))
    assert.ok(await silent[1]?.closesWithin(2000))
    assert.ok(await logs(server, /too many logins at once/, 2))
    assert.deepEqual(
      silent.map(({ isClosed }) => isClosed),
      [true, true, false, false, false, false],
    )
    assert.equal(reasons(server, /too many logins at once/), 2)
    assert.equal((await session.initiator.ping()).opcode, Op.nopIn, 'a session is not touched')
    for (const initiator of silent) initiator.close()
  })

  await t.test('an honest login gets in while 200 connections say nothing and more keep coming', async () => {
    await using server = await start(scratch, {})
    const silent: RawInitiator[] = []
    const flood = async (count: number): Promise<void> => {
      for (let i = 0; i < count; i++) silent.push(await connect(server))
    }
    await flood(200)
    const more = flood(50)
    for (let i = 0; i < 5; i++) {
      const { initiator, status } = await logIn(server, i)
      assert.equal(status, '0000')
      await initiator.logout()
    }
    await more
    const isBounded = () => silent.filter(({ isClosed }) => !isClosed).length <= 64
    assert.ok(await until(isBounded, 2000), 'no more than 64 are left')
    for (const initiator of silent) initiator.close()
  })
})

test('connections in all and for each address', async (t) => {
  const scratch = new Scratch(t)
  await t.test('connections: one too many is closed, and one that has gone makes room', async () => {
    await using server = await start(scratch, { connections: 3 })
    const sessions = [await logIn(server, 1), await logIn(server, 2), await logIn(server, 3)]
    const tooMany = await connect(server)
    assert.ok(await tooMany.closesWithin(2000))
    assert.ok(await logs(server, /there are 3 connections already/))
    await sessions[0]?.initiator.logout()
    const next = await logInSoon(server, 4)
    assert.deepEqual(
      [...sessions, next].map(({ status }) => status),
      Array(4).fill('0000'),
    )
    // Who has not logged in yet makes room.
    await sessions[1]?.initiator.logout()
    const late = await logInSoon(server, 5)
    late.initiator.close()
    let silent = await connect(server)
    // Its place may be taken for a moment longer than the test sees it.
    while (await silent.closesWithin(100)) silent = await connect(server)
    assert.equal((await logIn(server, 6)).status, '0000')
    assert.ok(await silent.closesWithin(2000))
    assert.ok(await logs(server, /too many connections: it made room/))
  })

  await t.test('connectionsPerAddress: another address has its own', async () => {
    await using server = await start(scratch, { connectionsPerAddress: 2 })
    const [first, second] = [await connect(server), await connect(server)]
    assert.ok(await (await connect(server)).closesWithin(2000))
    assert.ok(await logs(server, /there are 2 connections from 127\.0\.0\.1 already/))
    const elsewhere = await connect(server, '127.0.0.2')
    assert.ok(!(await elsewhere.closesWithin(300)))
    assert.deepEqual([first.isClosed, second.isClosed], [false, false])
    first.close()
    assert.equal((await logInSoon(server, 1)).status, '0000')
  })
})

test('textBytes', async (t) => {
  const scratch = new Scratch(t)
  /** Keys that nobody knows, of so many bytes in all. */
  const filling = (bytes: number): Buffer => {
    const pairs: [string, string][] = []
    for (let left = bytes, i = 0; left > 0; i++) {
      const key = `X-fill.${i}`
      const most = Math.min(left, 255 + key.length + 2)
      // What would leave a rest too small for a key goes with this one's.
      const length = left - most > 0 && left - most < 20 ? left - 20 : most
      pairs.push([key, 'v'.repeat(length - key.length - 2)])
      left -= length
    }
    const text = encodePairs(pairs)
    assert.equal(text.length, bytes)
    return text
  }
  /** A login whose text is so long, in parts; the status of its end. */
  const loginWith = async (server: Configured, bytes: number): Promise<string> => {
    const initiator = await connect(server)
    const login = new RawLogin(initiator)
    const first = encodePairs(identity(TARGET))
    const text = Buffer.concat([first, filling(bytes - first.length)])
    let status = ''
    for (let at = 0; at < text.length; at += 8192) {
      const part = text.subarray(at, at + 8192)
      const isLast = at + 8192 >= text.length
      const pdu = await login.request(part, isLast ? { next: Stage.fullFeature } : { continued: true })
      status = statusOf(pdu)
      if (status !== '0000') break
    }
    initiator.close()
    return status
  }

  for (const [setting, limit] of [
    [8192, 8192],
    [undefined, 65_536],
    [200_000, 200_000],
  ] as const) {
    await t.test(`${setting ?? 'by default'}: ${limit} bytes are taken, one more is not`, async () => {
      await using server = await start(scratch, setting === undefined ? {} : { textBytes: setting })
      assert.equal(await loginWith(server, limit), '0000')
      assert.equal(await loginWith(server, limit + 1), '0200')
      assert.ok(await logs(server, new RegExp(`the text is longer than ${limit} bytes`)))
    })
  }

  await t.test('it is for text requests, too', async () => {
    await using server = await start(scratch, { textBytes: 8192 })
    const { initiator } = await logIn(server)
    const request = (text: Buffer) => {
      initiator.send(initiator.bhs(Op.text, { itt: 0x500, word20: 0xffffffff, immediate: true }), text)
      return initiator.receive()
    }
    // What a login without the operational stage may send at once.
    assert.equal((await request(filling(8192))).opcode, Op.textResponse)
    initiator.send(
      initiator.bhs(Op.text, { itt: 0x501, flags: 0x40, word20: 0xffffffff, immediate: true }),
      filling(8192),
    )
    const part = await initiator.receive()
    assert.equal(part.opcode, Op.textResponse)
    initiator.send(
      initiator.bhs(Op.text, { itt: 0x501, word20: part.ttt, immediate: true }),
      Buffer.from('X-more.x=1\0'),
    )
    assert.equal((await initiator.receive()).opcode, Op.reject)
    assert.equal((await initiator.ping()).opcode, Op.nopIn, 'the session goes on')
    initiator.close()
  })
})

test('sessionsPerTarget: 0302, but nobody is kept from taking their own session’s place', async (t) => {
  await using server = await start(new Scratch(t), { sessionsPerTarget: 2 })
  const [one, two] = [await logIn(server, 1), await logIn(server, 2)]
  assert.deepEqual([one.status, two.status], ['0000', '0000'])
  assert.equal((await logIn(server, 3)).status, '0302')
  const again = await logIn(server, 2)
  assert.equal(again.status, '0000')
  assert.ok(await two.initiator.closesWithin(2000))
  const discovery = await RawInitiator.open(server.subject.port, {})
  await discovery.logout()
  await one.initiator.logout()
  assert.equal((await logIn(server, 3)).status, '0000')
})

test('authFailureBackoff', async (t) => {
  await using server = await start(new Scratch(t), {
    authFailureBackoff: { freeFailures: 2, firstDelaySeconds: 1, maxDelaySeconds: 60 },
  })
  const attempt = async (secret = USER.secret, from?: string): Promise<string> => {
    const initiator = await connect(server, from)
    const { status } = await chapLogin(initiator, { target: SECURED, ...USER, secret })
    initiator.close()
    return status
  }
  const WRONG = 'a-wrong-secret'
  assert.equal(await attempt(WRONG), '0201')
  assert.equal(await attempt(), '0000', 'the first failure is free')
  const second = performance.now()
  assert.equal(await attempt(WRONG), '0201')

  await t.test('then the right secret has to wait as well, for a second', async () => {
    assert.equal(await attempt(), '0301')
    assert.equal(await attempt(WRONG), '0301')
    assert.ok(await logs(server, /127\.0\.0\.1 has to wait \d+ ms after failed authentications/))
    await sleep(700)
    assert.ok(elapsedSince(second) < 990)
    assert.equal(await attempt(), '0301')
  })

  await t.test('another address does not', async () => {
    assert.equal(await attempt(USER.secret, '127.0.0.2'), '0000')
  })

  let third = 0
  await t.test('after it, the next failure costs two', async () => {
    await sleep(1050 - elapsedSince(second))
    third = performance.now()
    assert.equal(await attempt(WRONG), '0201')
    await sleep(1300)
    assert.equal(await attempt(), '0301')
  })

  await t.test(
    'and when they have passed, the right secret opens the door, and buys no more guesses',
    async () => {
      await sleep(2100 - elapsedSince(third))
      assert.equal(await attempt(), '0000')
      assert.equal(await attempt(WRONG), '0201')
      assert.equal(await attempt(), '0301')
    },
  )
})
