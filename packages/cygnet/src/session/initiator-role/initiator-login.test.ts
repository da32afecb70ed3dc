import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { decodeLoginRequest, type LoginResponse } from '../../pdu/login.ts'
import { LoginStatus } from '../../pdu/login-status.ts'
import { encodeText } from '../../pdu/text.ts'
import type { Authenticator } from '../auth/authenticator.ts'
import { HOST_NAME } from '../both-roles.test-helper.ts'
import { TARGET_NAME } from '../target-role/fake-target.test-helper.ts'
import { GROUP_TAG, InitiatorPeer, NO_AUTH } from './initiator-peer.test-helper.ts'
import { initiatorPreferences } from './initiator-preferences.ts'
import { defaultInitiatorLimits } from './initiator-limits.ts'
import type { Pair } from '../negotiator.ts'

const failureCode = (peer: InitiatorPeer): string => {
  peer.poll()
  const event = peer.lastEvent
  assert.equal(peer.connection.state, 'closed')
  return event?.kind === 'failed' ? event.code : `no failure but ${event?.kind}`
}

const assertProtocolError = (peer: InitiatorPeer, message: RegExp): void => {
  assert.equal(failureCode(peer), 'LOGIN_PROTOCOL_ERROR')
  assert.match(peer.lastMessage, message)
}

describe('§6.3.1 what a login begins with', () => {
  test('names, session type and authentication methods, and the wish to go on', () => {
    const { header, keys } = new InitiatorPeer().loginRequest()
    assert.deepEqual(Object.fromEntries(keys), {
      InitiatorName: HOST_NAME,
      TargetName: TARGET_NAME,
      SessionType: 'Normal',
      AuthMethod: 'None',
    })
    const { csg, nsg, transit, tsih, cmdSN, versionMax, versionMin } = header
    assert.deepEqual([csg, nsg, transit, tsih, cmdSN, versionMax, versionMin], [0, 1, true, 0, 1, 0, 0])
  })

  test('a discovery session may go without a target, and offers only what matters there', () => {
    const peer = new InitiatorPeer({ type: 'Discovery', targetName: '', initiatorAlias: 'host' })
    const { keys } = peer.loginRequest()
    assert.deepEqual([...keys.keys()], ['InitiatorName', 'InitiatorAlias', 'SessionType', 'AuthMethod'])
    peer.answerLogin([NO_AUTH])
    assert.deepEqual(
      [...peer.loginRequest().keys.keys()],
      [
        'HeaderDigest',
        'DataDigest',
        'DefaultTime2Wait',
        'DefaultTime2Retain',
        'ErrorRecoveryLevel',
        'MaxRecvDataSegmentLength',
      ],
    )
  })

  test('§13.21 in a discovery session, what does not matter there is irrelevant from either side', () => {
    const peer = new InitiatorPeer({ type: 'Discovery', targetName: '' })
    peer.loginRequest()
    peer.answerLogin([NO_AUTH])
    const keys = peer.loginRequest().keys
    peer.answerLogin(peer.agree(keys, [['InitialR2T', 'No']]), { transit: false })
    assert.deepEqual([...peer.loginRequest().keys], [['InitialR2T', 'Irrelevant']])
  })

  test('a login to an existing session offers nothing that belongs to its first', () => {
    const peer = new InitiatorPeer({ tsih: 9 })
    assert.equal(peer.loginRequest().keys.has('SessionType'), false)
    peer.answerLogin([NO_AUTH, GROUP_TAG], { tsih: 9 })
    assert.deepEqual(
      [...peer.loginRequest().keys.keys()],
      ['HeaderDigest', 'DataDigest', 'MaxRecvDataSegmentLength'],
    )
    peer.answerLogin(
      [
        ['HeaderDigest', 'None'],
        ['DataDigest', 'None'],
      ],
      { tsih: 8 },
    )
    assertProtocolError(peer, /TSIH 8/)
  })

  test('ExpStatSN follows the StatSN of the responses', () => {
    const peer = new InitiatorPeer()
    assert.equal(peer.loginRequest().header.expStatSN, 0)
    peer.answerLogin([NO_AUTH, GROUP_TAG], { statSN: 0xffff_ffff })
    assert.equal(peer.loginRequest().header.expStatSN, 0)
  })
})

