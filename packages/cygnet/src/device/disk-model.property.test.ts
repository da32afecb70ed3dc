import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import * as fc from 'fast-check'
import { blockCdb } from '../scsi/cdb.ts'
import { set16, set32, set64 } from '../scsi/fields.ts'
import { Opcode } from '../scsi/opcodes.ts'
import type { DiskUnitOptions } from './disk-unit.ts'
import { cdbOf, pattern, senseOf, TestDisk, TestStore } from './disk.test-helper.ts'
import { TestRecords } from './reservations.test-helper.ts'

/** The disk against an array: whatever was done in whatever order, both hold the same, and each answer says so. */

const BLOCKS = 48
const GOOD = 'status 0'
const MISCOMPARE = 'e/1d00'
const NAA = Uint8Array.of(0x30, 1, 2, 3, 4, 5, 6, 7)

class AnchoringStore extends TestStore {
  override readonly can = { write: true, trim: true, volatileCache: true, extents: true, reserves: true }
}

interface Args {
  readonly lba: number
  readonly blocks: number
  /** Which of several forms of a command. */
  readonly form: number
  readonly seed: number
  /** Another place. */
  readonly other: number
}

/** A disk and what it should hold. */
class Pair {
  readonly disk: TestDisk
  readonly model: Uint8Array
  readonly size: number

  constructor(options: Partial<DiskUnitOptions>) {
    const { blockSizeBytes = 512 } = options
    const store = new AnchoringStore(BLOCKS * blockSizeBytes, 512)
    const identity = { serialNumber: 'S', naa: NAA }
    this.disk = new TestDisk(BLOCKS, { store, identity, records: new TestRecords(), ...options })
    this.model = new Uint8Array(BLOCKS * blockSizeBytes)
    this.size = blockSizeBytes
  }

  held(lba: number, blocks: number): Uint8Array {
    return this.model.subarray(lba * this.size, (lba + blocks) * this.size)
  }

  run(cdb: Uint8Array, dataOut?: Uint8Array): string {
    return senseOf(this.disk.run(cdb, dataOut ? { dataOut } : {}))
  }

  good(cdb: Uint8Array, dataOut?: Uint8Array): void {
    assert.equal(this.run(cdb, dataOut), GOOD, Buffer.from(cdb).toString('hex'))
  }

  write(lba: number, data: Uint8Array): void {
    this.model.set(data, lba * this.size)
  }

  /** Data for some blocks; of seed 0, zeroes. */
  data(blocks: number, seed: number): Uint8Array {
    return seed === 0 ? new Uint8Array(blocks * this.size) : pattern(blocks * this.size, seed)
  }
}

const oneOf = <Value>(values: readonly [Value, ...Value[]], form: number): Value =>
  values[form % values.length] ?? values[0]

const FUA = 0x08
const UNMAP = 0x08
const ANCHOR = 0x10
const NDOB = 0x01
const BYTCHK = 0x02

function unmapList(ranges: readonly (readonly [number, number])[]): Uint8Array {
  const list = new Uint8Array(8 + 16 * ranges.length)
  set16(list, 0, list.length - 2)
  set16(list, 2, list.length - 8)
  for (const [i, [lba, blocks]] of ranges.entries()) {
    set64(list, 8 + 16 * i, lba)
    set32(list, 16 + 16 * i, blocks)
  }
  return list
}

function copyList(from: number, to: number, blocks: number): Uint8Array {
  const list = new Uint8Array(16 + 32 + 28)
  list[0] = 1
  set16(list, 2, 32)
  set32(list, 8, 28)
  list.set([0xe4, 0, 0, 0, 1, 3, 0, NAA.length, ...NAA], 16)
  list.set([0x02, 0, 0, 24], 48)
  set16(list, 58, blocks)
  set64(list, 60, from)
  set64(list, 68, to)
  return list
}

