/**
 * Logins that mean harm, or are broken. Each ends with a login status or the end of the connection, at once; memory stays where it
 * was; afterwards the target serves as before. Timeouts and floods are in login-limits.test.ts.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { startConfigured } from '../support/configured.ts'
import { peerPath, requirePeers } from '../support/peer.ts'
import { buildBhs, frame, Op, RawInitiator } from '../support/raw-initiator.ts'
import {
  encodePairs,
  identity,
  type Pairs,
  RawLogin,
  type RequestOptions,
  Stage,
  statusOf,
} from '../support/raw-login.ts'
import { runOk, Scratch } from '../support/scratch.ts'
import { until } from '../support/subject.ts'
import { Seeded } from '../support/seeded.ts'

const TARGET = 'iqn.2026-11.dev.example:front-door'
const SECURED = 'iqn.2026-11.dev.example:secured'
const MEMORY_LIMIT_BYTES = 64 << 20
/** Well below the 15 s that a login may take: an answer, not a timeout. */
const AT_ONCE_MS = 3000
const END = { next: Stage.fullFeature }
const INITIATOR_ERROR = '0200'

const LOCAL = { luns: { 0: { memory: '16M' } } }
const named = encodePairs(identity(TARGET))
const text = (tail: string | Uint8Array): Buffer => Buffer.concat([named, Buffer.from(tail)])

