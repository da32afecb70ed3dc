import { joinSlices } from '../base/bytes.ts'

/*
 * Text data segments (RFC 7143 §6.1): key=value pairs in UTF-8, each followed by one null byte. The slices given here
 * are one logical text data segment: those of all its PDUs where the C bit split it, so pairs never span calls.
 */

/** Key and value, as sent. */
export type TextPair = readonly [key: string, value: string]

/** Pairs in the order sent, duplicates included; or why the text is not in the format. */
export type ParsedText =
  | { readonly ok: true; readonly pairs: readonly TextPair[] }
  | { readonly ok: false; readonly error: string }

/** Most characters of a key-name. */
export const MAX_KEY_LENGTH = 63

/**
 * A standard-label; the "X#" of the one public key that RFC 3720 and RFC 4850 left behind (RFC 7143 §13.26); and
 * iSCSIProtocolLevel (§13.24), which is a key although no standard-label begins with a small letter.
 */
const KEY_NAME = /^(?:(?:X#)?[A-Z][A-Za-z0-9.\-+@_]*|iSCSIProtocolLevel)$/

const strictUtf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

const refuse = (error: string): { readonly ok: false; readonly error: string } => ({ ok: false, error })

/**
 * Parses a logical text data segment. Null bytes after the last pair's own are passed over, as some peers count their
 * padding in DataSegmentLength; everything else that §6.1 does not allow is an error: a pair without its null, an
 * empty pair between others, a pair without "=", a key that is not a key-name, bytes that are not UTF-8.
 */
export function parseText(slices: readonly Uint8Array[]): ParsedText {
  const bytes = joinSlices(slices)
  let end = bytes.length
  if (end > 0 && bytes[end - 1] !== 0) return refuse('the last key=value pair is not followed by a null')
  while (end > 0 && bytes[end - 1] === 0) end--
  const pairs: TextPair[] = []
  for (let start = 0; start < end; ) {
    const terminator = bytes.indexOf(0, start)
    const pair = parsePair(bytes.subarray(start, terminator))
    if (typeof pair === 'string') return refuse(pair)
    pairs.push(pair)
    start = terminator + 1
  }
  return { ok: true, pairs }
}

/** The pair, or what is wrong with it. */
function parsePair(bytes: Uint8Array): TextPair | string {
  if (bytes.length === 0) return 'an empty key=value pair'
  let text: string
  try {
    text = strictUtf8.decode(bytes)
  } catch {
    return 'a key=value pair is not UTF-8'
  }
  const equals = text.indexOf('=')
  if (equals < 0) return `no "=" in ${quote(text)}`
  const key = text.slice(0, equals)
  if (key.length > MAX_KEY_LENGTH) return `a key of ${key.length} characters, more than ${MAX_KEY_LENGTH}`
  if (!KEY_NAME.test(key)) return `${quote(key)} is not a key`
  return [key, text.slice(equals + 1)]
}

/** For messages: what a peer sent is cut short and made printable. */
const quote = (text: string): string => JSON.stringify(text.length > 40 ? `${text.slice(0, 40)}…` : text)

/** The text data segment of these pairs, each with its null. Keys and values must hold no null. */
export function encodeText(pairs: readonly TextPair[]): Uint8Array {
  let text = ''
  for (const [key, value] of pairs) text += `${key}=${value}\0`
  return new TextEncoder().encode(text)
}
