import assert from 'node:assert/strict'
import { test } from 'node:test'
import { LoginStatus } from '../../pdu/login-status.ts'
import { AdditionalConnections } from './additional-connections.ts'
import type { InitiatorConnection } from './initiator-connection.ts'
import type { InitiatorConnections } from './initiator-connections.ts'
import { defaultInitiatorLimits } from './initiator-limits.ts'
import type { LoginFailure } from './initiator-login-failure.ts'

const connection = { cid: 2 } as InitiatorConnection
const failure = (status: LoginStatus): LoginFailure => ({
  kind: 'failed',
  code: 'LOGIN_SESSION_DOES_NOT_EXIST',
  message: 'gone',
  status,
})

function setUp() {
  const log: string[] = []
  const connections = { wantNoMore: () => log.push('no more') } as unknown as InitiatorConnections
  const more = new AdditionalConnections(
    {
      limits: defaultInitiatorLimits,
      connect: (cid) => log.push(`connect ${cid}`),
      openMoreLater: () => log.push('later'),
      giveUpSession: ({ code }) => log.push(code),
    },
    connections,
  )
  return { log, more }
}

test('a connection that could not be added is tried again later', () => {
  const { log, more } = setUp()
  more.failed(connection, failure(LoginStatus.sessionDoesNotExist), false)
  assert.deepEqual(log, ['later'])
})

test('where no other connection lives, a login that fails shows that the session is gone', () => {
  const { log, more } = setUp()
  more.failed(connection, failure(LoginStatus.sessionDoesNotExist), true)
  assert.deepEqual(log, ['LOGIN_SESSION_DOES_NOT_EXIST'])
})

test('a target that has no place for it is not asked again', () => {
  const { log, more } = setUp()
  more.failed(connection, failure(LoginStatus.tooManyConnections), true)
  assert.deepEqual(log, ['no more'])
})
