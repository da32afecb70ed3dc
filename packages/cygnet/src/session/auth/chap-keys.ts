import { parseBinaryValue, parseNumber } from '../../pdu/text-values.ts'
import type { Pair } from '../negotiator.ts'
import { type AuthFailure, failed } from './authenticator.ts'

/*
 * The keys of one step of CHAP (RFC 7143 §12.1.3). A step has its keys and no others, each once, in any order.
 */

/** Bytes of a challenge or a response. */
export const MAX_CHAP_BINARY_BYTES = 1024
/** Bytes of a name, as of any simple-value (§6.1). */
export const MAX_CHAP_NAME_BYTES = 255
const MAX_ALGORITHM = 0xffff_ffff
const MAX_IDENTIFIER = 255

export interface ChapValues {
  /** Registered numbers, in the order sent. */
  readonly algorithms: readonly number[]
  /** 0..255. */
  readonly identifier: number
  readonly challenge: Uint8Array
  readonly name: string
  readonly response: Uint8Array
}

type Field = keyof ChapValues

interface KeyFormat<T> {
  readonly key: string
  /** For the log: what `parse` takes. */
  readonly what: string
  parse(text: string): T | undefined
}

const binary = (key: string): KeyFormat<Uint8Array> => ({
  key,
  what: `1 to ${MAX_CHAP_BINARY_BYTES} bytes in hexadecimal (0x) or base64 (0b)`,
  parse: (text) => parseBinaryValue(text, MAX_CHAP_BINARY_BYTES),
})

const formats: { readonly [name in Field]: KeyFormat<ChapValues[name]> } = {
  algorithms: { key: 'CHAP_A', what: 'numbers, separated by commas', parse: parseAlgorithmNumbers },
  identifier: {
    key: 'CHAP_I',
    what: `a number from 0 to ${MAX_IDENTIFIER}`,
    parse: (text) => parseNumber(text, 0, MAX_IDENTIFIER),
  },
  challenge: binary('CHAP_C'),
  // Literally, even where it looks like a number (0x41).
  name: {
    key: 'CHAP_N',
    what: `a name of 1 to ${MAX_CHAP_NAME_BYTES} bytes`,
    parse: (text) => (text === '' || Buffer.byteLength(text) > MAX_CHAP_NAME_BYTES ? undefined : text),
  },
  response: binary('CHAP_R'),
}

function parseAlgorithmNumbers(text: string): readonly number[] | undefined {
  const numbers = text.split(',').map((item) => parseNumber(item, 0, MAX_ALGORITHM))
  return numbers.includes(undefined) ? undefined : (numbers as number[])
}

export type ChapStep<R extends Field, O extends Field> =
  | { readonly ok: true; readonly values: Pick<ChapValues, R> & Partial<Pick<ChapValues, O>> }
  | { readonly ok: false; readonly failure: AuthFailure }

/** Reads one step: all of `required`, any of `optional`, and nothing else. */
export function readChapStep<R extends Field, O extends Field = never>(
  pairs: readonly Pair[],
  required: readonly R[],
  optional: readonly O[] = [],
): ChapStep<R, O> {
  const refuse = (failure: AuthFailure) => ({ ok: false, failure }) as const
  const values: { [name in Field]?: unknown } = {}
  const allowed: readonly Field[] = [...required, ...optional]
  for (const [key, text] of pairs) {
    const field = allowed.find((name) => formats[name].key === key)
    if (field === undefined) return refuse(failed(`${key} is not expected now`, 'initiatorError'))
    if (field in values) return refuse(failed(`${key} came twice`, 'initiatorError'))
    const value = formats[field].parse(text)
    if (value === undefined) {
      return refuse(failed(`${key} must be ${formats[field].what}`, 'initiatorError'))
    }
    values[field] = value
  }
  const missing = required.find((name) => !(name in values))
  if (missing !== undefined) return refuse(failed(`${formats[missing].key} is missing`, 'missingParameter'))
  return { ok: true, values: values as Pick<ChapValues, R> & Partial<Pick<ChapValues, O>> }
}

/** A peer's text for the log: cut short and made printable. */
export const quoteName = (name: string): string =>
  JSON.stringify(name.length > 64 ? `${name.slice(0, 64)}…` : name)
