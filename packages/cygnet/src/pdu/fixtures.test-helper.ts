import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

/*
 * The PDUs of `test/fixtures/pdu/`, written by hand from the layouts of RFC 7143 §11. One PDU a file, in the order of
 * the wire; each line is the part's name, hexadecimal bytes and a comment. Wireshark decodes all of them, and
 * finds every digest good.
 */
const FOLDER = join(import.meta.dirname, '../../../../test/fixtures/pdu')
const PARTS = ['bhs', 'ahs', 'header-digest', 'data', 'pad', 'data-digest'] as const
type Part = (typeof PARTS)[number]

export interface PduFixture {
  readonly name: string
  /** BHS and AHS. */
  readonly header: Uint8Array
  readonly data: Uint8Array
  /** Login PDUs have no digests. */
  readonly isLogin: boolean
  /** The PDU as it is sent on a connection with these digests. */
  readonly wire: (headerDigest: boolean, dataDigest: boolean) => Uint8Array
}

function parse(name: string, text: string): PduFixture {
  const hexOf: Record<Part, string> = {
    bhs: '',
    ahs: '',
    'header-digest': '',
    data: '',
    pad: '',
    'data-digest': '',
  }
  for (const line of text.split('\n')) {
    const [statement = ''] = line.split('#')
    const [part, ...bytes] = statement.trim().split(' ')
    if (part === '') continue
    if (!PARTS.some((known) => known === part)) throw new Error(`${name}: no part is named ${part}`)
    hexOf[part as Part] += bytes.join('')
  }
  const bytesOf = (parts: readonly Part[]): Uint8Array =>
    new Uint8Array(Buffer.from(parts.map((part) => hexOf[part]).join(''), 'hex'))
  return {
    name,
    header: bytesOf(['bhs', 'ahs']),
    data: bytesOf(['data']),
    isLogin: name.startsWith('login'),
    wire: (headerDigest, dataDigest) =>
      bytesOf(
        PARTS.filter(
          (part) => (part !== 'header-digest' || headerDigest) && (part !== 'data-digest' || dataDigest),
        ),
      ),
  }
}

export const fixtures: readonly PduFixture[] = readdirSync(FOLDER)
  .filter((file) => file.endsWith('.hex'))
  .map((file) => parse(file.slice(0, -'.hex'.length), readFileSync(join(FOLDER, file), 'utf8')))

export function fixture(name: string): PduFixture {
  const found = fixtures.find((candidate) => candidate.name === name)
  if (found === undefined) throw new Error(`no fixture is named ${name}`)
  return found
}
