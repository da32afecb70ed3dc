import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { type AsyncMessage, encodeAsyncMessage } from '../../pdu/async-message.ts'
import { BHS_BYTES, RESERVED_TAG } from '../../pdu/bhs.ts'
import { AsyncEvent, RejectReason } from '../../pdu/codes.ts'
import { decodeLogoutRequest, encodeLogoutResponse } from '../../pdu/logout.ts'
import { decodeNopOut, encodeNopIn, type NopIn } from '../../pdu/nop.ts'
import { encodeReject } from '../../pdu/reject.ts'
import { encodeText } from '../../pdu/text.ts'
import { decodeTextRequest, encodeTextResponse, type TextResponse } from '../../pdu/text-pdu.ts'
import { InitiatorPeer } from './initiator-peer.test-helper.ts'
import { type Answer, names } from '../wire.test-helper.ts'

const NOTHING: Uint8Array = new Uint8Array(0)

const nopIn = (peer: InitiatorPeer, more: Partial<NopIn>, data = NOTHING): Answer[] => {
  const isAnswer = (more.initiatorTaskTag ?? RESERVED_TAG) !== RESERVED_TAG
  const pdu: NopIn = {
    dataSegmentLength: data.length,
    lun: 0n,
    initiatorTaskTag: RESERVED_TAG,
    targetTransferTag: RESERVED_TAG,
    ...peer.numbers(isAnswer),
    ...more,
  }
  return peer.exchange((view, at) => encodeNopIn(view, at, pdu), data)
}

const textResponse = (peer: InitiatorPeer, more: Partial<TextResponse>, data = NOTHING): Answer[] => {
  const pdu: TextResponse = {
    final: true,
    continue: false,
    dataSegmentLength: data.length,
    lun: 0n,
    initiatorTaskTag: 1,
    targetTransferTag: RESERVED_TAG,
    ...peer.numbers(),
    ...more,
  }
  return peer.exchange((view, at) => encodeTextResponse(view, at, pdu), data)
}

const asyncMessage = (
  peer: InitiatorPeer,
  asyncEvent: number,
  more: Partial<AsyncMessage> = {},
): Answer[] => {
  const pdu: AsyncMessage = {
    dataSegmentLength: 0,
    lun: 0n,
    asyncEvent,
    asyncVCode: 0,
    parameter1: 0,
    parameter2: 0,
    parameter3: 0,
    ...peer.numbers(),
    ...more,
  }
  return peer.exchange((view, at) => encodeAsyncMessage(view, at, pdu))
}

const reject = (peer: InitiatorPeer, of: Answer, reason: number): Answer[] => {
  const header = new Uint8Array(of.view.buffer, 0, BHS_BYTES).slice()
  const numbers = peer.numbers()
  return peer.exchange(
    (view, at) => encodeReject(view, at, { ...numbers, reason, dataSN: 0, dataSegmentLength: header.length }),
    header,
  )
}

const assertDropped = (peer: InitiatorPeer, code: string, message: RegExp): void => {
  assert.equal(peer.connection.state, 'closed')
  const event = peer.lastEvent
  assert.equal(event?.kind === 'dropped' && event.failure.code, code, peer.lastMessage)
  assert.match(peer.lastMessage, message)
}

const ping = (peer: InitiatorPeer, data?: Uint8Array): Answer => {
  peer.connection.ping(data)
  const [request] = peer.poll()
  assert.ok(request)
  return request
}

describe('§4.2.2 numbering', () => {
  test('immediate requests carry the CmdSN that comes next and leave it; all carry ExpStatSN', () => {
    const peer = new InitiatorPeer().logIn()
    for (let i = 0; i < 2; i++) {
      const { cmdSN, immediate, expStatSN } = decodeNopOut(ping(peer).view, 0)
      assert.deepEqual([cmdSN, immediate, expStatSN], [1, true, peer.statSN])
    }
  })

  test('§4.2.2.1 MaxCmdSN does not go back, and is ignored where it contradicts ExpCmdSN', () => {
    const peer = new InitiatorPeer().logIn()
    peer.maxCmdSN = 2
    nopIn(peer, {})
    assert.equal(peer.owner.window.maxCmdSN, 32)
    nopIn(peer, { expCmdSN: 60, maxCmdSN: 50 })
    assert.deepEqual([peer.owner.window.expCmdSN, peer.owner.window.maxCmdSN], [1, 32])
  })

  test('a response whose StatSN has been is ignored', () => {
    const peer = new InitiatorPeer().logIn()
    peer.connection.ping()
    peer.poll()
    nopIn(peer, { initiatorTaskTag: 1, statSN: peer.statSN - 1 })
    assert.equal(
      peer.events.some(({ kind }) => kind === 'pong'),
      false,
    )
    assert.equal(peer.connection.state, 'full-feature')
  })

  test('§7.1.3 a gap in StatSN ends the connection', () => {
    const peer = new InitiatorPeer().logIn()
    peer.connection.ping()
    peer.poll()
    nopIn(peer, { initiatorTaskTag: 1, statSN: peer.statSN + 1 })
    assertDropped(peer, 'CONNECTION_LOST', /response is missing/)
  })
})

