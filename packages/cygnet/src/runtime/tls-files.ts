import { readFileSync, statSync } from 'node:fs'
import { CygnetError } from '../base/errors.ts'

/** A pre-shared key: `keyFile` is the path of a file with the key in hexadecimal digits. */
export interface TlsPsk {
  readonly identity: string
  readonly keyFile: string
}

/** Where one side's pre-shared keys come from. */
export interface PskSources {
  readonly psk?: readonly TlsPsk[]
  /** Path of a file with lines `identity:key`, the key in hexadecimal digits; `#` begins a comment line. */
  readonly pskFile?: string
}

/** Shorter keys can be guessed from one recorded handshake (RFC 9257 §6 asks for 128 bits of entropy). */
const PSK_MIN_BYTES = 16
/** OpenSSL's bounds for external keys. */
const PSK_MAX_BYTES = 256
const PSK_IDENTITY_MAX_BYTES = 128
/** No certificate chain, key or key list is longer; what is longer is the wrong file. */
const FILE_MAX_BYTES = 1024 * 1024

/** Reads files, and remembers which, so that a change of any of them can be noticed. */
export class WatchedFiles {
  readonly #paths = new Set<string>()

  /**
   * The text of a file. `what` names it in an error.
   * @throws {CygnetError} TLS_FILE
   */
  read(path: string, what: string): string {
    this.#paths.add(path)
    try {
      const { size } = statSync(path)
      if (size > FILE_MAX_BYTES) throw new Error(`it has ${size} bytes, too many for one`)
      return readFileSync(path, 'utf8')
    } catch (cause) {
      const { code, message } = cause as NodeJS.ErrnoException
      const reason = code === 'ENOENT' ? 'there is no such file' : message
      throw new CygnetError('TLS_FILE', `The ${what} ${path} cannot be read: ${reason}.`, { cause })
    }
  }

  /** A PEM text: given as it is, or as the path of a file. */
  readPem(source: string, what: string): string {
    if (source.includes('-----BEGIN')) return source
    const text = this.read(source, what)
    if (text.includes('-----BEGIN')) return text
    throw new CygnetError('TLS_FILE', `The ${what} ${source} is not in PEM form.`)
  }

  /** Differs from an earlier one where any of the files has changed since. */
  stamp(): string {
    return [...this.#paths]
      .map((path) => {
        const stats = statSync(path, { throwIfNoEntry: false })
        return stats === undefined ? '-' : `${stats.ino}:${stats.size}:${stats.mtimeMs}`
      })
      .join()
  }
}

/**
 * Keys by identity.
 * @throws {CygnetError} TLS_FILE, TLS_PSK
 */
export function loadPsks({ psk = [], pskFile }: PskSources, files: WatchedFiles): Map<string, Buffer> {
  const keys = new Map<string, Buffer>()
  const add = (identity: string, hex: string, where: string): void => {
    const lengthBytes = Buffer.byteLength(identity)
    if (lengthBytes === 0 || lengthBytes > PSK_IDENTITY_MAX_BYTES)
      throw invalid(`an identity has 1 to ${PSK_IDENTITY_MAX_BYTES} bytes`, where)
    if (keys.has(identity)) throw invalid(`the identity ${JSON.stringify(identity)} is there twice`, where)
    keys.set(identity, parseKey(hex, where))
  }
  for (const { identity, keyFile } of psk) add(identity, files.read(keyFile, 'pre-shared key file'), keyFile)
  if (pskFile === undefined) return keys
  const lines = files.read(pskFile, 'pre-shared key file').split(/\r?\n/)
  for (const [index, line] of lines.entries()) {
    if (line.trim() === '' || line.startsWith('#')) continue
    const where = `${pskFile}, line ${index + 1}`
    const colon = line.lastIndexOf(':')
    if (colon < 0) throw invalid('a line must be identity:key', where)
    add(line.slice(0, colon).trim(), line.slice(colon + 1), where)
  }
  if (keys.size === 0) throw invalid('there is no line identity:key', pskFile)
  return keys
}

function parseKey(text: string, where: string): Buffer {
  const hex = text.trim()
  if (!/^(?:[\da-f]{2})+$/i.test(hex))
    throw invalid('the key must be hexadecimal digits (openssl rand -hex 32 makes one)', where)
  const key = Buffer.from(hex, 'hex')
  if (key.length >= PSK_MIN_BYTES && key.length <= PSK_MAX_BYTES) return key
  const range = `${PSK_MIN_BYTES} to ${PSK_MAX_BYTES} bytes`
  throw invalid(`the key has ${key.length} bytes, and it must have ${range}`, where)
}

const invalid = (problem: string, where: string): CygnetError =>
  new CygnetError('TLS_PSK', `Pre-shared key in ${where}: ${problem}.`)
