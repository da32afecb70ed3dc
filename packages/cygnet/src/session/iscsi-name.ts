import { CygnetError } from '../base/errors.ts'
import { foldIscsiName, type PreparedName, prepareIscsiName } from './iscsi-name-profile.ts'

/** RFC 7143 §4.2.7.2: bytes of UTF-8. */
export const MAX_NAME_BYTES = 223

/** Longer text is not normalised to see whether it becomes a name: eight times as much as one may have. */
const MAX_TEXT_LENGTH = 8 * MAX_NAME_BYTES

interface NameForm {
  readonly prefix: string
  readonly pattern: RegExp
  readonly remedy: string
}

/** The three name forms (RFC 7143 §4.2.7.4 to §4.2.7.6), on text that went through the stringprep profile. */
const forms: readonly NameForm[] = [
  {
    prefix: 'iqn.',
    // A date, a reversed domain name, and perhaps a colon and anything that a name may hold.
    pattern: /^iqn\.\d{4}-(?:0[1-9]|1[0-2])(?:\.[a-z\d](?:[a-z\d-]{0,61}[a-z\d])?)+(?::.*)?$/u,
    remedy:
      'must be iqn.YYYY-MM.REVERSED-DOMAIN:NAME with letters, digits, dots, dashes and colons, such as iqn.2026-11.com.example:disk1',
  },
  {
    prefix: 'eui.',
    pattern: /^eui\.[\da-f]{16}$/,
    remedy: 'must be eui. and 16 hexadecimal digits, such as eui.02004567a425678d',
  },
  {
    prefix: 'naa.',
    // The first digit is the format of the identifier; format 6 alone has 128 bits.
    pattern: /^naa\.(?:[\da-f]{16}|6[\da-f]{31})(?<!naa\.6[\da-f]{15})$/,
    remedy: 'must be naa. and 16 hexadecimal digits, or 32 that begin with a 6, such as naa.52004567ba64678d',
  },
]

function checkName(text: string): PreparedName {
  if (text.length > MAX_TEXT_LENGTH) {
    return {
      ok: false,
      problem: `has ${text.length} characters, and at most ${MAX_NAME_BYTES} bytes are allowed`,
    }
  }
  const prepared = prepareIscsiName(text)
  if (!prepared.ok) return prepared
  const { name } = prepared
  const form = forms.find(({ prefix }) => name.startsWith(prefix))
  if (form === undefined) return { ok: false, problem: 'must begin with iqn., eui. or naa.' }
  if (!form.pattern.test(name)) return { ok: false, problem: form.remedy }
  const lengthBytes = new TextEncoder().encode(name).length
  if (lengthBytes > MAX_NAME_BYTES) {
    return { ok: false, problem: `has ${lengthBytes} bytes, and at most ${MAX_NAME_BYTES} are allowed` }
  }
  return prepared
}

/**
 * A name that a peer sent, in the form that names are compared in (RFC 7143 §4.2.7.2); undefined where it is not an
 * iSCSI name.
 */
export function normalizeIscsiName(text: string): string | undefined {
  const checked = checkName(text)
  return checked.ok ? checked.name : undefined
}

/**
 * Checks an iSCSI name that somebody wrote and returns it normalised (RFC 7143 §4.2.7, RFC 3722).
 * @throws {CygnetError} NAME_INVALID
 */
export function parseIscsiName(text: string): string {
  const checked = checkName(text)
  if (checked.ok) return checked.name
  const shown = text.length > MAX_NAME_BYTES ? `${text.slice(0, 40)}…` : text
  throw new CygnetError('NAME_INVALID', `"${shown}" is not an iSCSI name: it ${checked.problem}.`)
}

/** RFC 7143 §4.2.7.3. */
const NAME_TYPE = /^(?:iqn|eui|naa)\./
/** What no name in use has: it would break logs and commands. */
// oxlint-disable-next-line no-control-regex -- control characters are what it looks for
const BREAKS_TEXT = /[\u0000-\u0020\u007f]/

/**
 * A peer's name in the form in which names are compared. Names that RFC 3722 would not allow are in use, with
 * underscores above all, so only what cannot be a name is refused: undefined.
 */
export function peerName(text: string): string | undefined {
  const name = foldIscsiName(text)
  const isName = NAME_TYPE.test(name) && !BREAKS_TEXT.test(name) && Buffer.byteLength(name) <= MAX_NAME_BYTES
  return isName ? name : undefined
}