const ACTIONS: Readonly<Record<string, (pair: Pair, args: Args) => void>> = {
  read(pair, { lba, blocks, form }) {
    const opcode = oneOf([Opcode.read6, Opcode.read10, Opcode.read12, Opcode.read16], form)
    assert.deepEqual(pair.disk.run(blockCdb(opcode, lba, blocks)).data, pair.held(lba, blocks))
  },

  write(pair, { lba, blocks, form, seed }) {
    const opcode = oneOf([Opcode.write6, Opcode.write10, Opcode.write12, Opcode.write16], form)
    const data = pair.data(blocks, seed)
    pair.good(blockCdb(opcode, lba, blocks, opcode !== Opcode.write6 && seed > 5 ? FUA : 0), data)
    pair.write(lba, data)
  },

  writeAndVerify(pair, { lba, blocks, form, seed }) {
    const opcode = oneOf([Opcode.writeAndVerify10, Opcode.writeAndVerify12, Opcode.writeAndVerify16], form)
    const data = pair.data(blocks, seed)
    pair.good(blockCdb(opcode, lba, blocks, seed > 5 ? BYTCHK : 0), data)
    pair.write(lba, data)
  },

  writeAtomic(pair, { lba, blocks, seed }) {
    const data = pair.data(blocks, seed)
    pair.good(blockCdb(Opcode.writeAtomic16, lba, blocks), data)
    pair.write(lba, data)
  },

  /** All blocks with all data, or each with one; half of the times one byte is another. */
  verify(pair, { lba, blocks, form, seed }) {
    const opcode = oneOf([Opcode.verify10, Opcode.verify12, Opcode.verify16], seed)
    const isOne = form >= 2
    const data = Uint8Array.from(pair.held(lba, isOne ? 1 : blocks))
    if (form % 2 === 1) data[data.length - 1] = (data.at(-1) ?? 0) ^ 1
    const expected = isOne ? Buffer.concat(Array.from({ length: blocks }, () => data)) : data
    const isSame = Buffer.compare(expected, pair.held(lba, blocks)) === 0
    const flags = isOne ? 3 * BYTCHK : BYTCHK
    assert.equal(pair.run(blockCdb(opcode, lba, blocks, flags), data), isSame ? GOOD : MISCOMPARE)
    pair.good(blockCdb(opcode, lba, blocks))
  },

  same(pair, { lba, blocks, form, seed }) {
    const opcode = oneOf([Opcode.writeSame10, Opcode.writeSame16], form)
    const block = pair.data(1, seed)
    const flags = oneOf([0, UNMAP, UNMAP | ANCHOR], seed)
    pair.good(blockCdb(opcode, lba, blocks, flags), block)
    for (let i = 0; i < blocks; i++) pair.write(lba + i, block)
  },

  sameWithoutData(pair, { lba, blocks, form }) {
    const flags = oneOf([0, UNMAP, UNMAP | ANCHOR], form)
    pair.good(blockCdb(Opcode.writeSame16, lba, blocks, NDOB | flags))
    pair.held(lba, blocks).fill(0)
  },

  unmap(pair, { lba, blocks, form, other }) {
    const ranges = [[lba, blocks] as const, [other, Math.min(blocks, BLOCKS - other)] as const]
    const list = unmapList(form < 2 ? ranges : ranges.slice(1))
    const cdb = cdbOf('42 00 00000000 00 0000 00')
    cdb[1] = form % 2
    cdb[8] = list.length
    pair.good(cdb, list)
    for (const [from, count] of form < 2 ? ranges : ranges.slice(1)) pair.held(from, count).fill(0)
  },

  compareAndWrite(pair, { lba, blocks, form, seed }) {
    const dataOut = new Uint8Array(2 * blocks * pair.size)
    dataOut.set(pair.held(lba, blocks))
    const data = pair.data(blocks, seed)
    dataOut.set(data, data.length)
    const differs = form === 0
    if (differs) dataOut[data.length - 1] = (dataOut[data.length - 1] ?? 0) ^ 1
    const cdb = blockCdb(Opcode.compareAndWrite, lba, blocks)
    assert.equal(pair.run(cdb, dataOut), differs ? MISCOMPARE : GOOD)
    if (!differs) pair.write(lba, data)
  },

  orWrite(pair, { lba, blocks, seed }) {
    const data = pair.data(blocks, seed)
    pair.good(blockCdb(Opcode.orWrite16, lba, blocks), data)
    pair.write(
      lba,
      pair.held(lba, blocks).map((byte, i) => byte | (data[i] ?? 0)),
    )
  },

  exclusiveOr(pair, { lba, blocks, form, seed }) {
    const data = pair.data(blocks, seed)
    const difference = pair.held(lba, blocks).map((byte, i) => byte ^ (data[i] ?? 0))
    const keeps = form === 0
    const cdb = blockCdb(Opcode.xdWriteRead10, lba, blocks, keeps ? 0x04 : 0)
    assert.deepEqual(pair.disk.run(cdb, { dataOut: data }).data, difference)
    if (!keeps) pair.write(lba, data)
  },

  copy(pair, { lba, blocks, other }) {
    const count = Math.min(blocks, BLOCKS - other)
    // What a copy onto itself leaves is nobody's promise.
    if (Math.abs(lba - other) < count) return
    const list = copyList(lba, other, count)
    const cdb = cdbOf('83 00 00000000 00000000 00000000 00 00')
    cdb[13] = list.length
    pair.good(cdb, list)
    pair.write(other, Uint8Array.from(pair.held(lba, count)))
  },

  flush(pair, { lba, blocks, form }) {
    const opcode = oneOf(
      [Opcode.synchronizeCache10, Opcode.synchronizeCache16, Opcode.preFetch10, Opcode.preFetch16],
      form,
    )
    pair.good(blockCdb(opcode, lba, blocks))
  },
}

const action = fc
  .record({
    name: fc.constantFrom(...Object.keys(ACTIONS)),
    lba: fc.nat(BLOCKS - 1),
    blocks: fc.integer({ min: 1, max: 12 }),
    form: fc.nat(3),
    seed: fc.nat(9),
    other: fc.nat(BLOCKS - 1),
  })
  .map(({ blocks, ...rest }) => ({ ...rest, blocks: Math.min(blocks, BLOCKS - rest.lba) }))

describe('a disk as an array of bytes', () => {
  for (const [name, options] of [
    ['of 512-byte blocks', {}],
    ['of 4096-byte blocks', { blockSizeBytes: 4096 }],
    ['without write cache', { writeCache: false }],
  ] as const) {
    it(`${name} holds what was last written`, () => {
      fc.assert(
        fc.property(fc.array(action, { minLength: 20, maxLength: 60 }), (actions) => {
          const pair = new Pair(options)
          for (const { name: what, ...args } of actions) {
            ACTIONS[what]?.(pair, args)
            assert.ok(Buffer.compare(pair.disk.store.bytes, pair.model) === 0, `after ${what}`)
          }
          assert.equal(pair.disk.pool.inUse, 0)
        }),
        { numRuns: 40, interruptAfterTimeLimit: 30_000 },
      )
    })
  }
})
