import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { AssertionError } from '../base/assert.ts'
import { hex, viewOf } from '../base/bytes.ts'
import {
  ahsLengthOf,
  BHS_BYTES,
  dataSegmentLengthOf,
  initiatorTaskTagOf,
  isFinal,
  isImmediate,
  opcodeOf,
} from './bhs.ts'
import { type CodecCase, codecOf, codecs } from './codecs.test-helper.ts'
import { encodeDataOut } from './data.ts'
import { fixture, fixtures } from './fixtures.test-helper.ts'
import { isInitiatorOpcode, Opcode, opcodeName } from './opcodes.ts'
import { encodeScsiCommand } from './scsi-command.ts'

/** Encodes at an offset into memory full of `fill`, and checks that only the header's 48 bytes changed. */
function encoded(codec: CodecCase, pdu: object, fill: number, at = 5): Uint8Array {
  const memory = new Uint8Array(at + BHS_BYTES + 7).fill(fill)
  codec.encode(viewOf(memory), at, pdu)
  const outside = [...memory.subarray(0, at), ...memory.subarray(at + BHS_BYTES)]
  assert.ok(outside.every((byte) => byte === fill))
  return memory.subarray(at, at + BHS_BYTES)
}

const headerOf = (codec: CodecCase, fill: number): Uint8Array => {
  const header = new Uint8Array(BHS_BYTES).fill(fill)
  return encoded(codec, codec.decode(viewOf(header), 0), 0xdb)
}

test('there is one codec for every opcode', () => {
  assert.deepEqual(
    codecs.map((codec) => codec.opcode).toSorted((a, b) => a - b),
    Object.values(Opcode).toSorted((a, b) => a - b),
  )
})

for (const codec of codecs) {
  const title = opcodeName(codec.opcode)

  test(`${title}: what was encoded is decoded, whatever the memory held before`, () => {
    fc.assert(
      fc.property(codec.pdus, fc.nat(0xff), (pdu, fill) => {
        const header = encoded(codec, pdu, fill)
        const view = viewOf(header)
        assert.deepEqual(codec.decode(view, 0), pdu)
        assert.equal(opcodeOf(view, 0), codec.opcode)
        assert.deepEqual(encoded(codec, pdu, fill ^ 0xff, 0), header)
      }),
    )
  })

  test(`${title}: reserved bits are ignored on receipt and sent as zero`, () => {
    // The bits that some field or constant fills, and those that are always one.
    const used = headerOf(codec, 0xff)
    const always = headerOf(codec, 0x00)
    fc.assert(
      fc.property(fc.uint8Array({ minLength: BHS_BYTES, maxLength: BHS_BYTES }), (received) => {
        const sent = encoded(codec, codec.decode(viewOf(received), 0), 0xdb)
        const expected = received.map((byte, i) => (byte & (used[i] ?? 0)) | (always[i] ?? 0))
        assert.equal(hex(sent), hex(expected))
      }),
    )
  })
}

for (const { name, header } of fixtures) {
  test(`fixture ${name}: decoding and encoding gives the same bytes`, () => {
    const codec = codecOf(opcodeOf(viewOf(header), 0))
    const pdu = codec.decode(viewOf(header), 0)
    assert.equal(hex(encoded(codec, pdu, 0xdb)), hex(header.subarray(0, BHS_BYTES)))
  })
}

test('there is a fixture of every opcode', () => {
  const opcodes = new Set(fixtures.map(({ header }) => opcodeOf(viewOf(header), 0)))
  assert.equal(opcodes.size, codecs.length)
})

test('the fields that all PDUs share are read without decoding', () => {
  const command = viewOf(fixture('scsi-command-ahs').header)
  assert.equal(opcodeOf(command, 0), Opcode.scsiCommand)
  assert.ok(isImmediate(command, 0))
  assert.ok(isFinal(command, 0))
  assert.equal(ahsLengthOf(command, 0), 16)
  assert.equal(dataSegmentLengthOf(command, 0), 0)
  assert.equal(initiatorTaskTagOf(command, 0), 0x2c)
  const dataIn = viewOf(fixture('data-in').header)
  assert.ok(!isImmediate(dataIn, 0))
  assert.ok(!isFinal(dataIn, 0))
  assert.equal(dataSegmentLengthOf(dataIn, 0), 8)
})

const dataOut = {
  final: true,
  lun: 0n,
  initiatorTaskTag: 1,
  targetTransferTag: 2,
  expStatSN: 3,
  dataSN: 4,
  bufferOffset: 5,
}

test('a length that its field cannot hold is an assertion failure, not another length', () => {
  const view = new DataView(new ArrayBuffer(BHS_BYTES))
  for (const dataSegmentLength of [0x1000000, -1]) {
    assert.throws(() => encodeDataOut(view, 0, { ...dataOut, dataSegmentLength }), AssertionError)
  }
  encodeDataOut(view, 0, { ...dataOut, dataSegmentLength: 0xffffff })
  assert.equal(dataSegmentLengthOf(view, 0), 0xffffff)
})

test('a short CDB is zero-filled, and of a long one the first 16 bytes are sent', () => {
  const view = new DataView(new ArrayBuffer(BHS_BYTES))
  const command = {
    immediate: false,
    final: true,
    read: false,
    write: false,
    attribute: 1,
    totalAhsLength: 0,
    dataSegmentLength: 0,
    lun: 0n,
    initiatorTaskTag: 1,
    expectedDataTransferLength: 0,
    cmdSN: 0,
    expStatSN: 0,
  }
  encodeScsiCommand(view, 0, { ...command, cdb: Uint8Array.of(0x12, 1, 2, 3, 4, 5) })
  assert.equal(hex(new Uint8Array(view.buffer, 32, 16)), '12010203040500000000000000000000')
  encodeScsiCommand(view, 0, { ...command, cdb: new Uint8Array(20).fill(7) })
  assert.equal(hex(new Uint8Array(view.buffer, 32, 16)), '07'.repeat(16))
})

test('opcodes are of the initiator or of the target, and unassigned ones are named by number', () => {
  assert.ok(isInitiatorOpcode(Opcode.snackRequest))
  assert.ok(!isInitiatorOpcode(Opcode.nopIn))
  assert.equal(opcodeName(0x1c), 'vendor-specific opcode 0x1c')
  assert.equal(opcodeName(0x3e), 'vendor-specific opcode 0x3e')
  assert.equal(opcodeName(0x07), 'unassigned opcode 0x07')
})
