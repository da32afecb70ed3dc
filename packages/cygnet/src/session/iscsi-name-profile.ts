import { mappedToNothing, prohibited, rightToLeft, unassigned } from './iscsi-name-tables.ts'

/*
 * The stringprep profile for iSCSI names (RFC 3722): map, normalise, then look for what may not be in a name. Names
 * that went through it are compared byte for byte (RFC 7143 §4.2.7.2).
 */

/** A prepared name, or what is wrong with it, as the rest of a sentence that begins with "it". */
export type PreparedName =
  | { readonly ok: true; readonly name: string }
  | { readonly ok: false; readonly problem: string }

/**
 * Lower-case letters of their own, although the runtime's case mappings say otherwise: the dotless i folds to itself.
 * The others were decomposed wrongly in Unicode 3.2 (Corrigendum 4), and the profile stays with it.
 */
const exceptions: ReadonlyMap<number, string> = new Map([
  [0x0131, '\u{131}'],
  [0x2f868, '\u{2136a}'],
  [0x2f874, '\u{5f33}'],
  [0x2f91f, '\u{43ab}'],
  [0x2f95f, '\u{7aae}'],
  [0x2f9bf, '\u{4d57}'],
])

/** Full case folding of one character (ß is ss); upper case first, as some letters have two lower-case forms. */
function foldCase(character: string): string {
  const exception = exceptions.get(codePointOf(character))
  if (exception !== undefined) return exception
  const folded = character.toUpperCase().toLowerCase()
  // A lower-case letter that was added after Unicode 3.2: the profile knows the capital one alone.
  return hasAny(folded, (codePoint) => unassigned.has(codePoint)) ? character : folded
}

/** Tables B.1 and B.2: case folding such that normalising afterwards brings no capital letter back. */
function mapCharacter(character: string): string {
  if (mappedToNothing.has(codePointOf(character))) return ''
  const folded = foldCase(character)
  const normal = folded.normalize('NFKC')
  const again = Array.from(normal, foldCase).join('')
  return again === normal ? folded : again
}

/**
 * Maps and normalises any text (RFC 3722 §4, §5) without judging it: for comparing names that are against the rules,
 * as some peers' are.
 */
export const foldIscsiName = (text: string): string =>
  Array.from(text, mapCharacter).join('').normalize('NFKC')

/** Applies the profile: the name in the form that is compared and sent, or why it can be none. */
export function prepareIscsiName(text: string): PreparedName {
  for (const character of text) {
    if (unassigned.has(codePointOf(character))) {
      return refuse(`may not hold ${show(character)}, which Unicode 3.2 does not know`)
    }
  }
  const name = foldIscsiName(text)
  for (const character of name) {
    const codePoint = codePointOf(character)
    if (prohibited.has(codePoint)) {
      return refuse(`may not hold ${show(character)}; use letters, digits, dots, dashes and colons`)
    }
    // RFC 3454 §6: where there is one, the first character must be one too, and a name begins with i, e or n.
    if (rightToLeft.has(codePoint)) {
      return refuse(`may not hold ${show(character)}, which is written from right to left`)
    }
  }
  return { ok: true, name }
}

const codePointOf = (character: string): number => character.codePointAt(0) as number

const hasAny = (text: string, is: (codePoint: number) => boolean): boolean =>
  Array.from(text).some((character) => is(codePointOf(character)))

/** The character in quotes where it can be seen, and its number. */
function show(character: string): string {
  const number = `U+${codePointOf(character).toString(16).toUpperCase().padStart(4, '0')}`
  return /^[\p{L}\p{N}\p{P}\p{S}]$/u.test(character) ? `"${character}" (${number})` : number
}

const refuse = (problem: string): PreparedName => ({ ok: false, problem })