test('hostile logins', { timeout: 120_000 }, async (t) => {
  const scratch = new Scratch(t)
  const random = new Seeded()
  const below = (count: number): number => random.between(0, count - 1)
  t.diagnostic(`CYGNET_SEED=${random.seed}`)
  const auth = { users: [{ user: 'host', secret: 'the-only-secret' }] }
  const { subject } = await startConfigured(scratch, {
    targets: { [TARGET]: LOCAL, [SECURED]: { ...LOCAL, auth } },
    limits: { authFailureBackoff: { freeFailures: 1000 } },
  })
  const atRest = subject.memory().residentBytes

  /** The status that one first request leads to, or `closed`. */
  const statusFor = async (data: Buffer | Pairs, options: RequestOptions = END): Promise<string> => {
    const initiator = await RawInitiator.connect(subject.port)
    initiator.timeoutMs = AT_ONCE_MS
    const status = await new RawLogin(initiator).request(data, options).then(statusOf, (error: unknown) => {
      if (!initiator.isClosed) throw error
      return 'closed'
    })
    if (status !== '0000') assert.ok(await initiator.closesWithin(AT_ONCE_MS), 'the connection ends')
    initiator.close()
    return status
  }

  const bad: readonly [string, Buffer][] = [
    ['a key without =', text('HeaderDigest\0')],
    ['nothing before =', text('=None\0')],
    ['a hundred equal signs', text(`${'='.repeat(100)}\0`)],
    ['text that does not end', text('HeaderDigest=None')],
    [
      'a run of zero bytes inside',
      Buffer.concat([named, Buffer.alloc(64), Buffer.from('DataDigest=None\0')]),
    ],
    ['a zero byte first', Buffer.concat([Buffer.alloc(1), named])],
    ['invalid UTF-8 in a value', text(Buffer.from('TargetAlias=\xff\xfe\0', 'latin1'))],
    ['UTF-8 cut short', text(Buffer.from('InitiatorAlias=\xe2\x82\0', 'latin1'))],
    ['an overlong form of UTF-8', text(Buffer.from('InitiatorAlias=\xc0\xaf\0', 'latin1'))],
    ['invalid UTF-8 in a key', text(Buffer.from('Header\xffDigest=None\0', 'latin1'))],
    ['a control character in a key', text('Header\nDigest=None\0')],
    ['a key of 64 characters', text(`X-${'k'.repeat(62)}=1\0`)],
    ['a lower-case key name that starts with a digit', text('9digest=None\0')],
    ['the same key twice', text('HeaderDigest=None\0HeaderDigest=None\0')],
    [
      'a name of 224 bytes',
      Buffer.from(`InitiatorName=iqn.2026-11.${'n'.repeat(212)}\0TargetName=${TARGET}\0`),
    ],
    ['an alias of 256 bytes', text(`InitiatorAlias=${'a'.repeat(256)}\0`)],
    ['a key of the target', text('TargetPortalGroupTag=1\0')],
    ['a login that says it is a text request', text('SendTargets=All\0')],
    ['an answer to no question', text('HeaderDigest=Reject\0')],
    ['a number where none fits', text('MaxRecvDataSegmentLength=511\0')],
    ['a number beyond every integer', text(`MaxRecvDataSegmentLength=${'9'.repeat(250)}\0`)],
    ['a negative number', text('MaxRecvDataSegmentLength=-1\0')],
    ['CHAP in the operational stage', text('CHAP_A=5\0')],
  ]
  for (const [what, data] of bad) {
    await t.test(`${what} ends the login with an initiator error`, async () => {
      const status = await statusFor(data)
      assert.equal(status, INITIATOR_ERROR)
    })
  }

  const wrong: readonly [string, Pairs, RequestOptions, string][] = [
    ['no initiator name', [['TargetName', TARGET]], END, '0207'],
    [
      'an empty initiator name',
      [
        ['InitiatorName', ''],
        ['TargetName', TARGET],
      ],
      END,
      '0207',
    ],
    ['no target name', [['InitiatorName', 'iqn.2026-11.dev.example:x']], END, '0207'],
    [
      'names without a type',
      [
        ['InitiatorName', 'x'],
        ['TargetName', TARGET],
      ],
      END,
      INITIATOR_ERROR,
    ],
    ['a target that is not there', identity('iqn.2026-11.dev.example:nowhere'), END, '0203'],
    ['a target with a path in its name', identity(`${TARGET}/../0`), END, '0203'],
    ['a property of every object', identity('constructor'), END, '0203'],
    ['a session type that does not exist', [...identity(TARGET), ['SessionType', 'Abnormal']], END, '0209'],
    ['a session type in lower case', [...identity(TARGET), ['SessionType', 'normal']], END, '0209'],
    ['stage 2', identity(TARGET), { stage: 2, ...END }, INITIATOR_ERROR],
    ['stage 3', identity(TARGET), { stage: 3, ...END }, INITIATOR_ERROR],
    ['a transition back', identity(TARGET), { stage: 1, next: 0 }, INITIATOR_ERROR],
    ['T and C at once', identity(TARGET), { continued: true, ...END }, INITIATOR_ERROR],
    [
      'an authentication method of its own',
      [...identity(SECURED), ['AuthMethod', 'X-com.example.open']],
      { stage: 0 },
      '0201',
    ],
    [
      'a method that the target does not have',
      [...identity(SECURED), ['AuthMethod', 'KRB5,SRP']],
      { stage: 0 },
      '0201',
    ],
    [
      'None where it must authenticate itself',
      [...identity(SECURED), ['AuthMethod', 'None']],
      { stage: 0, ...END },
      '0201',
    ],
    ['the operational stage where it must authenticate itself', identity(SECURED), END, '0201'],
  ]
  for (const [what, pairs, options, expected] of wrong) {
    await t.test(`${what} ends the login with ${expected}`, async () => {
      assert.equal(await statusFor(pairs, options), expected)
    })
  }

  const hostileChap: readonly [string, Pairs, string][] = [
    ['no algorithm', [['CHAP_A', '']], INITIATOR_ERROR],
    ['an algorithm that is no number', [['CHAP_A', 'MD5']], INITIATOR_ERROR],
    ['an unknown algorithm', [['CHAP_A', '255']], '0201'],
    [
      'a proof before the question',
      [
        ['CHAP_N', 'host'],
        ['CHAP_R', '0x00'],
      ],
      INITIATOR_ERROR,
    ],
    [
      'a challenge before its own',
      [
        ['CHAP_A', '5'],
        ['CHAP_C', '0x00'],
      ],
      INITIATOR_ERROR,
    ],
    ['SRP in the middle of CHAP', [['SRP_U', 'host']], INITIATOR_ERROR],
  ]
  for (const [what, pairs, expected] of hostileChap) {
    await t.test(`CHAP with ${what} ends with ${expected}`, async () => {
      const initiator = await RawInitiator.connect(subject.port)
      const login = new RawLogin(initiator)
      const first: Pairs = [...identity(SECURED), ['AuthMethod', 'CHAP']]
      assert.equal(statusOf(await login.request(first, { stage: 0 })), '0000')
      assert.equal(statusOf(await login.request(pairs, { stage: 0 })), expected)
      assert.ok(await initiator.closesWithin(AT_ONCE_MS))
    })
  }

  for (const proof of [
    [
      ['CHAP_N', 'host'],
      ['CHAP_R', ''],
    ],
    [
      ['CHAP_N', 'host'],
      ['CHAP_R', '0x'],
    ],
    [
      ['CHAP_N', 'host'],
      ['CHAP_R', 'zz'],
    ],
    [
      ['CHAP_N', 'host'],
      ['CHAP_R', `0x${'00'.repeat(3000)}`],
    ],
    [
      ['CHAP_N', 'host'],
      ['CHAP_R', '0b!!!!'],
    ],
    [
      ['CHAP_N', ''],
      ['CHAP_R', `0x${'00'.repeat(32)}`],
    ],
    [
      ['CHAP_N', 'h'.repeat(7000)],
      ['CHAP_R', `0x${'00'.repeat(32)}`],
    ],
    [['CHAP_R', `0x${'00'.repeat(32)}`]],
    [],
  ] satisfies Pairs[]) {
    const what = proof.map((pair) => pair.join('=').slice(0, 30)).join(' ') || 'nothing, and the T bit'
    await t.test(`a proof of ${what} opens nothing`, async () => {
      const initiator = await RawInitiator.connect(subject.port)
      initiator.timeoutMs = AT_ONCE_MS
      const login = new RawLogin(initiator)
      await login.request([...identity(SECURED), ['AuthMethod', 'CHAP']], { stage: 0 })
      await login.request([['CHAP_A', '7']], { stage: 0 })
      const status = statusOf(await login.request(proof, { stage: 0, ...END }))
      assert.match(status, /^020[017]$/)
      assert.ok(await initiator.closesWithin(AT_ONCE_MS))
    })
  }

  await t.test('1 MiB of keys ends at the limit, with bounded memory', async () => {
    const initiators = await Promise.all(Array.from({ length: 20 }, () => RawInitiator.connect(subject.port)))
    const answers = await Promise.all(
      initiators.map(async (initiator, index) => {
        const login = new RawLogin(initiator)
        const part = Buffer.from(`X-${index}.${'k'.repeat(40)}=${'v'.repeat(200)}\0`.repeat(33)).subarray(
          0,
          8192,
        )
        let sentBytes = 0
        for (; sentBytes < 1 << 20; sentBytes += part.length) {
          const status = await login
            .request(sentBytes === 0 ? named : part, { continued: true })
            .then(statusOf)
          if (status !== '0000') return { status, sentBytes }
        }
        return { status: 'taken', sentBytes }
      }),
    )
    for (const { status, sentBytes } of answers) {
      assert.equal(status, INITIATOR_ERROR)
      assert.ok(sentBytes <= 72 << 10, `${sentBytes} bytes`)
    }
    for (const initiator of initiators) assert.ok(await initiator.closesWithin(AT_ONCE_MS))
  })

  await t.test('eight thousand unknown keys are each answered, 8192 bytes at a time', async () => {
    const initiator = await RawInitiator.connect(subject.port)
    const login = new RawLogin(initiator)
    const keys = Array.from({ length: 8000 }, (_, index) => `K${index}=\0`)
    const sent = Buffer.concat([named, Buffer.from(keys.join(''))])
    assert.ok(sent.length < 65_536, 'within the default limit')
    for (let at = 0; at < sent.length; at += 8192) {
      const isLast = at + 8192 >= sent.length
      login.send(sent.subarray(at, at + 8192), isLast ? END : { continued: true })
      if (!isLast) assert.equal((await initiator.receive()).data.length, 0)
    }
    const parts: Buffer[] = []
    for (let pdu = await initiator.receive(); ; pdu = await login.request([], END)) {
      assert.equal(statusOf(pdu), '0000')
      assert.ok(pdu.data.length <= 8192)
      parts.push(pdu.data)
      if (pdu.final) break
    }
    const answers = Buffer.concat(parts)
      .toString()
      .match(/K\d+=NotUnderstood\0/g)
    assert.equal(answers?.length, 8000)
    initiator.close()
  })

  await t.test('a data segment that announces 16 MiB is refused without them', async () => {
    const initiator = await RawInitiator.connect(subject.port)
    const bhs = buildBhs(Op.login, { immediate: true, flags: 0x87, itt: 1 })
    initiator.write(
      frame(bhs, Buffer.alloc(0), { header: false, data: false }, { dataSegmentLength: 0xffffff }),
    )
    assert.equal(statusOf(await initiator.receive(AT_ONCE_MS)), INITIATOR_ERROR)
    assert.ok(await initiator.closesWithin(AT_ONCE_MS))
  })

  await t.test('another version of the protocol is not supported: 0205', async () => {
    const initiator = await RawInitiator.connect(subject.port)
    const bhs = buildBhs(Op.login, { immediate: true, flags: 0x87, itt: 1 })
    bhs[2] = 3
    bhs[3] = 1
    initiator.send(bhs, named)
    assert.equal(statusOf(await initiator.receive(AT_ONCE_MS)), '0205')
  })

  for (const opcode of [
    Op.nopOut,
    Op.scsiCommand,
    Op.taskManagement,
    Op.text,
    Op.dataOut,
    Op.logout,
    Op.snack,
  ]) {
    await t.test(`opcode 0x${opcode.toString(16)} in the middle of a login ends it: 020b`, async () => {
      const initiator = await RawInitiator.connect(subject.port)
      assert.equal(statusOf(await new RawLogin(initiator).request(identity(TARGET))), '0000')
      initiator.send(initiator.bhs(opcode, { itt: 9, immediate: true }))
      assert.equal(statusOf(await initiator.receive(AT_ONCE_MS)), '020b')
      assert.ok(await initiator.closesWithin(AT_ONCE_MS))
    })
  }

  await t.test('500 half-open logins, reset at random places, leave nothing behind', async () => {
    const whole = (secured: boolean): Buffer => {
      const bhs = buildBhs(Op.login, { immediate: true, flags: secured ? 0x81 : 0x87, itt: 1 })
      const data = encodePairs(identity(secured ? SECURED : TARGET))
      return frame(bhs, data, { header: false, data: false })
    }
    for (let round = 0; round < 50; round++) {
      const some = await Promise.all(Array.from({ length: 10 }, () => RawInitiator.connect(subject.port)))
      for (const initiator of some) {
        const bytes = whole(below(2) === 0)
        initiator.write(bytes.subarray(0, below(bytes.length + 1)))
      }
      await new Promise(setImmediate)
      for (const initiator of some) {
        if (below(2) === 0) initiator.reset()
        else initiator.close()
      }
    }
    const initiator = await RawInitiator.open(subject.port, { target: TARGET })
    await initiator.logout()
  })

  await t.test('random keys and values end in a status, never in a crash', async () => {
    const keys = [
      'HeaderDigest',
      'InitiatorName',
      'TargetName',
      'AuthMethod',
      'SessionType',
      'CHAP_A',
      'MaxBurstLength',
      'X-a',
      '',
    ]
    const values = [
      '',
      'None',
      'Yes',
      '0',
      '-1',
      '0x',
      '0xffffffffff',
      'Reject',
      '\u{1f9a2}',
      ',,,',
      '~',
      'Discovery',
      'CHAP,None',
    ]
    const pick = (list: readonly string[]): string => list[below(list.length)] ?? ''
    const seen = new Map<string, number>()
    for (let i = 0; i < 300; i++) {
      const pairs = Array.from({ length: below(8) }, () => [pick(keys), pick(values)] as const)
      const options = { stage: below(2), ...(below(2) === 0 ? { next: 3 } : {}) }
      const start: Pairs = below(2) === 0 ? identity(TARGET) : identity()
      const status = await statusFor(below(4) === 0 ? pairs : [...start, ...pairs], options)
      assert.match(status, /^(0000|02(0[0-9a]|0b))$/)
      seen.set(status, (seen.get(status) ?? 0) + 1)
    }
    assert.ok(seen.size > 2, [...seen].join(' '))
  })

  await t.test('afterwards nothing is left, and the log has one sentence for each failure', async () => {
    const failures = subject.log.filter(({ msg }) => msg === 'login failed')
    assert.ok(failures.length > 100)
    for (const { reason, peer } of failures) {
      assert.match(String(reason), /^.{5,400}$/s)
      assert.doesNotMatch(String(reason), /\p{Cc}/u, 'no control characters')
      assert.match(String(peer), /^127\.0\.0\.1:\d+$/)
    }
    const grown = () => subject.memory().residentBytes - atRest
    await until(() => grown() < MEMORY_LIMIT_BYTES, 5000)
    t.diagnostic(`${failures.length} failed logins, memory grew by ${grown() >> 20} MiB`)
    assert.ok(grown() < MEMORY_LIMIT_BYTES, `${grown()} bytes`)
    assert.ok(subject.isRunning)
    if (requirePeers(t, 'iscsi-inq')) {
      await runOk(peerPath('iscsi-inq'), [`iscsi://${subject.portal}/${TARGET}/0`])
    }
  })
})
