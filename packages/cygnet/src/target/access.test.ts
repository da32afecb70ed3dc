import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { type AccessRule, addressOf, findAccess } from './access.ts'
import { parseAddressRange } from './address-range.ts'
import { parseNamePattern } from './name-pattern.ts'

const debian = 'iqn.1993-08.org.debian:01:host'
const rule = (more: AccessRule): AccessRule => more
const who = { initiatorName: debian, address: '10.0.0.7', user: '' }

describe('access rules', () => {
  test('without rules nobody has access', () => {
    assert.equal(findAccess([], who), undefined)
  })

  test('a rule without conditions fits everybody', () => {
    const all = rule({})
    assert.equal(findAccess([all], who), all)
  })

  test('the first rule that fits decides', () => {
    const other = rule({ initiators: [parseNamePattern('iqn.2026-11.dev.example:*')] })
    const readOnly = rule({ initiators: [parseNamePattern('iqn.1993-08.org.debian:*')], readOnly: true })
    assert.equal(findAccess([other, readOnly, rule({})], who), readOnly)
  })

  test('every condition of a rule must hold', () => {
    const both = rule({
      initiators: [parseNamePattern(debian)],
      addresses: [parseAddressRange('192.168.0.0/16')],
    })
    assert.equal(findAccess([both], who), undefined)
    assert.equal(findAccess([both], { ...who, address: '192.168.1.1' }), both)
  })

  test('users fit by the name that was proven, and may still fit while it is not known', () => {
    const users = rule({ users: ['alice'] })
    assert.equal(findAccess([users], { ...who, user: 'alice' }), users)
    assert.equal(findAccess([users], { ...who, user: 'bob' }), undefined)
    assert.equal(findAccess([users], who), undefined)
    assert.equal(findAccess([users], { ...who, user: undefined }), users)
  })

  test('the address of an endpoint is its host, an IPv6 address without brackets', () => {
    assert.equal(addressOf('10.0.0.7:3260'), '10.0.0.7')
    assert.equal(addressOf('[fd00::7]:3260'), 'fd00::7')
  })
})