describe('§11.18, §11.19 NOP', () => {
  test('a NOP-In with a target transfer tag is answered with it and its LUN', () => {
    const peer = new InitiatorPeer().logIn()
    const [answer] = nopIn(peer, { targetTransferTag: 9, lun: 5n })
    assert.ok(answer)
    const { initiatorTaskTag, targetTransferTag, lun, immediate } = decodeNopOut(answer.view, 0)
    assert.deepEqual([initiatorTaskTag, targetTransferTag, lun, immediate], [RESERVED_TAG, 9, 5n, true])
  })

  test('a NOP-In without tags asks for nothing', () => {
    const peer = new InitiatorPeer().logIn()
    assert.deepEqual(nopIn(peer, {}), [])
  })

  test('the echo ends a ping', () => {
    const peer = new InitiatorPeer().logIn()
    const data = Uint8Array.of(1, 2, 3)
    assert.deepEqual(ping(peer, data).data, data)
    nopIn(peer, { initiatorTaskTag: 1 }, data)
    assert.deepEqual(peer.lastEvent, { kind: 'pong', request: 1 })
  })

  for (const data of [NOTHING, Uint8Array.of(1, 2, 4), Uint8Array.of(1, 2, 3, 4)]) {
    test(`an echo of [${data.join()}] for [1,2,3] ends the connection`, () => {
      const peer = new InitiatorPeer().logIn()
      ping(peer, Uint8Array.of(1, 2, 3))
      nopIn(peer, { initiatorTaskTag: 1 }, data)
      assertDropped(peer, 'PROTOCOL_ERROR', /does not echo/)
    })
  }

  test('an answer to no ping ends the connection', () => {
    const peer = new InitiatorPeer().logIn()
    nopIn(peer, { initiatorTaskTag: 1 })
    assertDropped(peer, 'PROTOCOL_ERROR', /answers no NOP-Out/)
  })

  test('a target that is silent is asked for a sign of life, then given up', () => {
    const peer = new InitiatorPeer({}, { nopIntervalMs: 1000, nopTimeoutMs: 400 }).logIn()
    peer.advance(600)
    nopIn(peer, {})
    assert.deepEqual(peer.advance(999), [])
    const [question] = peer.advance(1)
    assert.ok(question)
    nopIn(peer, { initiatorTaskTag: decodeNopOut(question.view, 0).initiatorTaskTag })
    peer.advance(400)
    assert.equal(peer.connection.state, 'full-feature')
    assert.deepEqual(names(peer.advance(1000)), ['NOP-Out'])
    peer.advance(400)
    assertDropped(peer, 'CONNECTION_LOST', /no sign of life within 400 ms/)
  })

  test('§13.21 a discovery session sends none', () => {
    const peer = new InitiatorPeer({ type: 'Discovery', targetName: '' }).logIn()
    assert.equal(peer.connection.pollTimeout(), undefined)
  })
})

