import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  decodeLbaStatus,
  decodeProvisioning,
  decodeRotationRate,
  decodeSupportedPages,
  unmapList,
} from './provisioning.ts'
import { encodeBlockCharacteristics, encodeProvisioning, encodeSupportedPages } from './vpd.ts'

test('B2h: what was encoded is decoded; another page, or one cut short, is none', () => {
  assert.deepEqual(
    decodeProvisioning(encodeProvisioning(0, { thin: true, anchors: false, thresholdExponent: 0 })),
    {
      unmap: true,
      writeSame16Unmap: true,
      unmappedReadsZero: true,
      type: 2,
    },
  )
  assert.equal(
    decodeProvisioning(encodeProvisioning(0, { thin: false, anchors: false, thresholdExponent: 0 }))?.unmap,
    false,
  )
  assert.equal(
    decodeProvisioning(
      encodeProvisioning(0, { thin: true, anchors: false, thresholdExponent: 0 }).subarray(0, 7),
    ),
    undefined,
  )
  assert.equal(decodeProvisioning(encodeBlockCharacteristics(0, false, false)), undefined)
  // LBPRZ of 010b: a pattern of the vendor's, not zeroes.
  assert.equal(decodeProvisioning(Uint8Array.of(0, 0xb2, 0, 4, 0, 0x08, 0, 0))?.unmappedReadsZero, false)
})

test('00h and B1h', () => {
  assert.deepEqual(decodeSupportedPages(encodeSupportedPages(0, [0xb0, 0, 0x83])), [0, 0x83, 0xb0])
  assert.equal(decodeRotationRate(encodeBlockCharacteristics(0, false, false)), 1)
  assert.equal(decodeRotationRate(new Uint8Array(4)), undefined)
})

test('the list of an UNMAP, byte by byte', () => {
  assert.deepEqual(
    unmapList(0x1_0000_0002, 0xffff_fff0),
    Uint8Array.of(0, 22, 0, 16, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 2, 0xff, 0xff, 0xff, 0xf0, 0, 0, 0, 0),
  )
})

test('GET LBA STATUS data: whole descriptors alone count', () => {
  const bytes = new Uint8Array(40)
  bytes[3] = 36
  bytes.set([0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 1, 0, 0x12], 8)
  assert.deepEqual(decodeLbaStatus(bytes.subarray(0, 39)), [{ lba: 7, blocks: 256, status: 2 }])
  assert.equal(decodeLbaStatus(bytes).length, 2)
  assert.deepEqual(decodeLbaStatus(bytes.subarray(0, 7)), [])
})
