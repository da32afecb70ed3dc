import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import * as fc from 'fast-check'
import { get8, get16, get32, get64 } from '../scsi/fields.ts'
import { cdbLength, Opcode } from '../scsi/opcodes.ts'
import { ScsiStatus } from '../scsi/status.ts'
import type { SpaceDone } from '../store/backing-store.ts'
import { CopyUnits } from './copy-units.ts'
import { cdbOf, nexusNamed, pattern, TestDisk, TestStore, TestTransport } from './disk.test-helper.ts'
import type { DiskUnitOptions } from './disk-unit.ts'
import type { LogicalUnit } from './logical-unit.ts'
import { NoUnit, ReportLunsUnit } from './no-unit.ts'
import { TestRecords } from './reservations.test-helper.ts'

/*
 * Random CDBs at every kind of unit: valid ones by the unit's own usage data, ones with a bit too many, with a service action
 * too many, cut short, and any bytes at all. Whatever comes, it ends with a status, with sense data that SPC allows,
 * and no block has changed that the command does not name.
 */

const BLOCKS = 64

class FullStore extends TestStore {
  override readonly can = {
    write: true,
    trim: true,
    volatileCache: true,
    extents: true,
    tellsSpace: true,
    reserves: true,
    renewKey: true,
  }

  space(done: SpaceDone): void {
    done(undefined, { usedBytes: 1 << 20, availableBytes: 1 << 30 })
  }

  renewKey(done: (error: undefined) => void): void {
    this.bytes.fill(0x5a)
    done(undefined)
  }
}

const copyUnits = () => new CopyUnits((lengthBytes) => new Uint8Array(lengthBytes))
const KINDS: Readonly<Record<string, () => Partial<DiskUnitOptions>>> = {
  plain: () => ({}),
  'with everything': () => ({
    store: new FullStore(BLOCKS * 512),
    removable: true,
    records: new TestRecords(),
    copyUnits: copyUnits(),
    spaceWarningBytes: 1 << 20,
  }),
  'of 4096-byte blocks': () => ({ blockSizeBytes: 4096, records: new TestRecords() }),
  thick: () => ({ thin: false }),
  removable: () => ({ removable: true, writeCache: false }),
  'read-only': () => ({ readOnly: true }),
}

/** For each ASC and ASCQ, the sense keys that it may come with (SPC-5 §4.4, annex F). */
const KEYS: Readonly<Record<number, readonly number[]>> = {
  0x0016: [5],
  0x0402: [2],
  0x0404: [2],
  0x041b: [2],
  0x0d01: [0xa],
  0x0d02: [0xa],
  0x1a00: [5],
  0x1d00: [0xe],
  0x2000: [5],
  0x2100: [5],
  0x2300: [5],
  0x2301: [5],
  0x2304: [5],
  0x2400: [5],
  0x2500: [5],
  0x2600: [5],
  0x2604: [5],
  0x2606: [5],
  0x2607: [5],
  0x2608: [5],
  0x2609: [5],
  0x2700: [7],
  0x2702: [7],
  0x2800: [6],
  0x2900: [6],
  0x2a01: [6],
  0x2a02: [6],
  0x2a03: [6],
  0x2a04: [6],
  0x2a05: [6],
  0x2a06: [6],
  0x2a10: [6],
  0x2c00: [5],
  0x2f00: [6],
  0x3807: [6],
  0x3900: [5],
  0x3a00: [2],
  0x3f05: [6],
  0x4900: [5],
  0x5302: [5],
  0x5504: [5],
}

/** A command of the unit, by its usage data. */
interface Format {
  readonly usage: Uint8Array
  readonly serviceAction: boolean
}

/** What the unit says of itself: REPORT SUPPORTED OPERATION CODES. */
function formatsOf(disk: TestDisk): Format[] {
  const all = disk.run(cdbOf('a3 0c 00 00 0000 00010000 00 00')).data
  const formats: Format[] = []
  const add = (opcode: number, action: number, flags: number): void => {
    const cdb = cdbOf('a3 0c 03 00 0000 00010000 00 00')
    cdb.set([opcode, action >>> 8, action & 0xff], 3)
    const { data } = disk.run(cdb)
    formats.push({ usage: data.slice(4), serviceAction: (flags & 1) !== 0 })
  }
  for (let at = 4; at < all.length; at += 8) add(get8(all, at), get16(all, at + 2), get8(all, at + 5))
  add(Opcode.variableLength, 0x07, 1)
  return formats
}

