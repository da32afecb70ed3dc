import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { blockCdb, testUnitReadyCdb } from '../scsi/cdb.ts'
import { Opcode } from '../scsi/opcodes.ts'
import type { DurableRecords } from '../store/durable-records.ts'
import type { Outcome } from './disk.test-helper.ts'
import { cdbOf, nexusNamed, pattern, senseOf, TestDisk, TestStore } from './disk.test-helper.ts'
import { TestRecords } from './reservations.test-helper.ts'

const OVERWRITE = 0x01
const BLOCK_ERASE = 0x02
const CRYPTOGRAPHIC_ERASE = 0x03
const EXIT = 0x1f
const IMMEDIATE = 0x80
const AUSE = 0x20
const READY = testUnitReadyCdb()

function sanitizeCdb(action: number, lengthBytes = 0): Uint8Array {
  const cdb = cdbOf('48 00 00 00 00 00 00 0000 00')
  cdb[1] = action
  cdb[7] = lengthBytes >>> 8
  cdb[8] = lengthBytes
  return cdb
}

function list(bytes: Uint8Array, count = 1, flags = 0): Uint8Array {
  const header = Uint8Array.of(flags | count, 0, bytes.length >>> 8, bytes.length)
  return Uint8Array.from([...header, ...bytes])
}

const overwrite = (disk: TestDisk, parameters: Uint8Array, flags = 0): Outcome =>
  disk.run(sanitizeCdb(OVERWRITE | flags, parameters.length), { dataOut: parameters })

class MemoryRecords implements DurableRecords {
  readonly values = new Map<string, unknown>()
  get(name: string): unknown {
    return this.values.get(name)
  }
  set(name: string, value: unknown, done: (error: undefined) => void): void {
    if (value === undefined) this.values.delete(name)
    else this.values.set(name, JSON.parse(JSON.stringify(value)))
    done(undefined)
  }
}

describe('SANITIZE OVERWRITE', () => {
  it('repeats the pattern from block to block, and makes it durable', () => {
    const disk = new TestDisk(64)
    disk.store.bytes.set(pattern(64 * 512))
    assert.equal(senseOf(overwrite(disk, list(Uint8Array.of(1, 2, 3)))), 'status 0')
    const block = Uint8Array.from({ length: 512 }, (_, i) => (i % 3) + 1)
    for (let lba = 0; lba < 64; lba++) {
      assert.deepEqual(disk.store.bytes.subarray(lba * 512, lba * 512 + 512), block, `block ${lba}`)
    }
    assert.equal(disk.store.calls.at(-1), 'flush')
  })

  it('goes over the medium as often as it is told, inverted every other time, so that the pattern stays', () => {
    const disk = new TestDisk(8)
    const written: (number | undefined)[] = []
    const write = disk.store.write.bind(disk.store)
    disk.store.write = (slices, offset, flags, done) => {
      written.push(slices[0]?.[0])
      write(slices, offset, flags, done)
    }
    overwrite(disk, list(Uint8Array.of(0x0f), 4, 0x80))
    assert.deepEqual(written, [0xf0, 0x0f, 0xf0, 0x0f])
    overwrite(disk, list(Uint8Array.of(0x0f), 2))
    assert.deepEqual(written.slice(4), [0x0f, 0x0f])
  })

  it('checks its parameters', () => {
    const disk = new TestDisk(8)
    for (const length of [0, 1, 4, 517]) {
      const outcome = disk.run(sanitizeCdb(OVERWRITE, length), { dataOut: new Uint8Array(length) })
      assert.deepEqual(outcome.sense?.field, { in: 'cdb', byte: 7, bit: 7 }, `${length} bytes`)
    }
    const field = (parameters: Uint8Array) => overwrite(disk, parameters).sense?.field
    assert.deepEqual(field(list(Uint8Array.of(1), 0)), { in: 'parameters', byte: 0, bit: 4 })
    assert.deepEqual(field(list(Uint8Array.of(1), 1, 0x40)), { in: 'parameters', byte: 0, bit: 6 })
    assert.deepEqual(field(Uint8Array.of(1, 0, 0, 0, 9)), { in: 'parameters', byte: 2, bit: 7 })
    assert.deepEqual(field(Uint8Array.of(1, 0, 0, 2, 9)), { in: 'parameters', byte: 2, bit: 7 })
    const short = disk.run(sanitizeCdb(OVERWRITE, 8), { dataOut: new Uint8Array(5), dataOutLimitBytes: 5 })
    assert.equal(senseOf(short), '5/1a00')
    assert.deepEqual(disk.store.calls, [])
  })

  it('is refused where writes are', () => {
    const readOnly = new TestDisk(8, { readOnly: true })
    assert.equal(senseOf(overwrite(readOnly, list(Uint8Array.of(1)))), '7/2700')
  })
})

