import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { get16, get32, get64, set16, set32, set64 } from '../scsi/fields.ts'
import { CopyUnits } from './copy-units.ts'
import type { Outcome } from './disk.test-helper.ts'
import { cdbOf, pattern, senseOf, TestDisk } from './disk.test-helper.ts'

type Range = readonly [lba: number, blocks: number]

function rangeBytes(ranges: readonly Range[]): Uint8Array {
  const bytes = new Uint8Array(ranges.length * 16)
  for (const [i, [lba, blocks]] of ranges.entries()) {
    set64(bytes, i * 16, lba)
    set32(bytes, i * 16 + 8, blocks)
  }
  return bytes
}

function send(disk: TestDisk, action: number, list: Uint8Array): Outcome {
  const cdb = cdbOf('83 00 00000000 00000007 00000000 00 00')
  cdb[1] = action
  set32(cdb, 10, list.length)
  return disk.run(cdb, { dataOut: list })
}

function populate(disk: TestDisk, ranges: readonly Range[], type?: number): Outcome {
  const list = new Uint8Array(16 + ranges.length * 16)
  if (type !== undefined) {
    list[2] = 2
    set32(list, 8, type)
  }
  set16(list, 14, ranges.length * 16)
  list.set(rangeBytes(ranges), 16)
  return send(disk, 0x10, list)
}

function write(disk: TestDisk, token: Uint8Array, ranges: readonly Range[], offset = 0, flags = 0): Outcome {
  const list = new Uint8Array(536 + ranges.length * 16)
  list[2] = flags
  set64(list, 8, offset)
  list.set(token, 16)
  set16(list, 534, ranges.length * 16)
  list.set(rangeBytes(ranges), 536)
  return send(disk, 0x11, list)
}

const information = (disk: TestDisk): Uint8Array =>
  disk.run(cdbOf('84 07 00000007 00000000 00000400 00 00')).data

function tokenOf(disk: TestDisk, ranges: readonly Range[]): Uint8Array {
  assert.equal(senseOf(populate(disk, ranges)), 'status 0')
  const data = information(disk)
  assert.deepEqual([data[4], data[5], get32(data, 32)], [0x10, 1, 514])
  assert.equal(get16(data, 38 + 6), 504)
  return data.slice(38)
}

function pair(): { one: TestDisk; two: TestDisk } {
  let count = 0
  const copyUnits = new CopyUnits((lengthBytes) => new Uint8Array(lengthBytes).fill(++count))
  const one = new TestDisk(64, { copyUnits })
  const naa = Uint8Array.of(0x30, 9, 9, 9, 9, 9, 9, 9)
  const two = new TestDisk(64, { copyUnits, identity: { serialNumber: 'S2', naa } })
  one.attach(two.nexus)
  two.attach(one.nexus)
  one.store.bytes.set(pattern(64 * 512))
  return { one, two }
}

