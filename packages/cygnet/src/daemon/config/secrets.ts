import { readFileSync } from 'node:fs'
import { AssertionError } from '../../base/assert.ts'
import { chapSecretFromText } from '../../session/auth/chap-secrets.ts'
import { type Environment, fileFault } from './named-files.ts'
import type { SecretSource } from './state.ts'

/** Far more than any secret has. */
const MAX_SECRET_FILE_BYTES = 4096
const LINE_FEED = 0x0a

/** The secrets of a configuration, as they were when it was read. */
export class Secrets {
  readonly #secrets = new Map<string, Uint8Array>()

  /** The secret of a source that was read. */
  of(source: SecretSource): Uint8Array {
    const secret = this.#secrets.get(JSON.stringify(source))
    if (secret === undefined) throw new AssertionError('the secret was not read with its configuration')
    return secret
  }

  /** All of them, for another process. */
  entries(): [key: string, secret: Uint8Array][] {
    return [...this.#secrets]
  }

  /** What `entries` of another process gave. */
  static from(entries: readonly (readonly [key: string, secret: Uint8Array])[]): Secrets {
    const secrets = new Secrets()
    for (const [key, secret] of entries) secrets.#secrets.set(key, secret)
    return secrets
  }

  add(source: SecretSource, secret: Uint8Array): void {
    this.#secrets.set(JSON.stringify(source), secret)
  }
}

/** A secret, or why there is none. */
export type ReadSecret =
  | { readonly ok: true; readonly secret: Uint8Array }
  | { readonly ok: false; readonly expected: string; readonly found: string; readonly remedy: string }

export function readSecret(source: SecretSource, environment: Environment): ReadSecret {
  switch (source.kind) {
    case 'inline':
      return { ok: true, secret: chapSecretFromText(source.text) }
    case 'environment': {
      const text = environment[source.name]
      if (text !== undefined && text !== '') return { ok: true, secret: chapSecretFromText(text) }
      return {
        ok: false,
        expected: `the environment variable ${source.name} with the secret`,
        found: text === undefined ? 'no such variable' : 'an empty one',
        remedy: `set ${source.name} for the server, and for this check`,
      }
    }
    case 'file':
      return readSecretFile(source.path)
  }
}

/** One line; the line break behind it is not part of the secret. */
function readSecretFile(path: string): ReadSecret {
  const expected = 'a file with the secret in one line'
  const fault = fileFault(path, MAX_SECRET_FILE_BYTES)
  if (fault) return { ok: false, expected, ...fault }
  const bytes = readFileSync(path)
  const secret = bytes.subarray(0, bytes.length - (/\r?\n$/.exec(bytes.toString('latin1'))?.[0].length ?? 0))
  if (secret.length === 0)
    return { ok: false, expected, found: `${path}, which is empty`, remedy: 'write the secret into it' }
  if (secret.includes(LINE_FEED)) {
    const remedy = 'leave only the line with the secret'
    return { ok: false, expected, found: `several lines in ${path}`, remedy }
  }
  return { ok: true, secret }
}
