import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { FakeOpcode, fakeCdb } from '../../packages/cygnet/src/session/target-role/fake-target.test-helper.ts'
import { namesPairs, TestPeer } from '../../packages/cygnet/src/session/target-role/peer.test-helper.ts'
import { TaskManagementFunction } from '../../packages/cygnet/src/pdu/codes.ts'

/*
 * Whatever a peer sends, nothing may be thrown (it would take every other connection with it), the connection is in a
 * defined state, and all memory comes back when it ends.
 */

const states = new Set(['login', 'full-feature', 'closing', 'closed'])

function endsWell(peer: TestPeer): void {
  assert.ok(states.has(peer.state))
  peer.finish()
}

/** A target reset ends all that is going on: afterwards no task, no place of the window and no memory is taken. */
function comesToRest(peer: TestPeer): void {
  const session = peer.connection.session
  if (peer.state === 'full-feature' && session) {
    const cmdSN = session.window.maxCmdSN + 1
    peer.target.hold = false
    peer.taskManagement({ function: TaskManagementFunction.targetWarmReset, cmdSN })
    peer.target.finishHeld()
    peer.advance(4000)
    if (peer.state === 'full-feature') {
      assert.equal(session.taskCount, 0, 'a task is left')
      assert.equal(session.window.active, 0, 'a place of the command window is left')
      peer.assertAtRest()
    }
  }
  endsWell(peer)
}

/** Requests that make sense by themselves, over a few tags and CmdSNs so that they meet. */
const small = fc.nat({ max: 5 })
const tags = fc.nat({ max: 4 })
const lengths = fc.constantFrom(0, 1, 4, 512, 1000, 4096, 9000)
const functions = fc.constantFrom(...Object.values(TaskManagementFunction), 0, 77)

type Step = (peer: TestPeer) => Uint8Array | undefined

/** A step that a counterexample shows as these values. */
const shown = (name: string, values: unknown, step: Step): Step =>
  Object.assign(step, { [fc.toStringMethod]: () => `${name} ${fc.stringify(values)}` })

const commands: fc.Arbitrary<Step> = fc
  .record({
    opcode: fc.constantFrom(...Object.values(FakeOpcode)),
    tag: tags,
    wantedOut: lengths,
    wantedIn: lengths,
    expected: lengths,
    immediateBytes: lengths,
    immediate: fc.boolean(),
    final: fc.boolean(),
    read: fc.boolean(),
    write: fc.boolean(),
    ahead: small,
  })
  .map((c) =>
    shown('command', c, (peer) => {
      const inOrder = !c.immediate && c.ahead < 4
      return peer.commandBytes(
        fakeCdb(c.opcode, c.wantedOut, c.wantedIn),
        {
          initiatorTaskTag: c.tag,
          expectedDataTransferLength: c.expected,
          immediate: c.immediate,
          final: c.final,
          read: c.read,
          write: c.write,
          ...(inOrder ? {} : { cmdSN: peer.cmdSN + c.ahead }),
        },
        new Uint8Array(c.write ? c.immediateBytes : 0),
      )
    }),
  )

const dataOuts: fc.Arbitrary<Step> = fc
  .record({
    tag: tags,
    transferTag: fc.oneof(small, fc.constant(0xffff_ffff)),
    lengthBytes: lengths,
    bufferOffset: lengths,
    dataSN: fc.nat({ max: 2 }),
    final: fc.boolean(),
  })
  .map((d) =>
    shown('data-out', d, (peer) =>
      peer.dataOutBytes(
        {
          initiatorTaskTag: d.tag,
          targetTransferTag: d.transferTag,
          bufferOffset: d.bufferOffset,
          dataSN: d.dataSN,
          final: d.final,
        },
        new Uint8Array(d.lengthBytes),
      ),
    ),
  )

const act = (name: string, values: unknown, perform: (peer: TestPeer) => unknown): Step =>
  shown(name, values, (peer) => {
    perform(peer)
    return undefined
  })

