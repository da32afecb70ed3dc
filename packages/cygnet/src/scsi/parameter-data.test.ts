import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import * as fc from 'fast-check'
import { decodeCapacity10, decodeCapacity16, encodeCapacity10, encodeCapacity16 } from './capacity.ts'
import {
  blockCdb,
  cdbBlocks,
  cdbLba,
  inquiryCdb,
  modeSense10Cdb,
  readCapacity10Cdb,
  readCapacity16Cdb,
  reportLunsCdb,
  requestSenseCdb,
} from './cdb.ts'
import { get16, get24, get32, get64, getAscii, set16, set24, set32, set64, setAscii } from './fields.ts'
import { decodeInquiry, encodeInquiry } from './inquiry.ts'
import { decodeModeHeader, decodeModePages, encodeModeData } from './mode.ts'
import { cdbLength, Opcode } from './opcodes.ts'
import {
  decodeBlockLimits,
  decodeDeviceIdentification,
  decodeSerialNumber,
  encodeBlockLimits,
  encodeDeviceIdentification,
  encodeSerialNumber,
  encodeSupportedPages,
  portDesignators,
  unitDesignators,
} from './vpd.ts'

describe('fields', () => {
  it('round-trip at any offset', () => {
    fc.assert(
      fc.property(fc.maxSafeNat(), fc.nat(3), (value, at) => {
        const bytes = new Uint8Array(12)
        set64(bytes, at, value)
        assert.equal(get64(bytes, at), value)
        set32(bytes, at, value % 2 ** 32)
        assert.equal(get32(bytes, at), value % 2 ** 32)
        set24(bytes, at, value % 2 ** 24)
        assert.equal(get24(bytes, at), value % 2 ** 24)
        set16(bytes, at, value % 2 ** 16)
        assert.equal(get16(bytes, at), value % 2 ** 16)
      }),
    )
  })

  it('never read a 64-bit value past 2^53 as one below', () => {
    const bytes = new Uint8Array(8).fill(0xff)
    assert.ok(get64(bytes, 0) >= 2 ** 53)
    assert.ok(get64(Uint8Array.of(0, 0x20, 0, 0, 0, 0, 0, 1), 0) >= 2 ** 53)
  })

  it('fill text with spaces and keep it printable', () => {
    const bytes = new Uint8Array(8)
    setAscii(bytes, 1, 6, 'a\u00e9b')
    assert.equal(Buffer.from(bytes).toString('latin1'), '\0a b   \0')
    assert.equal(getAscii(bytes, 1, 7), 'a b')
  })
})

describe('CDBs', () => {
  it('give back LBA and length', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(Opcode.read6, Opcode.write10, Opcode.read12, Opcode.verify16),
        fc.maxSafeNat(),
        fc.nat(),
        (opcode, anyLba, anyBlocks) => {
          const lengthBytes = cdbLength(opcode)
          const lba = lengthBytes === 6 ? anyLba % 2 ** 21 : lengthBytes === 16 ? anyLba : anyLba % 2 ** 32
          const blocks =
            lengthBytes === 6 ? 1 + (anyBlocks % 256) : lengthBytes === 10 ? anyBlocks % 2 ** 16 : anyBlocks
          const cdb = blockCdb(opcode, lba, blocks)
          assert.equal(cdbLba(cdb), lba)
          assert.equal(cdbBlocks(cdb), blocks)
          assert.equal(cdb[0], opcode)
        },
      ),
    )
  })

  it('have the standard layouts', () => {
    assert.equal(Buffer.from(readCapacity10Cdb().subarray(0, 10)).toString('hex'), '25000000000000000000')
    assert.equal(
      Buffer.from(reportLunsCdb(4096, 2).subarray(0, 12)).toString('hex'),
      'a00002000000000010000000',
    )
    assert.equal(Buffer.from(requestSenseCdb(252, true).subarray(0, 6)).toString('hex'), '03010000fc00')
    assert.equal(Buffer.from(inquiryCdb(255, 0x83).subarray(0, 6)).toString('hex'), '12018300ff00')
    assert.equal(Buffer.from(readCapacity16Cdb()).toString('hex'), '9e100000000000000000000000200000')
    assert.equal(
      Buffer.from(modeSense10Cdb(8, 0, 1, 64).subarray(0, 10)).toString('hex'),
      '5a004800000000004000',
    )
  })
})

describe('INQUIRY data', () => {
  it('round-trips', () => {
    const data = {
      qualifier: 0,
      deviceType: 0,
      removable: false,
      version: 6,
      vendor: 'CYGNET',
      product: 'Virtual Disk',
      revision: '1.0',
      normAca: true,
      tpgs: 3,
      multiPort: true,
      thirdPartyCopy: true,
      versionDescriptors: [0xa0, 0x960],
    }
    const bytes = encodeInquiry(data)
    assert.equal(bytes[4], bytes.length - 5)
    assert.equal(bytes[3], 0x32, 'NORMACA, HISUP, response data format 2')
    assert.deepEqual(decodeInquiry(bytes), data)
    assert.equal(encodeInquiry({ ...data, normAca: false })[3], 0x12)
    assert.deepEqual(decodeInquiry(bytes.subarray(0, 36))?.versionDescriptors, [])
    assert.equal(decodeInquiry(bytes.subarray(0, 35)), undefined)
  })
})

