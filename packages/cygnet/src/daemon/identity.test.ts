import assert from 'node:assert/strict'
import { test } from 'node:test'
import { hex } from '../base/bytes.ts'
import { unitIdentity } from './identity.ts'

test('an identity never changes between releases', () => {
  const { serialNumber, naa } = unitIdentity('iqn.2026-11.dev.cygnet:disk', 0)
  assert.equal(serialNumber, '31E7226CA15E4854')
  assert.equal(hex(naa), '371da10554f78f7a')
})

test('every LUN of every target has an identity of its own', () => {
  const identities = ['iqn.2026-11.dev.cygnet:a', 'iqn.2026-11.dev.cygnet:b'].flatMap((name) =>
    [0, 1, 10].map((lun) => unitIdentity(name, lun)),
  )
  assert.equal(new Set(identities.map(({ serialNumber }) => serialNumber)).size, 6)
  assert.equal(new Set(identities.map(({ naa }) => hex(naa))).size, 6)
  for (const { naa, serialNumber } of identities) {
    assert.equal((naa[0] ?? 0) >>> 4, 3, 'locally assigned')
    assert.match(serialNumber, /^[\dA-F]{16}$/)
  }
})
