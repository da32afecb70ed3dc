import { CygnetError } from '../base/errors.ts'
import { foldIscsiName } from '../session/iscsi-name-profile.ts'

/** RFC 7143 §4.2.7.2: bytes of the longest name; a pattern needs no more characters. */
const MAX_PATTERN_CHARACTERS = 223

declare const brand: unique symbol
/** A pattern that was checked and normalised. */
export type NamePattern = string & { readonly [brand]: 'NamePattern' }

/**
 * Checks a pattern for initiator names and returns it normalised as names are (RFC 7143 §4.2.7.1): `*` stands for any
 * characters, also none; everything else for itself.
 * @throws {CygnetError} NAME_PATTERN_INVALID
 */
export function parseNamePattern(text: string): NamePattern {
  const pattern = foldIscsiName(text)
  if (!/^(?:\*|(?:iqn|eui|naa)\.)/.test(pattern))
    throw invalid(text, 'it must begin with iqn., eui., naa. or *, such as iqn.1993-08.org.debian:*')
  // No underscore may be in a name (RFC 3722), and yet some initiators have one: a rule must be able to name them.
  if (!/^[\p{L}\p{M}\p{N}.:*_-]*$/u.test(pattern))
    throw invalid(text, 'names have letters, digits, dots, dashes and colons, and * stands for any of them')
  if (pattern.length > MAX_PATTERN_CHARACTERS)
    throw invalid(
      text,
      `it has ${pattern.length} characters, and at most ${MAX_PATTERN_CHARACTERS} are allowed`,
    )
  return pattern as NamePattern
}

/** Whether a normalised name fits a pattern. Time is at most the product of both lengths. */
export function matchesName(pattern: NamePattern, name: string): boolean {
  const [head = '', ...parts] = pattern.split('*')
  const tail = parts.pop()
  if (tail === undefined) return name === pattern
  if (name.length < head.length + tail.length || !name.startsWith(head) || !name.endsWith(tail)) return false
  const end = name.length - tail.length
  // The leftmost place for each part leaves the most room for those behind it.
  let position = head.length
  for (const part of parts) {
    const found = name.indexOf(part, position)
    if (found === -1 || found + part.length > end) return false
    position = found + part.length
  }
  return true
}

const invalid = (text: string, remedy: string): CygnetError =>
  new CygnetError('NAME_PATTERN_INVALID', `"${text}" is not a pattern of initiator names: ${remedy}.`)