/** The blocks that a CDB and its data name as to be written, by the standards; undefined: any. */
function namedBlocks(cdb: Uint8Array, data: Uint8Array): readonly (readonly [number, number])[] | undefined {
  const opcode = get8(cdb, 0)
  switch (opcode) {
    case Opcode.write6:
      return [[((get8(cdb, 1) & 0x1f) << 16) | get16(cdb, 2), get8(cdb, 4) || 256]]
    case Opcode.write10:
    case Opcode.writeAndVerify10:
    case Opcode.xdWriteRead10:
      return [[get32(cdb, 2), get16(cdb, 7)]]
    case Opcode.writeSame10:
      return [[get32(cdb, 2), get16(cdb, 7) || BLOCKS]]
    case Opcode.write12:
    case Opcode.writeAndVerify12:
      return [[get32(cdb, 2), get32(cdb, 6)]]
    case Opcode.write16:
    case Opcode.writeAndVerify16:
    case Opcode.orWrite16:
      return [[get64(cdb, 2), get32(cdb, 10)]]
    case Opcode.writeSame16:
      return [[get64(cdb, 2), get32(cdb, 10) || BLOCKS]]
    case Opcode.writeAtomic16:
      return [[get64(cdb, 2), get16(cdb, 12)]]
    case Opcode.compareAndWrite:
      return [[get64(cdb, 2), get8(cdb, 13)]]
    case Opcode.variableLength:
      return [[get64(cdb, 12), get32(cdb, 28)]]
    case Opcode.unmap: {
      const ranges: (readonly [number, number])[] = []
      for (let at = 8; at + 16 <= data.length; at += 16) ranges.push([get64(data, at), get32(data, at + 8)])
      return ranges
    }
    case Opcode.formatUnit:
    case Opcode.sanitize:
    case Opcode.thirdPartyCopyOut:
      return undefined
    default:
      return []
  }
}

/** Mostly zeroes: what is in them is mostly small, or not asked for. */
const bytes = (length: number): fc.Arbitrary<Uint8Array> =>
  fc
    .tuple(
      fc.uint8Array({ minLength: length, maxLength: length }),
      fc.uint8Array({ minLength: length, maxLength: length }),
    )
    .map(([values, mask]) => values.map((value, i) => (get8(mask, i) < 225 ? 0 : value)))

/** Where the last bytes of LBA and length are in block commands, by the length of their CDBs (0: of 32 bytes). */
const PLACES: Readonly<Record<number, readonly [lba: number, count: number]>> = {
  6: [3, 4],
  10: [5, 8],
  12: [5, 9],
  16: [9, 13],
  0: [19, 31],
}
const BLOCK_COMMANDS: ReadonlySet<number> = new Set(
  Object.entries(Opcode)
    .filter(([name]) =>
      /^(read|write|verify|preFetch|synchronize|compareAnd|orWrite|xdWrite|variable)/.test(name),
    )
    .map(([, opcode]) => opcode),
)

/** Lists that some command may understand: of UNMAP, MODE SELECT, PERSISTENT RESERVE OUT, FORMAT UNIT, SANITIZE; zeroes; anything. */
const parameterList = fc.oneof(
  bytes(24),
  bytes(512),
  fc.nat(70).chain((lba) =>
    fc.nat(9).map((blocks) => {
      const list = cdbOf('0016 0010 00000000 0000000000000000 00000000 00000000')
      list[15] = lba
      list[19] = blocks
      return list
    }),
  ),
  fc.constantFrom(
    cdbOf('00000000 0a0a02 10 00 000000 00000000'),
    cdbOf('00000000 0812 04').slice(),
    cdbOf('00000000'),
    cdbOf('01 00 0004 00000000'),
  ),
  fc.nat(2).map((key) => {
    const list = new Uint8Array(24)
    list[7] = key
    list[15] = 2
    return list
  }),
)