describe('§11.10, §11.11 text', () => {
  const asked = (): InitiatorPeer => {
    const peer = new InitiatorPeer().logIn()
    peer.connection.text([['SendTargets', 'All']])
    assert.deepEqual(names(peer.poll()), ['Text Request'])
    return peer
  }

  test('a long answer is asked on for with its tag, and without text', () => {
    const peer = asked()
    const text = encodeText([
      ['TargetName', 'iqn.2026-11.test:a'],
      ['TargetAddress', '192.0.2.1,1'],
    ])
    const [next] = textResponse(
      peer,
      { final: false, continue: true, targetTransferTag: 77 },
      text.subarray(0, 20),
    )
    assert.ok(next)
    const header = decodeTextRequest(next.view, 0)
    assert.deepEqual(
      [header.final, header.continue, header.targetTransferTag, header.initiatorTaskTag, next.data.length],
      [true, false, 77, 1, 0],
    )
    textResponse(peer, {}, text.subarray(20))
    assert.deepEqual(peer.lastEvent, {
      kind: 'text',
      request: 1,
      pairs: [
        ['TargetName', 'iqn.2026-11.test:a'],
        ['TargetAddress', '192.0.2.1,1'],
      ],
    })
  })

  for (const [what, more, data, message] of [
    ['F and C at once', { continue: true }, NOTHING, /F and C bits/],
    ['more to come without a tag', { final: false }, NOTHING, /without a target transfer tag/],
    ['another task tag', { initiatorTaskTag: 2 }, NOTHING, /answers no request/],
    ['text that is none', {}, Uint8Array.of(65, 0), /no "="/],
  ] as const) {
    test(`${what} ends the connection`, () => {
      const peer = asked()
      textResponse(peer, more, data)
      assertDropped(peer, 'PROTOCOL_ERROR', message)
    })
  }

  test('an endless answer is not taken', () => {
    const peer = new InitiatorPeer({}, { textBytes: 10_000 }).logIn()
    peer.connection.text([['SendTargets', 'All']])
    peer.poll()
    textResponse(peer, { final: false, continue: true, targetTransferTag: 1 }, new Uint8Array(8000).fill(65))
    textResponse(peer, { final: false, continue: true, targetTransferTag: 1 }, new Uint8Array(8000).fill(65))
    assertDropped(peer, 'PROTOCOL_ERROR', /longer than 10000 bytes/)
  })

  test('a request without an answer in time ends the connection', () => {
    const peer = asked()
    peer.advance(peer.limits.requestTimeoutMs)
    assertDropped(peer, 'CONNECTION_LOST', /no answer to a request within 15000 ms/)
  })
})

describe('§11.17 Reject', () => {
  test('fails the request that it is about, and the session goes on', () => {
    const peer = new InitiatorPeer().logIn()
    reject(peer, ping(peer), RejectReason.commandNotSupported)
    const event = peer.lastEvent
    assert.equal(event?.kind, 'request-failed')
    assert.match(peer.lastMessage, /rejected our NOP-Out: it is not supported/)
    nopIn(peer, {})
    assert.equal(peer.connection.state, 'full-feature')
  })

  test('of a logout ends the connection', () => {
    const peer = new InitiatorPeer().logIn()
    peer.connection.logOut()
    const [logout] = peer.poll()
    assert.ok(logout)
    reject(peer, logout, RejectReason.protocolError)
    assertDropped(peer, 'REQUEST_REJECTED', /rejected our Logout Request: it breaks the protocol/)
  })
})

describe('§11.9 Asynchronous Message', () => {
  test('a request to log out is honoured at once', () => {
    const peer = new InitiatorPeer().logIn()
    assert.deepEqual(names(asyncMessage(peer, AsyncEvent.logoutRequest, { parameter3: 7 })), [
      'Logout Request',
    ])
    assert.deepEqual(peer.lastEvent, {
      kind: 'notice',
      notice: { kind: 'logout-requested', withinSeconds: 7 },
    })
    assert.equal(peer.connection.canRequest, false)
  })

  for (const [asyncEvent, what] of [
    [AsyncEvent.connectionDrop, 'connection'],
    [AsyncEvent.sessionDrop, 'session'],
  ] as const) {
    test(`the announced drop of the ${what} ends it`, () => {
      const peer = new InitiatorPeer().logIn()
      asyncMessage(peer, asyncEvent, { parameter1: peer.connection.cid, parameter2: 3, parameter3: 20 })
      assert.deepEqual(peer.events.at(-2), {
        kind: 'notice',
        notice: { kind: 'drop-announced', what, time2WaitSeconds: 3, time2RetainSeconds: 20 },
      })
      assertDropped(peer, 'CONNECTION_LOST', /announced/)
    })
  }

  test('a request to negotiate is answered with an empty text request, whose answer takes effect', () => {
    const peer = new InitiatorPeer().logIn()
    const [request] = asyncMessage(peer, AsyncEvent.negotiationRequest, { parameter3: 5 })
    assert.ok(request)
    assert.deepEqual([request.name, request.data.length], ['Text Request', 0])
    textResponse(peer, {}, encodeText([['MaxRecvDataSegmentLength', '1024']]))
    assert.equal(peer.connection.sendSegmentBytes, 1024)
    assert.equal(peer.connection.state, 'full-feature')
  })

  test('§13.23 the termination of tasks, which was not agreed on, ends the connection', () => {
    const peer = new InitiatorPeer().logIn()
    asyncMessage(peer, AsyncEvent.taskTermination)
    assertDropped(peer, 'PROTOCOL_ERROR', /FastAbort/)
  })

  test('a vendor event is passed on', () => {
    const peer = new InitiatorPeer().logIn()
    asyncMessage(peer, 250, { asyncVCode: 3 })
    assert.deepEqual(peer.lastEvent, {
      kind: 'notice',
      notice: { kind: 'vendor-event', asyncEvent: 250, asyncVCode: 3 },
    })
  })
})

