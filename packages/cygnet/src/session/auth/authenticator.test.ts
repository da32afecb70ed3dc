import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isAuthenticationKey } from './authenticator.ts'

test('keys of authentication methods are told from negotiated ones', () => {
  const keys = [
    'CHAP_A',
    'CHAP_I',
    'CHAP_C',
    'CHAP_N',
    'CHAP_R',
    'SRP_U',
    'SRP_HM',
    'TargetAuth',
    'KRB_AP_REQ',
  ]
  for (const key of keys) assert.ok(isAuthenticationKey(key), key)
  for (const key of ['AuthMethod', 'TargetName', 'CHAP', 'X-CHAP_A', 'chap_a', 'TargetAuthority', ''])
    assert.ok(!isAuthenticationKey(key), key)
})
