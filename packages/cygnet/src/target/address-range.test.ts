import assert from 'node:assert/strict'
import { BlockList, isIP } from 'node:net'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { formatAddressRange, matchesRange, parseAddressRange, parseIpAddress } from './address-range.ts'

const normalised = {
  '10.1.2.3': '10.1.2.3',
  '10.1.2.3/32': '10.1.2.3',
  '10.0.0.0/8': '10.0.0.0/8',
  '0.0.0.0/0': '0.0.0.0/0',
  '192.168.128.0/17': '192.168.128.0/17',
  '::/0': '::/0',
  '::1': '::1',
  'FD00::/8': 'fd00::/8',
  '2001:0db8:0000:0000:0001:0000:0000:0001': '2001:db8::1:0:0:1',
  '2001:db8:0:1:1:1:1:1': '2001:db8:0:1:1:1:1:1',
  '2001:db8::/127': '2001:db8::/127',
  '1::': '1::',
  '::ffff:10.0.0.0/104': '10.0.0.0/8',
  '::ffff:10.0.0.7': '10.0.0.7',
  '64:ff9b::192.0.2.1': '64:ff9b::c000:201',
}
for (const [text, expected] of Object.entries(normalised))
  test(`the range ${text} is written ${expected}`, () => {
    assert.equal(formatAddressRange(parseAddressRange(text)), expected)
  })

const bad = {
  '': /write an IPv4 or IPv6 address/,
  '10.0.0': /write an IPv4/,
  '10.0.0.256': /write an IPv4/,
  '010.0.0.1': /write an IPv4/,
  '10.0.0.1.2': /write an IPv4/,
  'host.example': /write an IPv4/,
  '10.0.0.0/8/8': /write an IPv4/,
  ':::': /write an IPv4/,
  '1::2::3': /write an IPv4/,
  '1:2:3:4:5:6:7': /write an IPv4/,
  '1:2:3:4:5:6:7::8': /write an IPv4/,
  '1:2:3:4:5:6:7:8:9': /write an IPv4/,
  '12345::': /write an IPv4/,
  '1.2.3.4::': /write an IPv4/,
  'fe80::1%eth0': /write an IPv4/,
  '10.0.0.0/33': /from 0 to 32/,
  '10.0.0.0/': /from 0 to 32/,
  '10.0.0.0/-1': /from 0 to 32/,
  '10.0.0.0/8x': /from 0 to 32/,
  '::/129': /from 0 to 128/,
  '10.1.2.3/8': /write 10\.0\.0\.0\/8, or 10\.1\.2\.3 for that one address/,
  'fd00::1/64': /write fd00::\/64/,
  '::ffff:0.0.0.0/64': /spans IPv4 and IPv6/,
}
for (const [text, message] of Object.entries(bad))
  test(`"${text}" is refused as an address range`, () => {
    assert.throws(() => parseAddressRange(text), { code: 'ADDRESS_RANGE_INVALID', message })
  })

const memberships: readonly [range: string, address: string, inside: boolean][] = [
  ['10.0.0.0/8', '10.255.255.255', true],
  ['10.0.0.0/8', '11.0.0.0', false],
  ['10.0.0.0/8', '9.255.255.255', false],
  ['192.168.128.0/17', '192.168.128.0', true],
  ['192.168.128.0/17', '192.168.127.255', false],
  ['10.1.2.3', '10.1.2.3', true],
  ['10.1.2.3', '10.1.2.2', false],
  ['0.0.0.0/0', '255.255.255.255', true],
  ['fd00::/8', 'fdff::1', true],
  ['fd00::/8', 'fe00::1', false],
  ['fe80::/10', 'fe80::1%eth0', true],
  ['::/0', '::1', true],
  // Families apart, and a mapped address is IPv4.
  ['0.0.0.0/0', '::1', false],
  ['::/0', '10.0.0.1', false],
  ['::/0', '::ffff:10.0.0.1', false],
  ['10.0.0.0/8', '::ffff:10.0.0.1', true],
  ['10.0.0.0/8', '::FFFF:0a00:0001', true],
  ['::ffff:10.0.0.0/104', '10.9.9.9', true],
  ['0.0.0.0/0', 'not an address', false],
  ['0.0.0.0/0', '', false],
  ['0.0.0.0/0', '10.0.0.1%eth0', false],
  ['::/0', '::1%', false],
]
for (const [range, address, inside] of memberships)
  test(`${address || 'nothing'} is ${inside ? 'inside' : 'outside'} ${range}`, () => {
    assert.equal(matchesRange(parseAddressRange(range), address), inside)
  })

const ipv6Text = fc
  .tuple(
    fc.array(fc.integer({ min: 0, max: 0xffff }), { minLength: 8, maxLength: 8 }),
    fc.uint8Array({ maxLength: 8 }),
  )
  .map(([groups, zeros]) => groups.map((group, i) => (zeros.includes(i) ? 0 : group).toString(16)).join(':'))

test('what is read as an address is what Node reads as one', () => {
  const almost = fc.string({ unit: fc.constantFrom(...'0123456789abf:.'.split('')), maxLength: 24 })
  fc.assert(
    fc.property(fc.oneof(fc.ipV4(), fc.ipV6(), almost), (text) => {
      assert.equal(parseIpAddress(text) !== undefined, isIP(text) !== 0, text)
    }),
    { numRuns: 3000 },
  )
})

test('a range contains what Node says it contains, and is read again as it was written', () => {
  fc.assert(
    fc.property(
      fc.oneof(
        fc.record({ address: fc.ipV4(), bits: fc.nat(32) }),
        fc.record({ address: ipv6Text, bits: fc.nat(128) }),
      ),
      fc.nat(127),
      ({ address, bits }, flippedBit) => {
        const family = isIP(address) === 4 ? 'ipv4' : 'ipv6'
        const bytes = parseIpAddress(address)
        assert.ok(bytes)
        const prefixBits = bits + (family === 'ipv4' ? 96 : 0)
        for (let bit = prefixBits; bit < 128; bit++)
          bytes[bit >> 3] = (bytes[bit >> 3] ?? 0) & ~(0x80 >> (bit & 7))
        const text = formatAddressRange({ family: family === 'ipv4' ? 4 : 6, bytes, prefixBits })
        const range = parseAddressRange(text)
        assert.equal(formatAddressRange(range), text)
        const list = new BlockList()
        list.addSubnet(text.split('/')[0] ?? '', bits, family)
        const other = Uint8Array.from(bytes)
        const bit = family === 'ipv4' ? 96 + (flippedBit % 32) : flippedBit
        other[bit >> 3] = (other[bit >> 3] ?? 0) ^ (0x80 >> (bit & 7))
        const otherText = formatAddressRange({ family: range.family, bytes: other, prefixBits: 128 })
        for (const candidate of [address, otherText])
          assert.equal(
            matchesRange(range, candidate),
            list.check(candidate, family),
            `${candidate} in ${text}`,
          )
      },
    ),
    { numRuns: 1000 },
  )
})