describe('VPD pages', () => {
  it('list themselves in ascending order', () => {
    assert.deepEqual([...encodeSupportedPages(0, [0x83, 0, 0x80])], [0, 0, 0, 3, 0, 0x80, 0x83])
  })

  it('carry the serial number', () => {
    assert.equal(decodeSerialNumber(encodeSerialNumber(0, 'ABC123')), 'ABC123')
    assert.equal(decodeSerialNumber(Uint8Array.of(0, 0x83, 0, 0)), undefined)
  })

  it('carry designators, whole ones only', () => {
    const naa = Uint8Array.of(0x30, 0, 0, 0, 0, 0, 0, 1)
    const targetPortName = 'iqn.2026-11.test:t,t,0x0001'
    const targetName = 'iqn.2026-11.test:t'
    const list = [
      ...unitDesignators({ naa, vendor: 'CYGNET', serialNumber: 'S1' }),
      ...portDesignators({ targetPortName, targetName, relativeTargetPortId: 1 }),
    ]
    const bytes = encodeDeviceIdentification(0, list)
    assert.deepEqual(decodeDeviceIdentification(bytes), list)
    assert.equal(decodeDeviceIdentification(bytes.subarray(0, bytes.length - 1)).length, list.length - 1)
    for (const { type, value } of list) if (type === 8) assert.equal(value.length % 4, 0)
  })

  it('carry block limits', () => {
    const limits = {
      compareAndWriteBlocks: 255,
      transferGranularityBlocks: 8,
      transferBlocks: 32768,
      optimalTransferBlocks: 2048,
      unmapBlocks: 1048576,
      unmapDescriptors: 256,
      unmapGranularityBlocks: 8,
      writeSameBlocks: 2 ** 33,
      writeSameNonZero: true,
      atomicBlocks: 256,
      atomicGranularityBlocks: 8,
    }
    assert.deepEqual(decodeBlockLimits(encodeBlockLimits(0, limits)), limits)
    assert.equal(decodeBlockLimits(encodeBlockLimits(0, limits).subarray(0, 63)), undefined)
  })
})

describe('READ CAPACITY data', () => {
  it('round-trips', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 2 ** 44 }),
        fc.nat(15),
        fc.boolean(),
        (blocks, exponent, thin) => {
          const capacity = {
            blocks,
            blockBytes: 512,
            physicalExponent: exponent,
            thin,
            unmappedReadsZero: thin,
          }
          assert.deepEqual(decodeCapacity16(encodeCapacity16(capacity)), capacity)
          const short = decodeCapacity10(encodeCapacity10(capacity))
          assert.equal(short?.blocks, blocks < 2 ** 32 ? blocks : undefined)
        },
      ),
    )
    assert.equal(decodeCapacity16(new Uint8Array(11)), undefined)
    assert.equal(decodeCapacity10(new Uint8Array(7)), undefined)
  })
})

describe('mode parameter data', () => {
  const pages = [Uint8Array.of(0x08, 2, 4, 0), Uint8Array.of(0x4a, 1, 0, 1, 9)]

  for (const headerBytes of [4, 8] as const) {
    it(`round-trips with a header of ${headerBytes} bytes`, () => {
      const block = { blocks: 2 ** 33, blockBytes: 4096 }
      const data = { deviceSpecific: 0x90, block, longBlock: headerBytes === 8, pages }
      const bytes = encodeModeData(data, headerBytes)
      const parts = decodeModeHeader(bytes, headerBytes)
      assert.equal(parts?.blockBytes, 4096)
      assert.equal(parts.deviceSpecific, 0x90)
      assert.deepEqual(decodeModePages(bytes, parts.pagesAt), pages)
      assert.equal(headerBytes === 4 ? (bytes[0] ?? 0) + 1 : get16(bytes, 0) + 2, bytes.length)
      assert.deepEqual(decodeModePages(bytes.subarray(0, bytes.length - 1), parts.pagesAt), pages.slice(0, 1))
      assert.equal(decodeModeHeader(bytes.subarray(0, headerBytes + 3), headerBytes), undefined)
    })
  }

  it('has no block descriptor where none is asked for', () => {
    const data = { deviceSpecific: 0, block: undefined, longBlock: false, pages }
    assert.equal(decodeModeHeader(encodeModeData(data, 4), 4)?.blockBytes, undefined)
    assert.equal(encodeModeData(data, 8).length, 8 + 9)
  })
})