describe('§11.14, §11.15 logout', () => {
  const loggingOut = (): InitiatorPeer => {
    const peer = new InitiatorPeer().logIn()
    peer.connection.logOut()
    const [request] = peer.poll()
    assert.ok(request)
    const { reasonCode, initiatorTaskTag } = decodeLogoutRequest(request.view, 0)
    assert.deepEqual([reasonCode, initiatorTaskTag], [0, 1])
    return peer
  }
  const answer = (peer: InitiatorPeer, response: number): void => {
    const numbers = peer.numbers()
    const pdu = { ...numbers, response, initiatorTaskTag: 1, time2Wait: 0, time2Retain: 0 }
    peer.exchange((view, at) => encodeLogoutResponse(view, at, pdu))
  }

  test('the response ends the session', () => {
    const peer = loggingOut()
    answer(peer, 0)
    assert.equal(peer.lastEvent?.kind, 'logged-out')
    assert.equal(peer.connection.state, 'closed')
    assert.equal(peer.pool.inUse, 0)
  })

  test('a response that is no consent ends the connection all the same', () => {
    const peer = loggingOut()
    answer(peer, 3)
    assertDropped(peer, 'CONNECTION_LOST', /response 3/)
  })

  test('no response in time ends the connection', () => {
    const peer = loggingOut()
    peer.advance(peer.limits.requestTimeoutMs)
    assertDropped(peer, 'CONNECTION_LOST', /no answer to the logout/)
  })

  test('one that nobody asked for ends the connection', () => {
    const peer = new InitiatorPeer().logIn()
    answer(peer, 0)
    assertDropped(peer, 'PROTOCOL_ERROR', /answers no request/)
  })
})

describe('what no target sends', () => {
  for (const [opcode, message] of [
    [0x01, /sent a SCSI Command/],
    [0x23, /unexpected Login Response/],
    [0x25, /unexpected SCSI Data-In/],
    [0x3e, /unexpected vendor-specific opcode 0x3e/],
  ] as const) {
    test(`opcode 0x${opcode.toString(16)} ends the connection`, () => {
      const peer = new InitiatorPeer().logIn()
      const bytes = new Uint8Array(BHS_BYTES)
      bytes[0] = opcode
      peer.feed(bytes)
      peer.poll()
      assertDropped(peer, 'PROTOCOL_ERROR', message)
    })
  }

  test('a data segment beyond what we declared', () => {
    const peer = new InitiatorPeer({}, { maxRecvDataSegmentLength: 512 }).logIn()
    nopIn(peer, {}, new Uint8Array(513))
    assertDropped(peer, 'PROTOCOL_ERROR', /513 bytes, the limit is 512/)
  })
})

test('the loss of the connection fails every request', () => {
  const peer = new InitiatorPeer().logIn()
  peer.connection.ping()
  peer.connection.text([['SendTargets', '']])
  peer.connection.transportClosed('reset', peer.now)
  peer.poll()
  assert.deepEqual(
    peer.events.slice(-3).map((event) => [event.kind, 'request' in event && event.request]),
    [
      ['request-failed', 1],
      ['request-failed', 2],
      ['dropped', false],
    ],
  )
  assert.equal(peer.pool.inUse, 0)
})