describe('SANITIZE BLOCK ERASE and CRYPTOGRAPHIC ERASE', () => {
  it('release everything, where the store can', () => {
    const disk = new TestDisk(64)
    disk.store.bytes.fill(9)
    assert.equal(senseOf(disk.run(sanitizeCdb(BLOCK_ERASE))), 'status 0')
    assert.deepEqual(disk.store.calls, ['zero 0+32768 may-trim', 'flush'])
    const thick = new TestDisk(64, { thin: false })
    assert.equal(senseOf(thick.run(sanitizeCdb(BLOCK_ERASE))), '5/2400')
  })

  it('take no parameters', () => {
    const disk = new TestDisk(64)
    for (const action of [BLOCK_ERASE, EXIT]) {
      const outcome = disk.run(sanitizeCdb(action, 8), { dataOut: new Uint8Array(8) })
      assert.deepEqual(outcome.sense?.field, { in: 'cdb', byte: 7, bit: 7 })
    }
  })

  it('renew the key of a store that has one; others have no such service action', () => {
    assert.equal(senseOf(new TestDisk(8).run(sanitizeCdb(CRYPTOGRAPHIC_ERASE))), '5/2400')
    const renewed: string[] = []
    const store = Object.assign(new TestStore(8 * 512), {
      can: { write: true, trim: false, volatileCache: true, extents: false, renewKey: true },
      renewKey(done: (error: undefined) => void): void {
        renewed.push('key')
        done(undefined)
      },
    })
    const disk = new TestDisk(8, { store })
    assert.equal(senseOf(disk.run(sanitizeCdb(CRYPTOGRAPHIC_ERASE))), 'status 0')
    assert.deepEqual(renewed, ['key'])
  })
})

describe('SANITIZE in the background', () => {
  it('ends at once with IMMED, and refuses other commands until it is done, with its progress', () => {
    const disk = new TestDisk(4096)
    disk.store.deferred = true
    assert.equal(senseOf(overwrite(disk, list(Uint8Array.of(7)), IMMEDIATE)), 'status 0')
    for (const cdb of [READY, blockCdb(Opcode.read10, 0, 1), cdbOf('1b 01 00 00 01 00'), sanitizeCdb(EXIT)]) {
      assert.equal(senseOf(disk.run(cdb)), '2/041b', `opcode ${cdb[0]}`)
    }
    assert.equal(senseOf(disk.run(cdbOf('12 00 00 00 24 00'))), 'status 0')
    disk.store.release()
    assert.equal(disk.run(READY).sense?.progress, 32_768)
    const sense = disk.run(cdbOf('03 00 00 00 12 00')).data
    assert.deepEqual([...sense.subarray(2, 3), ...sense.subarray(12, 18)], [2, 0x04, 0x1b, 0, 0x80, 0x80, 0])
    disk.store.releaseAll()
    assert.equal(senseOf(disk.run(READY)), 'status 0')
    assert.equal(
      disk.store.bytes.every((byte) => byte === 7),
      true,
    )
  })

  it('lets its command wait for the end, which an abort or a reset does not bring nearer', () => {
    const disk = new TestDisk(4096)
    disk.store.deferred = true
    const parameters = list(Uint8Array.of(7))
    const task = disk.submit(sanitizeCdb(OVERWRITE, parameters.length), { dataOut: parameters })
    assert.equal(task.isDone, false)
    disk.unit.reset(() => undefined)
    assert.equal(disk.transport.outcome(task).aborted, true)
    disk.run(READY)
    assert.equal(senseOf(disk.run(READY)), '2/041b')
    disk.store.releaseAll()
    assert.equal(senseOf(disk.run(READY)), 'status 0')
    assert.equal(disk.store.bytes[2 ** 20], 7)
  })

  it('waits for writes that are under way', () => {
    const disk = new TestDisk(64)
    disk.store.deferred = true
    const write = disk.submit(blockCdb(Opcode.write10, 0, 1), { dataOut: pattern(512) })
    const erase = disk.submit(sanitizeCdb(BLOCK_ERASE))
    assert.deepEqual(disk.store.calls, ['write 0+512'])
    disk.store.releaseAll()
    assert.equal(senseOf(disk.transport.outcome(write)), 'status 0')
    assert.equal(senseOf(disk.transport.outcome(erase)), 'status 0')
    assert.equal(disk.store.bytes[0], 0)
  })

  it('stops when the unit closes, and starts again where it is remembered', () => {
    const records = new MemoryRecords()
    const store = new TestStore(4096 * 512)
    const disk = new TestDisk(4096, { records, store })
    store.deferred = true
    overwrite(disk, list(Uint8Array.of(7)), IMMEDIATE)
    let closed = false
    disk.unit.close(() => (closed = true))
    store.releaseAll()
    assert.equal(closed, true)
    assert.equal(store.bytes[2 ** 20], 0)
    store.deferred = false
    const again = new TestDisk(4096, { records, store })
    assert.equal(senseOf(again.run(READY)), 'status 0')
    assert.equal(store.bytes[2 ** 20], 7)
    assert.equal(records.values.size, 0, 'it is over')
  })
})

