import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { after, test } from 'node:test'
import { TestCertificates } from '../../runtime/tls-certificates.test-helper.ts'
import { problemAt } from './marked.test-helper.ts'

const files = new TestCertificates()
after(() => files.remove())
const { certFile, keyFile } = files.issue('portal', files.ca('Test CA'))
const psk = files.path('host1.psk')
writeFileSync(psk, '5a'.repeat(32), { mode: 0o600 })

const portal = (tls: string): string =>
  `portals: [{ listen: 127.0.0.1, tls: ${tls} }]\ntargets: { iqn.2026-11.test:a: { luns: { 0: { memory: 1M } } } }`

test('a certificate beside pre-shared keys lets in who has no key: that gives a warning', () => {
  const problem = problemAt(
    portal(`{ certFile: ${certFile}, keyFile: ${keyFile}, psk: ▸[{ identity: host1, keyFile: ${psk} }] }`),
  )
  assert.equal(problem?.severity, 'warning')
  assert.match(problem.found, /clients without a key are let in too/)
})

test('a certificate alone, and pre-shared keys alone, give none', () => {
  assert.equal(problemAt(portal(`{ certFile: ${certFile}, keyFile: ${keyFile} }`)), undefined)
  assert.equal(problemAt(portal(`{ psk: [{ identity: host1, keyFile: ${psk} }] }`)), undefined)
})
