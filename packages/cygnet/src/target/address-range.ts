import { CygnetError } from '../base/errors.ts'

/** Bytes of an IPv6 address. An IPv4 address is held as its mapped form, ::ffff:a.b.c.d (RFC 4291 §2.5.5.2). */
const ADDRESS_BYTES = 16
const MAPPED_BITS = 96

export type IpFamily = 4 | 6

export interface AddressRange {
  /** An IPv4-mapped IPv6 address counts as IPv4: that is how a socket for both families shows an IPv4 peer. */
  readonly family: IpFamily
  /** The first address of the range, 16 bytes. */
  readonly bytes: Uint8Array
  /** Leading bits that all addresses of the range share, 0..128; for IPv4 the 96 bits of the mapping count too. */
  readonly prefixBits: number
}

/**
 * Reads one address (`10.1.2.3`, `fd00::7`) or a range in CIDR notation (`10.0.0.0/8`, `fd00::/8`; RFC 4632 §3.1,
 * RFC 4291 §2.3).
 * @throws {CygnetError} ADDRESS_RANGE_INVALID
 */
export function parseAddressRange(text: string): AddressRange {
  const [addressText = '', prefixText, ...rest] = text.split('/')
  const bytes = rest.length === 0 && !addressText.includes('%') ? parseIpAddress(addressText) : undefined
  if (bytes === undefined)
    throw invalid(text, 'write an IPv4 or IPv6 address, or a range such as 10.0.0.0/8 or fd00::/8')
  const family = familyOf(bytes)
  // Written in IPv6's form, a mapped address has a prefix of up to 128 bits.
  const bitsBefore = family === 4 && !addressText.includes(':') ? MAPPED_BITS : 0
  const mostBits = ADDRESS_BYTES * 8 - bitsBefore
  if (prefixText !== undefined && (!/^\d{1,3}$/.test(prefixText) || Number(prefixText) > mostBits))
    throw invalid(text, `after the slash stands a number of bits from 0 to ${mostBits}`)
  const prefixBits = bitsBefore + Number(prefixText ?? mostBits)
  if (family === 4 && prefixBits < MAPPED_BITS)
    throw invalid(text, 'it spans IPv4 and IPv6: write the IPv4 range, such as 10.0.0.0/8')
  const first = bytes.map((byte, i) => byte & maskByte(prefixBits, i))
  const range: AddressRange = { family, bytes: first, prefixBits }
  if (first.some((byte, i) => byte !== bytes[i]))
    throw invalid(
      text,
      `bits are set behind the prefix: write ${formatAddressRange(range)}, or ${addressText} for that one address`,
    )
  return range
}

/** The one way to write a range: the shortest form of its address (RFC 5952), a prefix where it is not one address. */
export function formatAddressRange({ family, bytes, prefixBits }: AddressRange): string {
  const address = family === 4 ? bytes.subarray(MAPPED_BITS / 8).join('.') : formatIpv6(bytes)
  if (prefixBits === ADDRESS_BYTES * 8) return address
  return `${address}/${family === 4 ? prefixBits - MAPPED_BITS : prefixBits}`
}

/** Whether a peer's address, as a socket names it, lies in the range. What is no address lies in none. */
export function matchesRange(range: AddressRange, address: string): boolean {
  const bytes = parseIpAddress(address)
  if (bytes === undefined || familyOf(bytes) !== range.family) return false
  for (let i = 0; i * 8 < range.prefixBits; i++)
    if (((bytes[i] ?? 0) & maskByte(range.prefixBits, i)) !== range.bytes[i]) return false
  return true
}

/**
 * The 16 bytes of an IPv4 or IPv6 address, undefined where `text` is neither. A zone (`fe80::1%eth0`) is left out: it
 * says which of our interfaces an address belongs to, not whose it is.
 */
export function parseIpAddress(text: string): Uint8Array | undefined {
  const [address = '', zone] = text.split('%', 2)
  if (zone !== undefined && (zone === '' || !address.includes(':'))) return undefined
  const groups = address.includes(':') ? parseIpv6(address) : mapped(parseIpv4(address))
  return groups && Uint8Array.from(groups.flatMap((group) => [group >>> 8, group & 0xff]))
}

const familyOf = (bytes: Uint8Array): IpFamily =>
  bytes.subarray(0, 10).every((byte) => byte === 0) && bytes[10] === 0xff && bytes[11] === 0xff ? 4 : 6

/** The bits of byte `i` that belong to the prefix. */
function maskByte(prefixBits: number, i: number): number {
  const bits = Math.min(Math.max(prefixBits - i * 8, 0), 8)
  return (0xff00 >>> bits) & 0xff
}

/** Two groups of 16 bits. Octets are decimal, without leading zeros, which some read as octal. */
function parseIpv4(text: string): [number, number] | undefined {
  const octets = text.split('.')
  if (octets.length !== 4) return undefined
  if (!octets.every((octet) => /^(?:0|[1-9]\d{0,2})$/.test(octet) && Number(octet) <= 255)) return undefined
  const [a = 0, b = 0, c = 0, d = 0] = octets.map(Number)
  return [(a << 8) | b, (c << 8) | d]
}

const mapped = (groups: [number, number] | undefined): number[] | undefined =>
  groups && [0, 0, 0, 0, 0, 0xffff, ...groups]

/** RFC 4291 §2.2: eight groups of 16 bits. */
function parseIpv6(text: string): number[] | undefined {
  const halves = text.split('::')
  if (halves.length > 2) return undefined
  const [head, tail] = halves.map((half, i) => parseGroups(half, i === halves.length - 1))
  if (head === undefined) return undefined
  if (halves.length === 1) return head.length === 8 ? head : undefined
  // `::` stands for at least one group of zeros.
  if (tail === undefined || head.length + tail.length > 7) return undefined
  return [...head, ...Array<number>(8 - head.length - tail.length).fill(0), ...tail]
}

/** Groups between colons; the last may be an IPv4 address. */
function parseGroups(text: string, mayEndInIpv4: boolean): number[] | undefined {
  if (text === '') return []
  const groups: number[] = []
  const parts = text.split(':')
  for (const [i, part] of parts.entries()) {
    const ipv4 = mayEndInIpv4 && i === parts.length - 1 ? parseIpv4(part) : undefined
    if (ipv4) groups.push(...ipv4)
    else if (/^[\da-f]{1,4}$/i.test(part)) groups.push(Number.parseInt(part, 16))
    else return undefined
  }
  return groups
}

/** RFC 5952 §4: lower case, no leading zeros, the first longest run of two or more zero groups as `::`. */
function formatIpv6(bytes: Uint8Array): string {
  const groups = Array.from({ length: 8 }, (_, i) => ((bytes[2 * i] ?? 0) << 8) | (bytes[2 * i + 1] ?? 0))
  let [start, length] = [0, 1]
  for (let i = 0; i < groups.length; i++) {
    let run = 0
    while (groups[i + run] === 0) run++
    if (run > length) [start, length] = [i, run]
  }
  const hex = (part: readonly number[]): string => part.map((group) => group.toString(16)).join(':')
  if (length < 2) return hex(groups)
  return `${hex(groups.slice(0, start))}::${hex(groups.slice(start + length))}`
}

const invalid = (text: string, remedy: string): CygnetError =>
  new CygnetError('ADDRESS_RANGE_INVALID', `"${text}" is not an address range: ${remedy}.`)