describe('SANITIZE on record', () => {
  const READ = blockCdb(Opcode.read10, 0, 1)

  it('begins even where its command has ended before it was on record', () => {
    const records = new TestRecords()
    const disk = new TestDisk(64, { records })
    records.deferred = true
    const task = disk.submit(sanitizeCdb(BLOCK_ERASE | IMMEDIATE))
    disk.store.bytes.fill(9)
    disk.unit.abort(task)
    assert.equal(disk.transport.outcome(task).aborted, true)
    assert.equal(senseOf(disk.run(READ)), '2/041b')
    records.release()
    assert.deepEqual(disk.store.calls, ['zero 0+32768 may-trim', 'flush'])
    records.release()
    assert.equal(senseOf(disk.run(READ)), 'status 0')
    assert.equal(records.saved.get('sanitize'), undefined)
  })

  it('has ended when it is on record no more: what is written then stays', () => {
    const records = new TestRecords()
    const disk = new TestDisk(64, { records })
    records.deferred = true
    const task = disk.submit(sanitizeCdb(BLOCK_ERASE))
    records.release()
    assert.deepEqual(disk.store.calls, ['zero 0+32768 may-trim', 'flush'])
    assert.equal(task.isDone, false)
    assert.equal(senseOf(disk.run(READ)), '2/041b')
    records.release()
    assert.equal(senseOf(disk.transport.outcome(task)), 'status 0')
    assert.equal(senseOf(disk.run(READ)), 'status 0')
  })

  it('has failed where it cannot be taken off the record', () => {
    const records = new TestRecords()
    const disk = new TestDisk(64, { records })
    records.deferred = true
    const task = disk.submit(sanitizeCdb(BLOCK_ERASE | AUSE))
    records.failNext = { failure: 'no-space' }
    records.release()
    records.release()
    assert.equal(senseOf(disk.transport.outcome(task)), '3/3103')
    assert.equal(senseOf(disk.run(READ)), '3/3103')
    records.deferred = false
    records.failNext = { failure: 'no-space' }
    assert.equal(senseOf(disk.run(sanitizeCdb(EXIT))), '7/2707')
    assert.equal(senseOf(disk.run(READ)), '3/3103')
    assert.equal(senseOf(disk.run(sanitizeCdb(EXIT))), 'status 0')
    assert.equal(senseOf(disk.run(READ)), 'status 0')
    assert.equal(records.saved.get('sanitize'), undefined)
  })

  it('is not begun where it cannot be put on record', () => {
    const records = new TestRecords()
    const disk = new TestDisk(64, { records })
    records.failNext = { failure: 'no-space' }
    assert.equal(senseOf(disk.run(sanitizeCdb(BLOCK_ERASE))), '7/2707')
    assert.deepEqual(disk.store.calls, [])
    assert.equal(records.calls.at(-1), undefined, 'nor left there by halves')
    assert.equal(senseOf(disk.run(READ)), 'status 0')
  })

  it('keeps a second one and FORMAT UNIT away from the time it is being put on record', () => {
    const records = new TestRecords()
    const disk = new TestDisk(64, { records })
    records.deferred = true
    disk.submit(sanitizeCdb(BLOCK_ERASE | IMMEDIATE))
    assert.equal(senseOf(disk.run(sanitizeCdb(BLOCK_ERASE))), '2/041b')
    assert.equal(senseOf(disk.run(cdbOf('04 00 00 00 00 00'))), '2/041b')
    assert.equal(records.calls.length, 1)
  })

  it('does not begin on a unit that is closed meanwhile', () => {
    const records = new TestRecords()
    const disk = new TestDisk(64, { records })
    records.deferred = true
    disk.submit(sanitizeCdb(BLOCK_ERASE | IMMEDIATE))
    disk.unit.close(() => undefined)
    records.release()
    assert.deepEqual(disk.store.calls, ['close'])
  })
})

