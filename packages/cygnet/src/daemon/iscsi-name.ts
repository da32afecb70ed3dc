import { CygnetError } from '../base/errors.ts'

/** RFC 7143 §4.2.7.2: bytes of UTF-8. */
const MAX_NAME_BYTES = 223

interface NameForm {
  readonly prefix: string
  readonly pattern: RegExp
  readonly remedy: string
}

/** The three name forms (RFC 7143 §4.2.7.4 to §4.2.7.6), on normalised text. */
const forms: readonly NameForm[] = [
  {
    prefix: 'iqn.',
    // A date, a reversed domain name, and perhaps a colon and anything that a name may hold.
    pattern:
      /^iqn\.\d{4}-(?:0[1-9]|1[0-2])\.[a-z\d](?:[a-z\d-]*[a-z\d])?(?:\.[a-z\d](?:[a-z\d-]*[a-z\d])?)*(?::[\p{L}\p{M}\p{N}.:-]*)?$/u,
    remedy:
      'write iqn.YYYY-MM.REVERSED-DOMAIN:NAME with letters, digits, dots, dashes and colons, such as iqn.2026-11.com.example:disk1',
  },
  {
    prefix: 'eui.',
    pattern: /^eui\.[\da-f]{16}$/,
    remedy: 'write eui. and 16 hexadecimal digits, such as eui.02004567a425678d',
  },
  {
    prefix: 'naa.',
    pattern: /^naa\.(?:[\da-f]{16}|[\da-f]{32})$/,
    remedy: 'write naa. and 16 or 32 hexadecimal digits, such as naa.52004567ba64678d',
  },
]

/**
 * Checks an iSCSI name and returns it normalised: compatibility characters composed and letters in lower case, as
 * names are compared (RFC 7143 §4.2.7.1, RFC 3722).
 * @throws {CygnetError} NAME_INVALID
 */
export function parseIscsiName(text: string): string {
  const name = text.normalize('NFKC').toLowerCase()
  const form = forms.find(({ prefix }) => name.startsWith(prefix))
  if (form === undefined) throw invalid(text, 'it must begin with iqn., eui. or naa.')
  if (!form.pattern.test(name)) throw invalid(text, form.remedy)
  const lengthBytes = new TextEncoder().encode(name).length
  if (lengthBytes > MAX_NAME_BYTES)
    throw invalid(text, `it has ${lengthBytes} bytes, and at most ${MAX_NAME_BYTES} are allowed`)
  return name
}

const invalid = (text: string, remedy: string): CygnetError =>
  new CygnetError('NAME_INVALID', `"${text}" is not an iSCSI name: ${remedy}.`)