const step = fc.record({
  /** How the CDB is made of a format. */
  kind: fc.constantFrom('valid', 'valid', 'valid', 'bit', 'action', 'cut', 'any'),
  format: fc.nat(),
  fields: bytes(32),
  /** Byte 2: for many commands a page code. */
  page: fc.constantFrom(0, 0, 0, 0x08, 0x0a, 0x3f, 0x42, 0x4d, 0x80, 0xb2),
  lba: fc.nat(BLOCKS + 1),
  count: fc.nat(9),
  pick: fc.nat(),
  data: fc.oneof(
    parameterList,
    fc.constantFrom(0, 1, 511, 512, 1024, 4096, 8192).map((n) => pattern(n, n)),
  ),
  /** The list length that the CDB gives is that of the data: otherwise few lists would be looked at. */
  fits: fc.boolean(),
  inLimit: fc.constantFrom(0, 1, 36, 512, 1 << 20),
  nexus: fc.nat(1),
})
type StepOf = typeof step extends fc.Arbitrary<infer T> ? T : never

function cdbFor(one: StepOf, { usage, serviceAction }: Format): Uint8Array {
  const { kind, pick, data, fits } = one
  const fields = Uint8Array.from(one.fields)
  fields[2] = get8(fields, 2) | one.page
  const place = PLACES[cdbLength(get8(usage, 0))]
  if (place && BLOCK_COMMANDS.has(get8(usage, 0))) {
    fields.fill(0, 2)
    fields[place[0]] = one.lba
    fields[place[1]] = one.count
  }
  if (kind === 'any') return Uint8Array.from(fields, (value, i) => (i === 0 ? pick & 0xff : value))
  const cdb = usage.map((mask, i) => (i === 0 ? mask : mask & get8(fields, i)))
  const isVariable = usage[0] === Opcode.variableLength
  if (isVariable) cdb.set(usage.subarray(7, 10), 7)
  else if (serviceAction) cdb[1] = (get8(cdb, 1) & 0xe0) | (get8(usage, 1) & 0x1f)
  // The last field before CONTROL that is as long as a list's length.
  const at = usage.length - (usage.length === 16 ? 3 : 2)
  const isBlock = BLOCK_COMMANDS.has(get8(usage, 0))
  if (fits && !isBlock && data.length < 256) cdb[at] = data.length & get8(usage, at)
  if (kind === 'bit') {
    const bit = 8 + (pick % (usage.length * 8 - 8))
    cdb[bit >>> 3] = get8(cdb, bit >>> 3) ^ (1 << (bit & 7))
  }
  if (kind === 'action') cdb[1] = (get8(cdb, 1) & 0xe0) | (pick & 0x1f)
  if (kind === 'cut') cdb.fill(0, pick % usage.length)
  return cdb
}

/** What fits the CDB where it is to: lists are otherwise of the wrong length for most commands. */
function dataFor({ count, data, fits, lba, pick }: StepOf, cdb: Uint8Array, blockBytes: number): Uint8Array {
  if (!fits) return data
  const blocks = namedBlocks(cdb, data)?.[0]?.[1] ?? 0
  switch (get8(cdb, 0)) {
    case Opcode.persistentReserveOut: {
      const list = new Uint8Array(24)
      list[7] = pick & 3
      list[15] = (pick >>> 2) & 3
      list[20] = get8(data, 0) & 0x05
      cdb.set([0, 0, 0, list.length], 5)
      return list
    }
    case Opcode.unmap: {
      const list = cdbOf('0016 0010 00000000 0000000000000000 00000000 00000000')
      list[15] = lba
      list[19] = count
      cdb.set([0, list.length], 7)
      return list
    }
    case Opcode.writeSame10:
    case Opcode.writeSame16:
      return pattern(blockBytes, pick)
    case Opcode.compareAndWrite:
      return pattern(2 * blocks * blockBytes, pick)
    default:
      return BLOCK_COMMANDS.has(get8(cdb, 0)) && blocks < 16 ? pattern(blocks * blockBytes, pick) : data
  }
}

/** What a task of any unit may end with. */
function assertEnd(outcome: ReturnType<TestTransport['outcome']>, cdb: Uint8Array, dataBytes: number): void {
  const { checkCondition, good, reservationConflict } = ScsiStatus
  assert.ok([good, checkCondition, reservationConflict].includes(outcome.status as 0), `${outcome.status}`)
  if (outcome.status !== checkCondition) return assert.equal(outcome.sense, undefined)
  const { sense } = outcome
  assert.ok(sense, 'CHECK CONDITION comes with sense data')
  const code = sense.additional.toString(16)
  assert.ok(KEYS[sense.additional]?.includes(sense.key), `${sense.key}/${code}`)
  assert.equal(outcome.data.length, 0)
  if (sense.field?.in === 'cdb') assert.ok(sense.field.byte < (cdbLength(get8(cdb, 0)) || 32))
  if (sense.field?.in === 'parameters') assert.ok(sense.field.byte <= dataBytes)
}