describe('a SANITIZE that failed', () => {
  const failing = (flags: number): TestDisk => {
    const disk = new TestDisk(64)
    disk.store.failNext = { call: 'write', error: { failure: 'medium' } }
    assert.equal(senseOf(overwrite(disk, list(Uint8Array.of(7)), flags)), '3/3103')
    return disk
  }

  it('leaves the medium out of reach until another one has succeeded', () => {
    const disk = failing(0)
    assert.equal(senseOf(disk.run(READY)), '3/3103')
    assert.equal(senseOf(disk.run(sanitizeCdb(EXIT))), '5/2400', 'AUSE was not set')
    assert.equal(senseOf(disk.run(cdbOf('04 00 00 00 00 00'))), '3/3103', 'FORMAT UNIT is no way out')
    assert.equal(senseOf(disk.run(READY)), '3/3103')
    assert.equal(senseOf(disk.run(sanitizeCdb(BLOCK_ERASE))), 'status 0')
    assert.equal(senseOf(disk.run(READY)), 'status 0')
  })

  it('is left with EXIT FAILURE MODE where AUSE allowed it', () => {
    const disk = failing(AUSE)
    assert.equal(senseOf(disk.run(READY)), '3/3103')
    assert.equal(senseOf(disk.run(sanitizeCdb(EXIT))), 'status 0')
    assert.equal(senseOf(disk.run(READY)), 'status 0')
    assert.equal(senseOf(disk.run(sanitizeCdb(EXIT))), 'status 0', 'nothing to leave')
  })
})

