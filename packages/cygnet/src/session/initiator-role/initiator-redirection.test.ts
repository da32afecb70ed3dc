import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { RawTarget } from './raw-target.test-helper.ts'

const ELSEWHERE = { host: '192.0.2.1', port: 3261 }
const policy = { errorRecoveryLevel: 2, time2WaitSeconds: 0, reopenLimitMs: 60_000 } as const

describe('§11.13.5 a login that is redirected', () => {
  test('of an additional connection goes on there', () => {
    const target = new RawTarget({ policy: { ...policy, connections: 2 } })
    let redirections = 0
    target.redirect = ({ tsih }) => (tsih !== 0 && redirections++ === 0 ? '192.0.2.1:3261,1' : undefined)
    target.open()
    assert.deepEqual(target.portals, [undefined, undefined, ELSEWHERE])
    assert.deepEqual(target.kinds, ['logged-in', 'connection-added'])
    target.finish()
  })

  test('of an additional connection is followed a limited number of times, and tried again later', () => {
    const target = new RawTarget({ policy: { ...policy, connections: 2 } })
    target.redirect = ({ tsih }) => (tsih === 0 ? undefined : '192.0.2.1:3261,1')
    target.open()
    const { reopenRedirections, reopenLastDelayMs } = target.session.limits
    assert.equal(target.portals.length, 2 + reopenRedirections)
    target.redirect = () => undefined
    target.advance(reopenLastDelayMs)
    assert.deepEqual(target.kinds, ['logged-in', 'connection-added'])
    assert.equal(target.portals.at(-1), undefined)
    target.finish()
  })

  test('of a connection that takes the place of a lost one goes on there', () => {
    const target = new RawTarget({ policy }).open()
    target.execute()
    target.poll()
    let redirections = 0
    target.redirect = () => (redirections++ === 0 ? '192.0.2.1:3261,1' : undefined)
    target.lose(1)
    target.advance(100)
    assert.deepEqual(target.portals, [undefined, undefined, ELSEWHERE])
    assert.equal(target.session.counters.connectionReinstatement, 1)
    target.finish()
  })

  test('when the session is opened again has its other connections opened there, too', () => {
    const target = new RawTarget({
      policy: { ...policy, errorRecoveryLevel: 0, connections: 2 },
      keys: [['ErrorRecoveryLevel', '0']],
    }).open()
    target.portals.length = 0
    let redirections = 0
    target.redirect = () => (redirections++ === 0 ? '192.0.2.1:3261,1' : undefined)
    target.lose(1)
    target.advance(5000)
    assert.deepEqual(target.portals, [undefined, ELSEWHERE, ELSEWHERE])
    assert.ok(target.kinds.includes('session-reinstated'))
    target.finish()
  })
})