const others: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ code: functions, tag: tags, refCmdSN: small, lun: small, immediate: fc.boolean() }).map((f) =>
    act('task management', f, (peer) =>
      peer.taskManagement({
        function: f.code,
        referencedTaskTag: f.tag,
        refCmdSN: f.refCmdSN,
        immediate: f.immediate,
        lun: BigInt(f.lun >> 2) << 48n,
      }),
    ),
  ),
  fc
    .record({ immediate: fc.boolean(), ahead: small })
    .map((n) =>
      act('nop', n, (peer) =>
        peer.nopOut({ immediate: n.immediate, cmdSN: peer.cmdSN + n.ahead }, new Uint8Array(n.ahead)),
      ),
    ),
  fc
    .record({
      final: fc.boolean(),
      continue: fc.boolean(),
      targetTransferTag: fc.oneof(small, fc.constant(0xffff_ffff)),
    })
    .map((t) => act('text', t, (peer) => peer.text([['SendTargets', 'All']], t))),
  fc.nat({ max: 20_000 }).map((ms) => act('time', ms, (peer) => peer.advance(ms))),
  fc.boolean().map((hold) =>
    act('hold', hold, (peer) => {
      peer.target.hold = hold
      peer.target.finishHeld()
    }),
  ),
  fc
    .nat({ max: 30 })
    .map((reasonCode) => act('logout', reasonCode, (peer) => reasonCode < 3 && peer.logout({ reasonCode }))),
)

const mutation = fc.record({ at: fc.nat({ max: 60 }), value: fc.nat({ max: 255 }) })

function run(
  peer: TestPeer,
  steps: readonly Step[],
  mutations: readonly { at: number; value: number }[],
): void {
  for (const [i, step] of steps.entries()) {
    const bytes = step(peer)
    if (!bytes) continue
    const change = mutations[i]
    if (change && change.at < bytes.length && change.value !== 0) bytes[change.at] = change.value
    peer.exchange(bytes)
  }
  peer.advance(3000)
}

test('random bytes before the login', () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 5 }), (chunks) => {
      const peer = new TestPeer()
      for (const chunk of chunks) peer.exchange(chunk)
      endsWell(peer)
    }),
    { numRuns: 2000 },
  )
})

test('random bytes after the login', () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 5 }), (chunks) => {
      const peer = new TestPeer()
      peer.logIn()
      for (const chunk of chunks) peer.exchange(chunk)
      endsWell(peer)
    }),
    { numRuns: 2000 },
  )
})

test('a login with any bytes changed, cut anywhere', () => {
  const change = fc.record({ at: fc.nat({ max: 200 }), value: fc.nat({ max: 255 }) })
  fc.assert(
    fc.property(fc.array(change, { maxLength: 4 }), fc.nat({ max: 250 }), (changes, end) => {
      const peer = new TestPeer()
      const bytes = peer.loginRequest(namesPairs([['HeaderDigest', 'CRC32C,None']]))
      for (const { at, value } of changes) if (at < bytes.length) bytes[at] = value
      peer.feed(bytes.subarray(0, end))
      peer.connection.handleTimeout(peer.now)
      peer.connection.transportClosed('cut', peer.now)
      assert.equal(peer.state, 'closed')
      peer.target.finishHeld()
      const out = peer.connection.newTransmitVector()
      peer.connection.pollTransmit(out)
      out.release()
      peer.assertAtRest()
    }),
    { numRuns: 3000 },
  )
})

for (const limits of [{}, { commandDepth: 2, immediateDepth: 1, sessionBufferBytes: 5000 }]) {
  const which = 'commandDepth' in limits ? 'with narrow limits' : 'with wide limits'
  test(`requests in any order, ${which}`, () => {
    const steps = fc.array(fc.oneof(commands, commands, dataOuts, others), { maxLength: 40 })
    fc.assert(
      fc.property(steps, fc.boolean(), (all, unsolicited) => {
        const peer = new TestPeer({ limits })
        peer.logIn([
          ['InitialR2T', unsolicited ? 'No' : 'Yes'],
          ['MaxOutstandingR2T', '2'],
          ['MaxBurstLength', '1024'],
          ['FirstBurstLength', '1000'],
        ])
        run(peer, all, [])
        comesToRest(peer)
      }),
      { numRuns: 1500 },
    )
  })
}

test('requests in any order with one byte of each changed', () => {
  const steps = fc.array(fc.oneof(commands, dataOuts, others), { maxLength: 20 })
  fc.assert(
    fc.property(steps, fc.array(mutation, { maxLength: 20 }), (all, mutations) => {
      const peer = new TestPeer()
      peer.logIn([['InitialR2T', 'No']])
      run(peer, all, mutations)
      endsWell(peer)
    }),
    { numRuns: 1500 },
  )
})