describe('FORMAT UNIT', () => {
  const format = (disk: TestDisk, flags: number, parameters = new Uint8Array(0)): Outcome =>
    disk.run(Uint8Array.of(0x04, flags, 0, 0, 0, 0), { dataOut: parameters })

  it('makes every block zero, released where that is offered', () => {
    const disk = new TestDisk(64)
    assert.equal(senseOf(format(disk, 0)), 'status 0')
    assert.deepEqual(disk.store.calls, ['zero 0+32768 may-trim', 'flush'])
    const thick = new TestDisk(64, { thin: false })
    assert.equal(senseOf(format(thick, 0)), 'status 0')
    assert.deepEqual(thick.store.calls, ['zero 0+32768', 'flush'])
  })

  it('works in the background with IMMED, with its progress', () => {
    const disk = new TestDisk(64)
    disk.store.deferred = true
    assert.equal(senseOf(format(disk, 0x10, Uint8Array.of(0, 2, 0, 0))), 'status 0')
    assert.equal(senseOf(disk.run(READY)), '2/0404')
    disk.store.releaseAll()
    assert.equal(senseOf(disk.run(READY)), 'status 0')
  })

  it('writes an initialization pattern, from a short or a long list', () => {
    const disk = new TestDisk(8)
    assert.equal(senseOf(format(disk, 0x10, Uint8Array.of(0, 8, 0, 0, 0, 1, 0, 2, 5, 6))), 'status 0')
    assert.deepEqual([...disk.store.bytes.subarray(510, 514)], [5, 6, 5, 6])
    const long = Uint8Array.of(0, 8, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1, 9)
    assert.equal(senseOf(format(disk, 0x30, long)), 'status 0')
    assert.equal(
      disk.store.bytes.every((byte) => byte === 9),
      true,
    )
    assert.equal(senseOf(format(disk, 0x10, Uint8Array.of(0, 8, 0, 0, 0, 0, 0, 0))), 'status 0')
    assert.equal(
      disk.store.bytes.every((byte) => byte === 0),
      true,
      'the default pattern',
    )
  })

  it('refuses what it does not know, and points at it', () => {
    const disk = new TestDisk(8)
    const at = (flags: number, ...bytes: number[]) =>
      format(disk, flags, Uint8Array.from(bytes)).sense?.field?.byte
    assert.equal(at(0x20), 1, 'a long list, of no data')
    assert.equal(at(0x10, 1, 0, 0, 0), 0, 'protection fields')
    assert.equal(at(0x10, 0, 0x40, 0, 0), 1, 'options that are not said to be valid')
    assert.equal(at(0x10, 0, 0, 0, 8), 2, 'defects')
    assert.equal(at(0x30, 0, 0, 0, 1, 0, 0, 0, 0), 3, 'protection intervals')
    assert.equal(at(0x30, 0, 0, 0, 0, 0, 0, 0, 8), 4, 'defects')
    assert.equal(at(0x10, 0, 8, 0, 0, 0x20, 1, 0, 1, 1), 4, 'SI')
    assert.equal(at(0x10, 0, 8, 0, 0, 0, 2, 0, 1, 1), 5, 'a type')
    assert.equal(at(0x10, 0, 8, 0, 0, 0, 1, 0, 0, 1), 6, 'no pattern')
    assert.equal(at(0x10, 0, 8, 0, 0, 0, 0, 0, 1, 1), 6, 'the default pattern has no length')
    assert.equal(senseOf(format(disk, 0x10, Uint8Array.of(0, 8, 0))), '5/1a00')
    assert.equal(senseOf(format(disk, 0x10, Uint8Array.of(0, 8, 0, 0))), '5/1a00')
    assert.equal(senseOf(format(disk, 0x10, Uint8Array.of(0, 8, 0, 0, 0, 1, 0, 2, 1))), '5/1a00')
    assert.deepEqual(disk.store.calls, [])
  })

  it('that failed is repeated, not left', () => {
    const disk = new TestDisk(8)
    disk.store.failNext = { call: 'zero', error: { failure: 'medium' } }
    assert.equal(senseOf(format(disk, 0)), '3/3101')
    assert.equal(senseOf(disk.run(sanitizeCdb(EXIT))), 'status 0', 'that is of SANITIZE')
    assert.equal(senseOf(disk.run(READY)), '3/3101')
    assert.equal(senseOf(format(disk, 0)), 'status 0')
    assert.equal(senseOf(disk.run(READY)), 'status 0')
  })
})

describe('READ DEFECT DATA', () => {
  it('has empty lists of whatever was asked for', () => {
    const disk = new TestDisk(8)
    assert.deepEqual([...disk.run(cdbOf('37 00 1d 00 00 00 00 00ff 00')).data], [0, 0x1d, 0, 0])
    assert.deepEqual([...disk.run(cdbOf('b7 0d 00000000 000000ff 00 00')).data], [0, 0x0d, 0, 0, 0, 0, 0, 0])
    assert.equal(disk.run(cdbOf('b7 0d 00000000 00000004 00 00')).data.length, 4)
  })
})

describe('a reservation', () => {
  it('keeps others from sanitizing, formatting and preventing removal', () => {
    const disk = new TestDisk(8, { removable: true })
    const other = nexusNamed('two')
    disk.attach(other)
    disk.run(cdbOf('16 00 00 00 00 00'))
    for (const text of ['48 02 00 00 00 00 00 0000 00', '04 00 00 00 00 00', '1e 00 00 00 01 00']) {
      assert.equal(senseOf(disk.run(cdbOf(text), {}, other)), 'status 24', text)
    }
    assert.equal(
      senseOf(disk.run(cdbOf('1e 00 00 00 00 00'), {}, other)),
      'status 0',
      'to allow removal harms nobody',
    )
  })
})
