import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { decodeTransportId, encodeTransportId } from './transport-id.ts'

const NAME = 'iqn.1993-08.org.debian:01:abc'
const PORT = `${NAME},i,0x00023d000001`

/** A TransportID with this text. */
function idOf(text: string, first = 0x45, additionalBytes?: number): Uint8Array {
  const bytes = new Uint8Array(4 + (additionalBytes ?? Math.max(20, (text.length + 4) & ~3)))
  bytes[0] = first
  bytes[3] = bytes.length - 4
  bytes.set(new TextEncoder().encode(text).subarray(0, bytes.length - 4), 4)
  return bytes
}

const decode = (bytes: Uint8Array) => decodeTransportId(bytes, 0, bytes.length)

describe('a TransportID', () => {
  it('of a port round-trips, padded to a multiple of four', () => {
    for (const name of [
      PORT,
      'eui.1,i,0x000000000001',
      `${'iqn.2026-11.test:'.padEnd(223, 'x')},i,0xffffffffffff`,
    ]) {
      const bytes = encodeTransportId(name)
      assert.equal(bytes.length % 4, 0)
      assert.ok(bytes.length >= 24)
      assert.equal(bytes.at(-1), 0, 'there is a NUL')
      const decoded = decode(bytes)
      assert.ok(decoded.kind === 'id')
      assert.equal(decoded.id.initiatorPortName, name)
      assert.equal(decoded.lengthBytes, bytes.length)
    }
  })

  it('of a device names no port', () => {
    assert.deepEqual(decode(idOf(NAME, 0x05)), {
      kind: 'id',
      id: { initiatorName: NAME, initiatorPortName: undefined },
      lengthBytes: 4 + NAME.length + 3,
    })
  })

  it('is compared in lower case, its ISID with all of its digits', () => {
    const decoded = decode(idOf('IQN.1993-08.org.Debian:01:ABC,i,0x23D000001'))
    assert.ok(decoded.kind === 'id')
    assert.deepEqual(decoded.id, { initiatorName: NAME, initiatorPortName: PORT })
  })

  it('ends at its first NUL, whatever follows', () => {
    const bytes = idOf(`${PORT}\0garbage`)
    const decoded = decode(bytes)
    assert.ok(decoded.kind === 'id')
    assert.equal(decoded.id.initiatorPortName, PORT)
  })

  it('is found at its place, and not past the end', () => {
    const bytes = Uint8Array.of(9, 9, ...encodeTransportId(PORT))
    assert.equal(decodeTransportId(bytes, 2, bytes.length).kind, 'id')
    for (const end of [3, 5, 20, bytes.length - 1]) {
      assert.equal(decodeTransportId(bytes, 2, end).kind, 'truncated')
    }
  })

  it('is invalid with another protocol, format, length or text', () => {
    const invalid = [
      idOf(PORT, 0x46),
      idOf(PORT, 0x85),
      idOf(PORT, 0xc5),
      idOf(NAME, 0x45),
      idOf(PORT, 0x05),
      idOf(NAME, 0x05, 18),
      idOf(NAME, 0x05, 34),
      idOf(PORT, 0x45, 20),
      idOf(`${NAME},i,0x00023d00000g`),
      idOf(`${NAME},i,0x0000000000001`),
      idOf(`${NAME},i,0x`),
      idOf(`${PORT},i,0x1`),
      idOf('host,i,0x1'),
      idOf(''),
    ]
    for (const [i, bytes] of invalid.entries()) assert.equal(decode(bytes).kind, 'invalid', String(i))
  })
})
