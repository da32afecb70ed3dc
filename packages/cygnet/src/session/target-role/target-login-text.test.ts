import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { encodeText } from '../../pdu/text.ts'
import { LoginStatus } from '../../pdu/login-status.ts'
import type { Pair } from '../negotiator.ts'
import { namesPairs, TestPeer } from './peer.test-helper.ts'
import { asLogin, pairsOf } from '../wire.test-helper.ts'

const operational: readonly Pair[] = namesPairs([
  ['HeaderDigest', 'CRC32C,None'],
  ['MaxBurstLength', '65536'],
  ['FirstBurstLength', '32768'],
  ['InitialR2T', 'No'],
  ['MaxRecvDataSegmentLength', '16384'],
])

describe('§6.1 text over several PDUs', () => {
  test('the C bit at every split of the text leads to the same session', () => {
    const text = encodeText(operational)
    for (let split = 0; split <= text.length; split++) {
      const peer = new TestPeer()
      const partial = peer.login(text.subarray(0, split), { transit: false, continue: true, nsg: 0 })
      const response = asLogin(partial[0])
      assert.deepEqual([response.transit, response.continue, response.dataSegmentLength], [false, false, 0])
      const [answer] = peer.login(text.subarray(split))
      assert.ok(asLogin(answer).transit, `split at ${split}: ${peer.lastReason}`)
      assert.deepEqual([...pairsOf(answer?.data ?? new Uint8Array()).keys()].toSorted(), [
        'FirstBurstLength',
        'HeaderDigest',
        'InitialR2T',
        'MaxBurstLength',
        'MaxRecvDataSegmentLength',
        'TargetPortalGroupTag',
      ])
      const parameters = peer.connection.session?.parameters
      assert.deepEqual(
        [parameters?.maxBurstLength, parameters?.firstBurstLength, parameters?.initialR2T],
        [65536, 32768, false],
      )
      peer.finish()
    }
  })

  test('a login that arrives byte by byte is the same login', () => {
    const peer = new TestPeer({ chunkBytes: 1 })
    assert.ok(asLogin(peer.login(operational)[0]).transit)
    peer.finish()
  })

  test('an answer of more than 8192 bytes is sent in parts, taken with empty requests', () => {
    const peer = new TestPeer()
    // "NotUnderstood" makes the answers longer than the questions.
    const unknown = Array.from({ length: 600 }, (_, i): Pair => [`X-com.example.key${i}`, ''])
    const text = encodeText(namesPairs(unknown))
    let received = Buffer.alloc(0)
    for (let at = 0; at < text.length; at += 8000) {
      const isLast = at + 8000 >= text.length
      const part = text.subarray(at, at + 8000)
      let [answer] = peer.login(part, { transit: isLast, continue: !isLast })
      if (!isLast) continue
      for (;;) {
        assert.ok(answer, peer.lastReason)
        const response = asLogin(answer)
        assert.equal(response.statusClass, 0, peer.lastReason)
        assert.ok(answer.data.length <= 8192)
        received = Buffer.concat([received, answer.data])
        if (response.transit) break
        assert.ok(response.continue, 'a part without the C bit')
        ;[answer] = peer.login([])
      }
    }
    const pairs = pairsOf(new Uint8Array(received))
    assert.equal([...pairs.values()].filter((value) => value === 'NotUnderstood').length, 600)
    assert.equal(peer.state, 'full-feature')
    peer.finish()
  })

  test('text in place of the empty request that takes the next part is refused', () => {
    const peer = new TestPeer()
    const unknown = Array.from({ length: 600 }, (_, i): Pair => [`X-${i}`, ''])
    assert.ok(asLogin(peer.login(namesPairs(unknown))[0]).continue)
    const response = asLogin(peer.login([['InitialR2T', 'No']])[0])
    assert.equal(response.statusClass, LoginStatus.initiatorError.statusClass)
    assert.match(peer.lastReason, /before all of ours/)
    assert.equal(peer.state, 'closed')
  })

  test('§6.1 8192 bytes of text are always taken', () => {
    const peer = new TestPeer()
    const pairs = namesPairs([['X-a', 'b'.repeat(8000)]])
    assert.ok(asLogin(peer.login(pairs)[0]).transit, peer.lastReason)
    peer.finish()
  })

  test('text without end is refused, in one segment or in a thousand', () => {
    for (const isContinued of [true, false]) {
      const peer = new TestPeer()
      peer.login(namesPairs(), { transit: false })
      let i = 0
      for (; i < 1000 && peer.state === 'login'; i++) {
        const pairs = Array.from({ length: 100 }, (_, j): Pair => [`X-${i}.${j}`, 'v'.repeat(50)])
        peer.login(pairs, { transit: false, continue: isContinued })
      }
      assert.equal(peer.state, 'closed', 'memory of the negotiation is bounded')
      assert.ok(i < 20, `${i} requests`)
      assert.match(peer.lastReason, /longer than 65536 bytes/)
      peer.assertAtRest()
    }
  })
})

describe('§13 what the login agrees on', () => {
  test('digests begin after the last login response, in both directions', () => {
    const peer = new TestPeer()
    peer.logIn([
      ['HeaderDigest', 'CRC32C'],
      ['DataDigest', 'CRC32C'],
    ])
    assert.deepEqual(peer.digests, { header: true, data: true })
    const ping = new Uint8Array(Buffer.from('hello'))
    assert.deepEqual(peer.nopOut({}, ping)[0]?.data, ping)
    peer.finish()
  })

  test('each side declares what it can receive', () => {
    const peer = new TestPeer({ limits: { maxRecvDataSegmentLength: 32768 } })
    const answer = peer.logIn([['MaxRecvDataSegmentLength', '1000']])
    assert.equal(pairsOf(answer.data).get('MaxRecvDataSegmentLength'), '32768')
    assert.equal(peer.nopOut({}, new Uint8Array(2000))[0]?.data.length, 1000, 'what the initiator takes')
    assert.equal(peer.nopOut({}, new Uint8Array(32768))[0]?.data.length, 1000, 'what we take')
    peer.nopOut({}, new Uint8Array(32769))
    assert.equal(peer.state, 'closed')
    assert.match(peer.lastReason, /32769 bytes, the limit is 32768/)
    peer.finish()
  })

  test('a login without the operational stage has the default segment length', () => {
    const peer = new TestPeer()
    peer.login(namesPairs(), { csg: 0 })
    assert.equal(peer.nopOut({}, new Uint8Array(8192))[0]?.data.length, 8192)
    peer.nopOut({}, new Uint8Array(8193))
    assert.equal(peer.state, 'closed')
    peer.finish()
  })

  test('§13.14 FirstBurstLength beyond a MaxBurstLength that came later fails the login', () => {
    const peer = new TestPeer()
    peer.login(namesPairs([['FirstBurstLength', '65536']]), { transit: false })
    const response = asLogin(peer.login([['MaxBurstLength', '4096']])[0])
    assert.equal(response.statusClass, 2)
    assert.match(peer.lastReason, /FirstBurstLength exceeds MaxBurstLength/)
    assert.equal(peer.target.sessions.size, 0)
  })
})
