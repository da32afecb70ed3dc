import { hex } from '../base/bytes.ts'

/*
 * The value types of RFC 7143 §6.1. Parsers return undefined for text that is not of the type: what to answer
 * (usually Reject) depends on the key.
 */

const MAX_NUMERICAL = 2n ** 64n - 1n
const DECIMAL = /^(?:0|[1-9][0-9]*)$/
const HEX = /^0[xX]([0-9a-fA-F]+)$/
const BASE64 = /^0[bB]((?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?)$/

/** Longest encoded numerical-value that is looked at: hexadecimal with leading zeroes within a simple-value's 255 bytes. */
const MAX_NUMERICAL_LENGTH = 255

/** A numerical-value: decimal-constant or hex-constant, 0..2^64-1. */
export function parseNumericalValue(text: string): bigint | undefined {
  if (text.length > MAX_NUMERICAL_LENGTH) return undefined
  if (!DECIMAL.test(text) && !HEX.test(text)) return undefined
  // BigInt knows no upper-case prefix.
  const value = BigInt(text.replace('0X', '0x'))
  return value <= MAX_NUMERICAL ? value : undefined
}

/** A numerical-value within `min..max`, both safe integers: what all keys of RFC 7143 §13 need. */
export function parseNumber(text: string, min: number, max: number): number | undefined {
  const value = parseNumericalValue(text)
  return value !== undefined && value >= BigInt(min) && value <= BigInt(max) ? Number(value) : undefined
}

/** A numerical-range `low~high`, high not below low. */
export function parseNumericalRange(text: string): { low: bigint; high: bigint } | undefined {
  const tilde = text.indexOf('~')
  if (tilde < 0) return undefined
  const low = parseNumericalValue(text.slice(0, tilde))
  const high = parseNumericalValue(text.slice(tilde + 1))
  return low !== undefined && high !== undefined && low <= high ? { low, high } : undefined
}

/** A boolean-value. */
export function parseBoolean(text: string): boolean | undefined {
  if (text === 'Yes') return true
  if (text === 'No') return false
  return undefined
}

export const formatBoolean = (value: boolean): 'Yes' | 'No' => (value ? 'Yes' : 'No')

/** A text-value: letters, digits and . - + @ _ / [ ] : */
export const isTextValue = (text: string): boolean => /^[A-Za-z0-9.\-+@_/[\]:]*$/.test(text)

/** A list-of-values: text-values of one or more characters, separated by commas. */
export function parseList(text: string): readonly string[] | undefined {
  const values = text.split(',')
  return values.every((value) => value !== '' && isTextValue(value)) ? values : undefined
}

/** A hex-constant as a binary string; of an odd number of digits, the first is a byte of its own (§6.1: (n + 1) / 2 bytes). */
export function parseHexConstant(text: string): Uint8Array | undefined {
  const digits = HEX.exec(text)?.[1]
  if (digits === undefined) return undefined
  const even = digits.length % 2 === 0 ? digits : `0${digits}`
  const bytes = new Uint8Array(even.length / 2)
  for (let i = 0; i < bytes.length; i++) bytes[i] = Number.parseInt(even.slice(2 * i, 2 * i + 2), 16)
  return bytes
}

/** A base64-constant as a binary string: padded, canonical (unused bits zero), at least one byte. */
export function parseBase64Constant(text: string): Uint8Array | undefined {
  const digits = BASE64.exec(text)?.[1]
  if (digits === undefined || digits === '') return undefined
  const bytes = Uint8Array.from(atob(digits), (character) => character.charCodeAt(0))
  return formatBase64Constant(bytes).slice(2) === digits ? bytes : undefined
}

/**
 * A binary-value in hexadecimal or base64, at most `maxLengthBytes` long. A decimal-constant has no implicit length
 * (§6.1) and is none here: keys that allow one give the length and use `parseNumericalValue`.
 */
export function parseBinaryValue(text: string, maxLengthBytes: number): Uint8Array | undefined {
  // Two characters a byte and the prefix: what is longer need not be decoded.
  if (text.length > 2 + 2 * maxLengthBytes + 4) return undefined
  const bytes = parseHexConstant(text) ?? parseBase64Constant(text)
  return bytes !== undefined && bytes.length <= maxLengthBytes ? bytes : undefined
}

export const formatHexConstant = (bytes: Uint8Array): string => `0x${hex(bytes)}`

export function formatBase64Constant(bytes: Uint8Array): string {
  let characters = ''
  for (const byte of bytes) characters += String.fromCharCode(byte)
  return `0b${btoa(characters)}`
}
