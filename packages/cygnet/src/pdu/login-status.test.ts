import assert from 'node:assert/strict'
import { test } from 'node:test'
import { LoginStatus, loginStatusOf } from './login-status.ts'

test('the codes are those of RFC 7143 §11.13.5', () => {
  const codes = Object.values(LoginStatus).map(
    ({ statusClass, statusDetail }) => (statusClass << 8) | statusDetail,
  )
  const assigned = [0x0000, 0x0101, 0x0102]
  for (let code = 0x0200; code <= 0x020b; code++) assigned.push(code)
  assigned.push(0x0300, 0x0301, 0x0302)
  assert.deepEqual(codes, assigned)
})

test('a received class and detail find their entry', () => {
  for (const status of Object.values(LoginStatus)) {
    assert.equal(loginStatusOf(status.statusClass, status.statusDetail), status)
  }
})

test('an unassigned detail keeps its class, so that a peer of a later version is understood', () => {
  assert.deepEqual(loginStatusOf(3, 0x55), {
    statusClass: 3,
    statusDetail: 0x55,
    name: 'Target error (0x0355)',
    text: 'The status 0x0355 is not assigned.',
  })
  assert.equal(loginStatusOf(9, 1).name, 'Unassigned status class (0x0901)')
})