describe('§11.13.5 every status becomes an error with its own code', () => {
  const codes: Readonly<Record<string, string>> = {
    initiatorError: 'LOGIN_INITIATOR_ERROR',
    authenticationFailure: 'LOGIN_AUTHENTICATION_FAILED',
    authorizationFailure: 'LOGIN_NOT_AUTHORIZED',
    notFound: 'LOGIN_TARGET_NOT_FOUND',
    targetRemoved: 'LOGIN_TARGET_REMOVED',
    unsupportedVersion: 'LOGIN_VERSION_UNSUPPORTED',
    tooManyConnections: 'LOGIN_TOO_MANY_CONNECTIONS',
    missingParameter: 'LOGIN_PARAMETER_MISSING',
    cannotIncludeInSession: 'LOGIN_SESSION_CANNOT_SPAN',
    sessionTypeNotSupported: 'LOGIN_SESSION_TYPE_UNSUPPORTED',
    sessionDoesNotExist: 'LOGIN_NO_SUCH_SESSION',
    invalidDuringLogin: 'LOGIN_REQUEST_INVALID',
    targetError: 'LOGIN_TARGET_ERROR',
    serviceUnavailable: 'LOGIN_SERVICE_UNAVAILABLE',
    outOfResources: 'LOGIN_OUT_OF_RESOURCES',
  }
  const statuses = Object.entries(LoginStatus).filter(([, { statusClass }]) => statusClass >= 2)
  assert.deepEqual(
    statuses.map(([name]) => name),
    Object.keys(codes),
  )
  for (const [name, status] of statuses) {
    test(`${status.name} is ${codes[name]}`, () => {
      const peer = new InitiatorPeer()
      peer.loginRequest()
      // Numbers and stages of a refusal are not valid (§6.3.1).
      peer.answerLogin([], { ...status, statSN: 0, csg: 0, transit: false, isid: new Uint8Array(6) })
      assert.equal(failureCode(peer), codes[name])
      assert.match(peer.lastMessage, /.: [a-z].*\.$/, 'a sentence that says what to do')
    })
  }

  for (const [statusClass, code] of [
    [2, 'LOGIN_INITIATOR_ERROR'],
    [3, 'LOGIN_TARGET_ERROR'],
    [4, 'LOGIN_STATUS_UNKNOWN'],
  ] as const) {
    test(`an unassigned detail of class ${statusClass} is ${code}, with its number`, () => {
      const peer = new InitiatorPeer()
      peer.loginRequest()
      peer.answerLogin([], { statusClass, statusDetail: 0x77, transit: false })
      assert.equal(failureCode(peer), code)
      assert.match(peer.lastMessage, new RegExp(`0x0${statusClass}77`))
    })
  }

  for (const [detail, permanent] of [
    [1, false],
    [2, true],
  ] as const) {
    test(`0x010${detail} is a redirection to each address that can be read`, () => {
      const peer = new InitiatorPeer()
      peer.loginRequest()
      peer.answerLogin(
        [
          ['TargetAddress', 'storage.example.com'],
          ['TargetAddress', '192.0.2.1:3261'],
          ['TargetAddress', 'no address'],
          ['TargetAddress', '[2001:db8::1]:3262'],
        ],
        { statusClass: 1, statusDetail: detail, transit: false, statSN: 0 },
      )
      peer.poll()
      assert.deepEqual(peer.lastEvent, {
        kind: 'redirected',
        permanent,
        portals: [
          { host: 'storage.example.com', port: 3260 },
          { host: '192.0.2.1', port: 3261 },
          { host: '2001:db8::1', port: 3262 },
        ],
      })
      assert.equal(peer.connection.state, 'closed')
    })
  }

  for (const [what, more] of [
    ['ISID', { isid: new Uint8Array(6) }],
    ['initiator task tag', { initiatorTaskTag: 0x77 }],
  ] as const) {
    test(`a redirection with another ${what} is not for us`, () => {
      const peer = new InitiatorPeer()
      peer.loginRequest()
      peer.answerLogin([['TargetAddress', '192.0.2.1:3261']], {
        statusClass: 1,
        statusDetail: 1,
        transit: false,
        ...more,
      })
      assertProtocolError(peer, new RegExp(`another ${what}`))
    })
  }

  test('a redirection without an address is a protocol error', () => {
    const peer = new InitiatorPeer()
    peer.loginRequest()
    peer.answerLogin([], { statusClass: 1, statusDetail: 1, transit: false })
    assertProtocolError(peer, /without a TargetAddress/)
  })
})

