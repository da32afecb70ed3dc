/** RFC 7143 §13 for both roles, beyond what the tests beside the sources say. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { InitiatorPeer } from '../../packages/cygnet/src/session/initiator-role/initiator-peer.test-helper.ts'
import type { Pair } from '../../packages/cygnet/src/session/negotiator.ts'
import { namesPairs, TestPeer } from '../../packages/cygnet/src/session/target-role/peer.test-helper.ts'
import { asLogin, pairsOf } from '../../packages/cygnet/src/session/wire.test-helper.ts'

const NODE = 'X#NodeArchitecture'

/** The answers to a login that goes well. */
const answersTo = (pairs: readonly Pair[]): Map<string, string> => pairsOf(new TestPeer().logIn(pairs).data)

test('§13.1 both roles implement CRC32C and None, and the initiator offers both', () => {
  for (const digest of ['CRC32C', 'None']) {
    const answers = answersTo([
      ['HeaderDigest', digest],
      ['DataDigest', digest],
    ])
    assert.deepEqual([answers.get('HeaderDigest'), answers.get('DataDigest')], [digest, digest])
    const peer = new InitiatorPeer()
    const offered = peer.toOperational()
    assert.ok(offered.get('HeaderDigest')?.split(',').includes(digest))
    peer.answerLogin(
      peer.agree(offered, [
        ['HeaderDigest', digest],
        ['DataDigest', digest],
      ]),
    )
    peer.poll()
    assert.equal(peer.lastEvent?.kind, 'logged-in', peer.lastMessage)
  }
})

test('§13.12 a login segment of the target never exceeds 8192 bytes, nor what the initiator declared after it', () => {
  const peer = new TestPeer()
  peer.target.targets = Array.from(
    { length: 100 },
    (_, index): Pair => ['TargetName', `iqn.2026-11.x:${index}`],
  )
  const [login] = peer.login([
    ['InitiatorName', 'iqn.2026-11.test:host'],
    ['SessionType', 'Discovery'],
    ['MaxRecvDataSegmentLength', '512'],
  ])
  assert.equal(asLogin(login).statusClass, 0)
  const [part] = peer.text([['SendTargets', 'All']])
  assert.equal(part?.data.length, 512)
  peer.finish()
})

test('§13.22 neither role sends keys of its own, in sessions of any type', () => {
  const isOwn = (name: string): boolean => /^X[-#]/.test(name)
  assert.deepEqual([...answersTo([]).keys()].filter(isOwn), [])
  for (const type of ['Normal', 'Discovery'] as const) {
    const peer = new InitiatorPeer({ type })
    assert.deepEqual([...peer.loginRequest().keys.keys()].filter(isOwn), [])
    peer.answerLogin([
      ['AuthMethod', 'None'],
      ['TargetPortalGroupTag', '1'],
    ])
    assert.deepEqual([...peer.loginRequest().keys.keys()].filter(isOwn), [])
  }
})

describe('§13.23 TaskReporting', () => {
  test('the initiator offers at least RFC3720 and ResponseFence', () => {
    const offered = new InitiatorPeer().toOperational().get('TaskReporting')?.split(',') ?? []
    assert.ok(offered.includes('RFC3720') && offered.includes('ResponseFence'), offered.join())
  })

  test('the target answers with semantics that it has, and never proposes the key', () => {
    assert.equal(
      answersTo([['TaskReporting', 'FastAbort,ResponseFence,RFC3720']]).get('TaskReporting'),
      'FastAbort',
    )
    assert.equal(answersTo([['TaskReporting', 'X-com.example.none']]).get('TaskReporting'), 'Reject')
    assert.equal(answersTo([]).has('TaskReporting'), false)
  })
})

describe('§13.24 iSCSIProtocolLevel', () => {
  test('the target answers every level with at most 2', () => {
    for (const [level, answer] of [
      ['1', '1'],
      ['2', '2'],
      ['31', '2'],
    ] as const) {
      assert.equal(answersTo([['iSCSIProtocolLevel', level]]).get('iSCSIProtocolLevel'), answer)
    }
  })

  test('the initiator offers 2', () => {
    assert.equal(new InitiatorPeer().toOperational().get('iSCSIProtocolLevel'), '2')
  })
})

describe('§13.26 X#NodeArchitecture', () => {
  test('a login is the same with it, without it and whatever is in it', () => {
    const values = ['OS/5.15,CPU/arm', '', '\u{1f9a2}'.repeat(60)]
    const logIns: Pair[][] = [[], ...values.map((value): Pair[] => [[NODE, value]])]
    const answers = logIns.map((pairs) => [...answersTo(pairs)])
    for (const answer of answers) assert.deepEqual(answer, answers[0])
  })

  test('sent twice, it ends the login', () => {
    const peer = new TestPeer()
    const [answer] = peer.login(
      namesPairs([
        [NODE, 'OS/1'],
        [NODE, 'OS/1'],
      ]),
    )
    assert.deepEqual([asLogin(answer).statusClass, asLogin(answer).statusDetail], [2, 0])
  })

  test('from a target, it is taken without an answer', () => {
    const peer = new InitiatorPeer()
    const keys = peer.toOperational()
    peer.answerLogin([...peer.agree(keys), [NODE, 'OS/5.15']])
    peer.poll()
    assert.equal(peer.lastEvent?.kind, 'logged-in', peer.lastMessage)
  })
})
