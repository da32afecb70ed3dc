/** RFC 7143 §6.1 and §6.2 for both roles, beyond what the tests beside the sources say. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { RejectReason } from '../../packages/cygnet/src/pdu/codes.ts'
import { keys } from '../../packages/cygnet/src/session/keys.ts'
import { InitiatorPeer } from '../../packages/cygnet/src/session/initiator-role/initiator-peer.test-helper.ts'
import type { Pair } from '../../packages/cygnet/src/session/negotiator.ts'
import { namesPairs, TestPeer } from '../../packages/cygnet/src/session/target-role/peer.test-helper.ts'
import {
  asLogin,
  asReject,
  asText,
  names,
  pairsOf,
} from '../../packages/cygnet/src/session/wire.test-helper.ts'

/** Keys that no standard defines, with this many bytes of text in all. */
function unknownPairs(lengthBytes: number): Pair[] {
  const pairs: Pair[] = []
  for (let left = lengthBytes; left > 0; left -= 200) {
    const key = `K${pairs.length}`
    pairs.push([key, 'v'.repeat(Math.max(0, Math.min(200, left) - key.length - 2))])
  }
  return pairs
}

describe('§6.1 text format', () => {
  test('every pair that the target sends is followed by one null', () => {
    const data = new TestPeer().logIn([['MaxBurstLength', '65536']]).data
    assert.equal(data.at(-1), 0)
    assert.ok(!Buffer.from(data).includes('\0\0'))
    assert.equal(Buffer.from(data).filter((byte) => byte === 0).length, pairsOf(data).size)
  })

  test('every pair that the initiator sends is followed by one null', () => {
    const [request] = new InitiatorPeer().poll()
    const data = Buffer.from(request?.data ?? [])
    assert.equal(data.at(-1), 0)
    assert.ok(!data.includes('\0\0'))
    assert.equal(data.filter((byte) => byte === 0).length, pairsOf(data).size)
  })

  test('every key that either role can send is a standard label of at most 63 characters', () => {
    for (const name of Object.keys(keys)) {
      assert.match(name, /^(?:[A-Z]|iSCSI|X#)[A-Za-z0-9.\-+@_]{0,62}$/)
      assert.ok(name.length <= 63)
    }
  })

  test('numbers are sent as decimal constants', () => {
    const sent = new TestPeer().logIn([
      ['MaxBurstLength', '0x10000'],
      ['DefaultTime2Wait', '0x0A'],
    ])
    const answers = pairsOf(sent.data)
    assert.deepEqual([answers.get('MaxBurstLength'), answers.get('DefaultTime2Wait')], ['65536', '10'])
    for (const value of new InitiatorPeer().toOperational().values()) assert.doesNotMatch(value, /^0[xXbB]/)
  })

  test('the target takes 64 KiB of keys with its default limits, as CHAP may need', () => {
    const peer = new TestPeer()
    const pairs = [...namesPairs(), ...unknownPairs(65_400)]
    const text = Buffer.from(pairs.map(([key, value]) => `${key}=${value}\0`).join(''))
    assert.ok(text.length > 65_400 && text.length <= 65_536, `${text.length} bytes`)
    for (let at = 0; at < text.length; at += 8192) {
      const isLast = at + 8192 >= text.length
      const more = isLast ? {} : { continue: true, transit: false, nsg: 0 }
      const [answer] = peer.login(text.subarray(at, at + 8192), more)
      assert.equal(asLogin(answer).statusClass, 0, peer.lastReason)
    }
    peer.finish()
  })

  test('the initiator takes 64 KiB of keys, of which it knows none', () => {
    const peer = new InitiatorPeer()
    const agreed = peer.agree(peer.toOperational())
    const pairs = unknownPairs(64_000)
    for (let at = 0; at < pairs.length; at += 30) {
      peer.answerLogin(pairs.slice(at, at + 30), { continue: true, transit: false })
      assert.equal(peer.loginRequest().keys.size, 0)
    }
    peer.answerLogin(agreed, { transit: false })
    let answers = 0
    for (let { header, keys: sent } = peer.loginRequest(); ; { header, keys: sent } = peer.loginRequest()) {
      answers += [...sent.values()].filter((value) => value === 'NotUnderstood').length
      peer.answerLogin([])
      if (!header.continue) break
    }
    peer.poll()
    assert.equal(peer.lastEvent?.kind, 'logged-in', peer.lastMessage)
    // Keys are cut at the edge of a segment, and not counted then.
    assert.ok(answers > pairs.length - 10, `${answers} of ${pairs.length}`)
  })
})

describe('§6.2 text negotiation', () => {
  test('a login request with the C bit is answered by the target with nothing', () => {
    const peer = new TestPeer()
    const [answer] = peer.login(namesPairs([['MaxBurstLength', '65536']]), {
      continue: true,
      transit: false,
      nsg: 0,
    })
    assert.deepEqual([asLogin(answer).transit, answer?.data.length], [false, 0])
    peer.finish()
  })

  test('a text request with the C bit is answered by the target with nothing', () => {
    const peer = new TestPeer()
    peer.logIn()
    const [answer] = peer.text([['X-a', '1']], { continue: true, final: false })
    assert.deepEqual([asText(answer).final, answer?.data.length], [false, 0])
    peer.finish()
  })

  test('the target never sets the C bit with T or F', () => {
    const peer = new TestPeer()
    const first = peer.login([...namesPairs(), ...unknownPairs(3000)])[0]
    assert.deepEqual([asLogin(first).continue, asLogin(first).transit], [false, true], 'one part is enough')
    peer.target.targets = Array.from(
      { length: 400 },
      (_, index): Pair => ['TargetName', `iqn.2026-11.x:${index}`],
    )
    const discovery = new TestPeer({ host: peer.target, pool: peer.pool })
    discovery.login([
      ['InitiatorName', 'iqn.2026-11.test:finder'],
      ['SessionType', 'Discovery'],
    ])
    let parts = 0
    let [answer] = discovery.text([['SendTargets', 'All']])
    for (; asText(answer).continue; parts++) {
      assert.equal(asText(answer).final, false)
      ;[answer] = discovery.text([], { targetTransferTag: asText(answer).targetTransferTag })
    }
    assert.ok(parts > 0)
    assert.equal(asText(answer).final, true)
    discovery.connection.transportClosed('end', discovery.now)
    peer.finish()
  })

  test('the target sends one response for each login or text request, and none unasked', () => {
    const peer = new TestPeer()
    for (let i = 0; i < 3; i++) {
      assert.deepEqual(names(peer.login(i === 0 ? namesPairs() : [], { transit: false, nsg: 0 })), [
        'Login Response',
      ])
      assert.deepEqual(peer.poll(), [])
    }
    assert.equal(peer.login([]).length, 1)
    for (let i = 0; i < 3; i++) assert.deepEqual(names(peer.text([['X-a', '1']])), ['Text Response'])
    assert.deepEqual(peer.poll(), [])
    peer.finish()
  })

  test('the target comprehends every key of §12.1 and §13: none is answered with NotUnderstood', () => {
    const values: Readonly<Record<string, string>> = {
      AuthMethod: 'None',
      HeaderDigest: 'None',
      DataDigest: 'None',
      TaskReporting: 'RFC3720',
      SessionType: 'Normal',
      InitialR2T: 'Yes',
      ImmediateData: 'Yes',
      DataPDUInOrder: 'Yes',
      DataSequenceInOrder: 'Yes',
      IFMarker: 'No',
      OFMarker: 'No',
      IFMarkInt: '2048',
      OFMarkInt: '2048',
      InitiatorAlias: 'host',
      'X#NodeArchitecture': 'OS/1',
    }
    const tried = new Set<string>()
    for (const [name, spec] of Object.entries(keys)) {
      if (spec.senders === 'target' || name === 'SendTargets' || /^(?:Initiator|Target)Name$/.test(name))
        continue
      const peer = new TestPeer()
      const isSecurity = name === 'AuthMethod'
      const more = isSecurity ? { csg: 0, nsg: 1 } : {}
      const [answer] = peer.login(namesPairs([[name, values[name] ?? '1024']]), more)
      assert.equal(asLogin(answer).statusClass, 0, `${name}: ${peer.lastReason}`)
      assert.notEqual(pairsOf(answer?.data ?? new Uint8Array()).get(name), 'NotUnderstood')
      tried.add(name)
      peer.finish()
    }
    assert.equal(tried.size, 24)
  })

  test('§6.2.1 a value of a list that the target does not know is ignored', () => {
    const { data } = new TestPeer().logIn([
      ['HeaderDigest', 'Y-com.example.crc64,CRC32C,None'],
      ['DataDigest', 'Y-com.example.crc64,None'],
      ['TaskReporting', 'X-later,RFC3720,FastAbort'],
    ])
    const answers = pairsOf(data)
    assert.equal(answers.get('HeaderDigest'), 'CRC32C')
    assert.equal(answers.get('DataDigest'), 'None')
    assert.equal(answers.get('TaskReporting'), 'RFC3720')
  })

  test('§6.3 the initiator sends no login request before the last one was answered', () => {
    const peer = new InitiatorPeer()
    peer.loginRequest()
    assert.deepEqual(peer.poll(), [])
    assert.deepEqual(peer.advance(5000), [])
  })

  test('§6.3 security keys after the login are rejected by the target', () => {
    for (const pair of [
      ['AuthMethod', 'CHAP'],
      ['AuthMethod', 'None'],
    ] satisfies Pair[]) {
      const peer = new TestPeer()
      peer.logIn()
      assert.equal(asReject(peer.text([pair])[0]).reason, RejectReason.protocolError, pair.join('='))
      peer.finish()
    }
    const peer = new TestPeer()
    peer.logIn()
    const [answer] = peer.text([['CHAP_A', '5']])
    const text = answer?.name === 'Text Response' ? pairsOf(answer.data) : undefined
    assert.ok(text === undefined || text.get('CHAP_A') === 'NotUnderstood', 'nothing is authenticated')
    peer.finish()
  })

  test('§6.3 the next stage of the target is never beyond the one that was asked for', () => {
    const peer = new TestPeer()
    const [answer] = peer.login(namesPairs(), { csg: 0, nsg: 1 })
    assert.deepEqual([asLogin(answer).transit, asLogin(answer).nsg], [true, 1])
    peer.finish()
  })
})