describe('§6.3, §11.13 what a response may not say', () => {
  const wrong: readonly { what: string; more: Partial<LoginResponse>; message: RegExp }[] = [
    { what: 'another ISID', more: { isid: new Uint8Array(6) }, message: /another ISID/ },
    { what: 'another task tag', more: { initiatorTaskTag: 5 }, message: /another initiator task tag/ },
    { what: 'another stage', more: { csg: 0, transit: false }, message: /answered in stage 0/ },
    { what: 'another next stage', more: { nsg: 1 }, message: /went to stage 1/ },
    { what: 'a version that was not offered', more: { versionActive: 1 }, message: /chose version 1/ },
    { what: 'a StatSN out of order', more: { statSN: 77 }, message: /StatSN is 77 where 501/ },
    { what: 'T and C at once', more: { continue: true }, message: /both the T and the C bit/ },
    { what: 'no TSIH at the end', more: { tsih: 0 }, message: /TSIH 0/ },
  ]
  for (const { what, more, message } of wrong) {
    test(what, () => {
      const peer = new InitiatorPeer()
      const keys = peer.toOperational()
      peer.answerLogin(peer.agree(keys), more)
      assertProtocolError(peer, message)
    })
  }

  test('T that was not asked for', () => {
    const peer = new InitiatorPeer({ segmentBytes: 64 })
    assert.equal(peer.loginRequest().header.continue, true)
    peer.answerLogin([], { transit: true, nsg: 1 })
    assertProtocolError(peer, /left a stage of the login unasked/)
  })

  test('another PDU', () => {
    const peer = new InitiatorPeer()
    peer.loginRequest()
    const bytes = new Uint8Array(48)
    bytes[0] = 0x20
    peer.feed(bytes)
    assertProtocolError(peer, /NOP-In came before the end/)
  })

  test('a data segment beyond the 8 KiB of the login phase', () => {
    const peer = new InitiatorPeer()
    peer.loginRequest()
    peer.answerLogin(new Uint8Array(8193))
    assertProtocolError(peer, /8193 bytes, the limit is 8192/)
  })
})