function assertUntouched(
  now: Uint8Array,
  before: Uint8Array,
  named: readonly (readonly [number, number])[],
  blockBytes: number,
): void {
  for (let lba = 0; lba < BLOCKS; lba++) {
    if (named.some(([from, count]) => lba >= from && lba < from + count)) continue
    const [at, end] = [lba * blockBytes, (lba + 1) * blockBytes]
    assert.ok(
      Buffer.compare(now.subarray(at, end), before.subarray(at, end)) === 0,
      `block ${lba} has changed`,
    )
  }
}

describe('any CDB', () => {
  for (const [name, options] of Object.entries(KINDS)) {
    it(`at a disk that is ${name} ends well, and touches no block that it does not name`, () => {
      const formats = formatsOf(new TestDisk(BLOCKS, options()))
      fc.assert(
        fc.property(fc.array(step, { minLength: 30, maxLength: 40 }), (steps) => {
          const disk = new TestDisk(BLOCKS, options())
          const { store, blockBytes } = disk
          const other = nexusNamed('two')
          disk.attach(other)
          store.bytes.set(pattern(store.bytes.length, 3))
          const before = Uint8Array.from(store.bytes)
          for (const one of steps) {
            const cdb = cdbFor(
              one,
              formats[one.format % formats.length] ?? { usage: cdb0, serviceAction: false },
            )
            // NACA is for the tests of ACA: others would have to wait.
            if (get8(cdb, 0) !== Opcode.variableLength) {
              const controlAt = cdbLength(get8(cdb, 0)) - 1
              if (controlAt > 0) cdb[controlAt] = get8(cdb, controlAt) & ~0x04
            } else cdb[1] = get8(cdb, 1) & ~0x04
            const nexus = one.nexus === 0 ? disk.nexus : other
            const dataOut = dataFor(one, cdb, blockBytes)
            const task = disk.submit(cdb, { dataOut, dataInLimitBytes: one.inLimit }, nexus)
            assert.ok(task.isDone, `${Buffer.from(cdb).toString('hex')} hangs`)
            const outcome = disk.transport.outcome(task)
            assertEnd(outcome, cdb, dataOut.length)
            const isRefused = outcome.sense?.key === 5 || outcome.sense?.key === 7
            const named =
              isRefused || outcome.status === ScsiStatus.reservationConflict ? [] : namedBlocks(cdb, dataOut)
            if (Buffer.compare(store.bytes, before) === 0) continue
            if (named) assertUntouched(store.bytes, before, named, blockBytes)
            before.set(store.bytes)
          }
          assert.equal(disk.pool.inUse, 0)
          assert.equal(disk.unit.taskCount, 0)
        }),
        // To find a short example of what went wrong may take long.
        { numRuns: 60, interruptAfterTimeLimit: 30_000 },
      )
    })
  }

  const formats = formatsOf(new TestDisk(BLOCKS, KINDS['with everything']?.()))
  for (const [name, unit] of [
    ['a LUN without a unit', new NoUnit()],
    ['the unit of REPORT LUNS', new ReportLunsUnit()],
  ] as const satisfies readonly (readonly [string, LogicalUnit])[]) {
    it(`at ${name} ends well`, () => {
      const transport = new TestTransport(unit)
      fc.assert(
        fc.property(step, (one) => {
          const cdb = cdbFor(
            one,
            formats[one.format % formats.length] ?? { usage: cdb0, serviceAction: false },
          )
          const options = { dataOut: one.data, dataInLimitBytes: one.inLimit }
          const task = transport.task(nexusNamed('one'), cdb, options)
          unit.submit(task)
          assert.ok(task.isDone)
          assertEnd(transport.outcome(task), cdb, one.data.length)
        }),
        { numRuns: 500 },
      )
    })
  }
})

const cdb0 = new Uint8Array(6)