describe('ROD tokens', () => {
  it('carry ranges of one disk to ranges of another', () => {
    const { one, two } = pair()
    const token = tokenOf(one, [
      [0, 3],
      [10, 5],
    ])
    assert.equal(get64(token, 56), 8 * 512)
    const to: readonly Range[] = [
      [20, 4],
      [40, 4],
    ]
    assert.equal(senseOf(write(two, token, to)), 'status 0')
    const { bytes } = one.store
    const expected = Buffer.concat([bytes.subarray(0, 3 * 512), bytes.subarray(10 * 512, 15 * 512)])
    const found = Buffer.concat([
      two.store.bytes.subarray(20 * 512, 24 * 512),
      two.store.bytes.subarray(40 * 512, 44 * 512),
    ])
    assert.deepEqual(found, expected)
    const data = information(two)
    assert.deepEqual([data[4], data[5], get64(data, 16), get32(data, 32)], [0x11, 1, 8, 0])
    assert.equal(one.pool.inUse + two.pool.inUse, 0)
  })

  it('are used from an offset, and reach no further than they do', () => {
    const { one, two } = pair()
    const token = tokenOf(one, [[0, 4]])
    assert.equal(senseOf(write(two, token, [[0, 8]], 3)), 'status 0')
    assert.deepEqual(two.store.bytes.subarray(0, 512), one.store.bytes.subarray(1536, 2048))
    assert.equal(get64(information(two), 16), 1)
    assert.deepEqual(write(two, token, [[0, 8]], 5).sense?.field, { in: 'parameters', byte: 8, bit: 7 })
  })

  it('of zeroes write zeroes', () => {
    const { one } = pair()
    const zero = new Uint8Array(512)
    set32(zero, 0, 0xffff_0001)
    assert.equal(senseOf(write(one, zero, [[4, 8]])), 'status 0')
    assert.equal(
      one.store.bytes.subarray(4 * 512, 12 * 512).every((byte) => byte === 0),
      true,
    )
    assert.deepEqual(one.store.bytes.subarray(0, 2048), pattern(64 * 512).subarray(0, 2048))
  })

  it('are unknown where nobody made them, or after they were deleted', () => {
    const { one, two } = pair()
    const token = tokenOf(one, [[0, 1]])
    const forged = Uint8Array.from(token)
    forged[200] = 1
    assert.equal(senseOf(write(two, forged, [[0, 1]])), '5/2304')
    assert.equal(senseOf(write(two, token, [[0, 1]], 0, 2)), 'status 0')
    assert.equal(senseOf(write(two, token, [[0, 1]])), '5/2304')
  })

  it('wait for a copy with the same list identifier, and are not deleted by a command that was refused', () => {
    const { one, two } = pair()
    const token = tokenOf(one, [[0, 4]])
    two.store.deferred = true
    assert.equal(senseOf(write(two, token, [[0, 4]], 0, 1)), 'status 0', 'in the background')
    assert.equal(senseOf(write(two, token, [[8, 4]], 0, 2)), '5/0016')
    assert.equal(senseOf(populate(two, [[0, 4]])), '5/0016')
    two.store.releaseAll()
    two.store.deferred = false
    assert.equal(senseOf(write(two, token, [[8, 4]], 0, 2)), 'status 0')
  })

  it('are of no use to who cannot reach the disk that they are of', () => {
    const { one, two } = pair()
    const token = tokenOf(one, [[0, 1]])
    one.unit.detachNexus(two.nexus, 'logout')
    assert.equal(one.nexus.initiatorPortName, two.nexus.initiatorPortName, 'a name proves nothing')
    assert.equal(senseOf(write(two, token, [[0, 1]])), '5/2300')
  })

  it('need lists that are whole, of types that there are', () => {
    const { one } = pair()
    assert.equal(senseOf(populate(one, [[0, 1]], 0x0001_0000)), 'status 0')
    assert.equal(senseOf(populate(one, [[0, 1]], 0x0080_0000)), '5/2301')
    assert.equal(senseOf(populate(one, [[64, 1]])), '5/2100')
    assert.equal(senseOf(send(one, 0x10, new Uint8Array(15))), '5/1a00')
    assert.equal(senseOf(send(one, 0x11, new Uint8Array(535))), '5/1a00')
    assert.equal(senseOf(send(one, 0x10, new Uint8Array(0))), 'status 0')
    const list = new Uint8Array(32)
    set16(list, 14, 17)
    assert.deepEqual(send(one, 0x10, list).sense?.field, { in: 'parameters', byte: 14, bit: 7 })
    set16(list, 14, 32)
    assert.equal(senseOf(send(one, 0x10, list)), '5/1a00')
    assert.equal(senseOf(send(new TestDisk(8), 0x10, list)), '5/2400', 'nobody keeps tokens')
  })

  it('have their limits and types in the third-party copy page, where there are any', () => {
    const descriptorsOf = (disk: TestDisk): Map<number, Uint8Array> => {
      const page = disk.run(cdbOf('12 01 8f 04 00 00')).data
      const found = new Map<number, Uint8Array>()
      for (let at = 4; at < page.length; at += 4 + get16(page, at + 2))
        found.set(get16(page, at), page.subarray(at, at + 4 + get16(page, at + 2)))
      return found
    }
    assert.deepEqual([...descriptorsOf(new TestDisk(8)).keys()], [0x0001, 0x0004, 0x0008, 0x8001])
    const found = descriptorsOf(pair().one)
    assert.deepEqual([...found.keys()], [0x0000, 0x0001, 0x0004, 0x0008, 0x0106, 0x0108, 0x8001])
    const limits = found.get(0x0000) ?? new Uint8Array(0)
    assert.deepEqual([limits.length, get16(limits, 10), get64(limits, 20)], [36, 64, 2 ** 36 / 512])
    const types = found.get(0x0108) ?? new Uint8Array(0)
    assert.deepEqual([types.length, get16(types, 6)], [4 + 4 + 128, 128])
    assert.deepEqual([get32(types, 8), types[12]], [0x0001_0000, 3])
    assert.deepEqual([get32(types, 72), types[76]], [0xffff_0001, 2])
  })
})