describe('§6.2 negotiation', () => {
  const answered: readonly { answers: Pair[]; message: RegExp }[] = [
    { answers: [['MaxBurstLength', 'NotUnderstood']], message: /MaxBurstLength .*NotUnderstood/ },
    { answers: [['MaxBurstLength', '2097152']], message: /not admissible/ },
    { answers: [['DefaultTime2Wait', '1']], message: /not admissible/ },
    { answers: [['HeaderDigest', 'CRC32']], message: /was not proposed/ },
    { answers: [['ImmediateData', 'Maybe']], message: /must be Yes or No/ },
    {
      answers: [
        ['MaxConnections', '1'],
        ['MaxConnections', '1'],
      ],
      message: /only once/,
    },
    { answers: [['MaxRecvDataSegmentLength', '511']], message: /must be a number from 512/ },
    { answers: [['TargetName', TARGET_NAME]], message: /may not be sent by the target/ },
    {
      answers: [
        ['FirstBurstLength', '4096'],
        ['MaxBurstLength', '2048'],
      ],
      message: /exceeds MaxBurstLength/,
    },
    { answers: [['AuthMethod', 'None']], message: /SecurityNegotiation/ },
    { answers: [['CHAP_A', '5']], message: /CHAP_A came outside the SecurityNegotiation stage/ },
    { answers: [['TargetPortalGroupTag', '2']], message: /only once/ },
  ]
  for (const { answers, message } of answered) {
    test(`${answers.map((pair) => pair.join('=')).join(', ')} is a protocol error`, () => {
      const peer = new InitiatorPeer()
      const keys = peer.toOperational()
      const names = new Set(answers.map(([name]) => name))
      peer.answerLogin([...peer.agree(keys).filter(([name]) => !names.has(name)), ...answers])
      assertProtocolError(peer, message)
    })
  }

  test('a key without an answer is a protocol error once the target leaves the stage', () => {
    const peer = new InitiatorPeer()
    const keys = peer.toOperational()
    peer.answerLogin(peer.agree(keys).filter(([name]) => name !== 'MaxBurstLength'))
    assertProtocolError(peer, /left MaxBurstLength without an answer/)
  })

  test('§6.3 a proposal that needs an answer may not come with T', () => {
    const peer = new InitiatorPeer({ preferences: {} })
    peer.toOperational()
    peer.answerLogin([['MaxBurstLength', '4096']])
    assertProtocolError(peer, /proposed MaxBurstLength and left the stage/)
  })

  test('§6.2.2 with T, a boolean that decides by itself and a key that nobody knows are fine', () => {
    const peer = new InitiatorPeer({ preferences: {} })
    peer.toOperational()
    peer.answerLogin([
      ['ImmediateData', 'No'],
      ['X-com.example.key', '1'],
    ])
    peer.poll()
    assert.equal(peer.lastEvent?.kind, 'logged-in', peer.lastMessage)
    assert.equal(peer.connection.sessionParameters.immediateData, false)
  })

  test('a target that offers T late has its proposals answered first', () => {
    const peer = new InitiatorPeer({ preferences: { MaxBurstLength: 8192 } })
    peer.toOperational()
    peer.answerLogin(
      [
        ['MaxBurstLength', '4096'],
        ['MaxConnections', '9'],
        ['X-com.example.key', '1'],
      ],
      { transit: false },
    )
    const { header, keys } = peer.loginRequest()
    assert.ok(header.transit)
    assert.deepEqual(Object.fromEntries(keys), { MaxConnections: '1', 'X-com.example.key': 'NotUnderstood' })
    peer.answerLogin([])
    peer.poll()
    assert.equal(peer.lastEvent?.kind, 'logged-in', peer.lastMessage)
    assert.equal(peer.connection.sessionParameters.maxBurstLength, 4096)
  })

  test('keys that RFC 3720 did not know may be unknown to a target', () => {
    const peer = new InitiatorPeer()
    const keys = peer.toOperational()
    const unknown: Pair[] = [
      ['TaskReporting', 'NotUnderstood'],
      ['iSCSIProtocolLevel', 'NotUnderstood'],
    ]
    peer.answerLogin(peer.agree(keys, unknown))
    peer.poll()
    assert.equal(peer.lastEvent?.kind, 'logged-in', peer.lastMessage)
    assert.equal(peer.connection.sessionParameters.taskReporting, 'RFC3720')
  })

  test('what we cannot do without and the target rejects fails the login', () => {
    const digests = { header: ['CRC32C'], data: ['None'] } as const
    const peer = new InitiatorPeer({ preferences: initiatorPreferences(defaultInitiatorLimits, digests) })
    const keys = peer.toOperational()
    peer.answerLogin(peer.agree(keys, [['HeaderDigest', 'Reject']]))
    assert.equal(failureCode(peer), 'LOGIN_PARAMETER_REFUSED')
    assert.match(peer.lastMessage, /HeaderDigest=CRC32C/)
  })

  test('a target that says nothing for long is stuck', () => {
    const peer = new InitiatorPeer({ preferences: {} })
    peer.toOperational()
    for (let i = 0; i < 16; i++) {
      peer.answerLogin([], { transit: false })
      if (i < 15) peer.loginRequest()
    }
    peer.answerLogin([], { transit: false })
    assertProtocolError(peer, /neither goes on with the login nor ends it/)
  })
})

