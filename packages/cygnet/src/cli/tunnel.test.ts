import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { resolve } from 'node:path'
import { test } from 'node:test'

const bin = resolve(import.meta.dirname, '../../bin/cygnet.cjs')
const ends = ['--listen', '127.0.0.1:0', '--to', '127.0.0.1:1']

const refusals: readonly { args: string[]; message: RegExp }[] = [
  { args: ['--listen', '127.0.0.1:0'], message: /required option '--to <HOST:PORT>' not specified/ },
  { args: ['--listen', '127.0.0.1:0', '--to', ':3260'], message: /^cygnet: ":3260" is not an address/ },
  {
    args: [...ends, '--accept-tls'],
    message: /^cygnet: TLS needs a certificate with its key, or a pre-shared/,
  },
  { args: [...ends, '--accept-tls', '--ca', 'ca.crt'], message: /--ca is of the side without --accept-tls/ },
  { args: [...ends, '--client-ca', 'ca.crt'], message: /--client-ca needs --accept-tls/ },
  {
    args: [...ends, '--accept-tls', '--psk-file', 'none'],
    message: /^cygnet: The pre-shared key file none cannot/,
  },
  { args: [...ends, '--max-connections', 'many'], message: /It must be a whole number/ },
  { args: [...ends, '--ca', 'none.crt'], message: /^cygnet: The CA none\.crt cannot be read/ },
  {
    args: [...ends, '--cert', 'a.crt'],
    message: /^cygnet: A client certificate and its key belong together/,
  },
]
for (const { args, message } of refusals)
  test(`tunnel ${args.join(' ')} is refused with what is wrong`, () => {
    const { status, stdout, stderr } = spawnSync(process.execPath, [bin, 'tunnel', ...args], {
      encoding: 'utf8',
      timeout: 20_000,
    })
    assert.equal(status, 1)
    assert.equal(stdout, '')
    assert.match(stderr, message)
    assert.doesNotMatch(stderr, /^ +at /m, 'no stack trace')
  })