describe('§6.1 the C bit', () => {
  test('our text is cut, and only its last part asks for T', () => {
    const peer = new InitiatorPeer({ segmentBytes: 16 })
    let text = ''
    let parts = 0
    for (let isContinued = true; isContinued; parts++) {
      const [request] = peer.poll()
      assert.ok(request && request.data.length <= 16)
      peer.login = decodeLoginRequest(request.view, 0)
      text += Buffer.from(request.data).toString()
      isContinued = peer.login.continue
      assert.equal(peer.login.transit, !isContinued)
      if (isContinued) peer.answerLogin([])
    }
    assert.ok(parts > 5)
    assert.match(text, /^InitiatorName=.*\0AuthMethod=None\0$/)
  })

  test('a part may not be answered with text', () => {
    const peer = new InitiatorPeer({ segmentBytes: 64 })
    peer.loginRequest()
    peer.answerLogin([NO_AUTH])
    assertProtocolError(peer, /answered a part of our text/)
  })

  test("the target's text is put together from its parts, which are answered with nothing", () => {
    const peer = new InitiatorPeer()
    peer.loginRequest()
    const text = encodeText([NO_AUTH, GROUP_TAG])
    for (let at = 0; at < text.length - 1; at++) {
      peer.answerLogin(text.subarray(at, at + 1), { continue: true, transit: false })
      assert.equal(peer.loginRequest().keys.size, 0)
    }
    peer.answerLogin(text.subarray(text.length - 1))
    assert.equal(peer.loginRequest().header.csg, 1)
  })

  test('endless text is not taken', () => {
    const peer = new InitiatorPeer({}, { textBytes: 20_000 })
    peer.loginRequest()
    for (let i = 0; i < 2; i++) {
      peer.answerLogin(new Uint8Array(8192).fill(65), { continue: true, transit: false })
      peer.loginRequest()
    }
    peer.answerLogin(new Uint8Array(8192).fill(65), { continue: true, transit: false })
    assertProtocolError(peer, /longer than 20000 bytes/)
  })
})

describe('§13.9 TargetPortalGroupTag', () => {
  for (const [what, pairs, message] of [
    ['missing', [NO_AUTH], /TargetPortalGroupTag is missing/],
    ['not a number', [NO_AUTH, ['TargetPortalGroupTag', 'one']], /not a number of 16 bits/],
    ['too large', [NO_AUTH, ['TargetPortalGroupTag', '65536']], /not a number of 16 bits/],
  ] as const) {
    test(`${what} in the first response is a protocol error`, () => {
      const peer = new InitiatorPeer()
      peer.loginRequest()
      peer.answerLogin(pairs)
      assertProtocolError(peer, message)
    })
  }

  test('another portal group than discovery said is refused', () => {
    const peer = new InitiatorPeer({ portalGroupTag: 2 })
    peer.loginRequest()
    peer.answerLogin([NO_AUTH, GROUP_TAG])
    assert.equal(failureCode(peer), 'LOGIN_PORTAL_GROUP_CHANGED')
    assert.match(peer.lastMessage, /portal group 1 .* not to 2/)
  })
})

describe('§6.3.2 authentication', () => {
  /** Two exchanges, of which the second proves the target. */
  const authenticator = (): Authenticator => {
    let step = 0
    return {
      start: () => [['CHAP_A', '5']],
      receive: (pairs) => {
        step++
        if (pairs.some(([key]) => key === 'CHAP_X')) return { kind: 'failed', reason: 'wrong' }
        return step === 1
          ? { kind: 'continue', send: [['CHAP_R', '0x01']] }
          : { kind: 'done', send: [], user: 'target' }
      },
    }
  }
  const authentication = { methods: ['CHAP', 'None'], authenticator }
  const CHAP: Pair = ['AuthMethod', 'CHAP']

  const begun = (): InitiatorPeer => {
    const peer = new InitiatorPeer({ authentication })
    assert.equal(peer.loginRequest().keys.get('AuthMethod'), 'CHAP,None')
    peer.answerLogin([CHAP, GROUP_TAG], { transit: false })
    const { header, keys } = peer.loginRequest()
    assert.deepEqual([header.transit, ...keys], [false, ['CHAP_A', '5']])
    return peer
  }

  test('the method that the target chooses runs to its end, then the login goes on', () => {
    const peer = begun()
    peer.answerLogin([['CHAP_C', '0x02']])
    const { header, keys } = peer.loginRequest()
    assert.deepEqual([header.transit, ...keys], [true, ['CHAP_R', '0x01']])
    peer.answerLogin([['CHAP_R', '0x03']])
    assert.equal(peer.loginRequest().header.csg, 1)
    assert.equal(peer.connection.targetUser, 'target')
  })

  test('a target may let us in without, where that was offered', () => {
    const peer = new InitiatorPeer({ authentication })
    peer.loginRequest()
    peer.answerLogin([NO_AUTH, GROUP_TAG])
    assert.equal(peer.loginRequest().header.csg, 1)
  })

  test('a target that ends the stage without having proven itself is not believed', () => {
    const peer = begun()
    peer.answerLogin([['CHAP_C', '0x02']])
    peer.loginRequest()
    peer.answerLogin([])
    assert.equal(failureCode(peer), 'LOGIN_AUTHENTICATION_FAILED')
    assert.match(peer.lastMessage, /ended the authentication before it was complete/)
  })

  test('a target that chooses a method and leaves the stage at once is not believed', () => {
    const peer = new InitiatorPeer({ authentication })
    peer.loginRequest()
    peer.answerLogin([CHAP, GROUP_TAG])
    assert.equal(failureCode(peer), 'LOGIN_AUTHENTICATION_FAILED')
  })

  test('a target whose proof is wrong is told nothing', () => {
    const peer = begun()
    peer.answerLogin([['CHAP_X', '1']], { transit: false })
    assert.equal(failureCode(peer), 'LOGIN_AUTHENTICATION_FAILED')
    assert.equal(peer.connection.hasOutput, false)
  })

  test('keys of a method that was not agreed on are a protocol error', () => {
    const peer = new InitiatorPeer({ authentication })
    peer.loginRequest()
    peer.answerLogin([['CHAP_C', '1'], GROUP_TAG], { transit: false })
    assertProtocolError(peer, /CHAP_C came before a method was agreed on/)
  })

  test('who gives no credentials is told that they are wanted', () => {
    const rejected = new InitiatorPeer()
    rejected.loginRequest()
    rejected.answerLogin([['AuthMethod', 'Reject'], GROUP_TAG], { transit: false })
    const refused = new InitiatorPeer()
    refused.loginRequest()
    refused.answerLogin([], { statusClass: 2, statusDetail: 1, transit: false })
    for (const peer of [rejected, refused]) {
      assert.equal(failureCode(peer), 'LOGIN_AUTHENTICATION_FAILED')
      assert.match(peer.lastMessage, /wants authentication: give a user and a secret/)
    }
  })
})

test('a target that hangs up during the login is named as the one', () => {
  const peer = new InitiatorPeer()
  peer.loginRequest()
  peer.connection.transportClosed('the target closed it', peer.now)
  assert.equal(failureCode(peer), 'LOGIN_CONNECTION_LOST')
})

test('a login that takes too long fails', () => {
  const peer = new InitiatorPeer({}, { loginTimeoutMs: 5000 })
  peer.loginRequest()
  peer.advance(4999)
  assert.equal(peer.connection.state, 'login')
  peer.advance(1)
  assert.equal(failureCode(peer), 'LOGIN_TIMEOUT')
})
