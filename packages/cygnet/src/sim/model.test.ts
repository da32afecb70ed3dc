import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { SECTOR_BYTES } from './disk.ts'
import { fillPattern, ModelDisk, type ModelWrite, numberOf } from './model.ts'

class Fixture {
  readonly model = new ModelDisk(8 * SECTOR_BYTES)

  begin(sector = 0, count = 1): { write: ModelWrite; number: number } {
    const number = this.model.takeNumber()
    return { write: this.model.beginWrite(sector, count, number), number }
  }

  written(durable = false): number {
    const { write, number } = this.begin()
    this.model.acknowledge(write, durable)
    return number
  }

  bytes(number: number, sector = 0): Uint8Array {
    const bytes = new Uint8Array(SECTOR_BYTES)
    fillPattern(bytes, sector, number)
    return bytes
  }

  reads(number: number, sector = 0): string | undefined {
    return this.model.endRead(this.model.beginRead(sector, 1), this.bytes(number, sector))
  }
}

describe('patterns', () => {
  test('say which write and sector they are of', () => {
    const bytes = new Uint8Array(3 * SECTOR_BYTES)
    fillPattern(bytes, 5, 77)
    assert.equal(numberOf(bytes, SECTOR_BYTES, 6), 77)
    assert.match(String(numberOf(bytes, SECTOR_BYTES, 5)), /the data of sector 6/)
    bytes[SECTOR_BYTES + 300] = (bytes[SECTOR_BYTES + 300] as number) ^ 1
    assert.match(String(numberOf(bytes, SECTOR_BYTES, 6)), /wrong from word 75/)
    assert.equal(numberOf(bytes, 0, 5), 77)
  })

  test('zeroes are number 0', () => {
    const bytes = new Uint8Array(SECTOR_BYTES)
    assert.equal(numberOf(bytes, 0, 3), 0)
    bytes[511] = 1
    assert.match(String(numberOf(bytes, 0, 3)), /zero, but/)
  })
})

describe('what a read may return', () => {
  test('the last acknowledged write, nothing older', () => {
    const fixture = new Fixture()
    assert.equal(fixture.reads(0), undefined)
    const one = fixture.written()
    assert.match(fixture.reads(0) ?? '', /sector 0 holds write 0/)
    const two = fixture.written()
    assert.match(fixture.reads(one) ?? '', /holds write 1/)
    assert.equal(fixture.reads(two), undefined)
  })

  test('a write under way or the value before it', () => {
    const fixture = new Fixture()
    const old = fixture.written()
    const { write, number } = fixture.begin()
    assert.equal(fixture.reads(old), undefined)
    assert.equal(fixture.reads(number), undefined)
    assert.equal(fixture.reads(old), undefined, 'a write under way may come and go: pieces of it, a replay')
    fixture.model.acknowledge(write, false)
    assert.notEqual(fixture.reads(old), undefined)
  })

  test('what was overwritten while the read was under way', () => {
    const fixture = new Fixture()
    const old = fixture.written()
    const read = fixture.model.beginRead(0, 1)
    const now = fixture.written(true)
    const late = fixture.written(true)
    for (const number of [old, now, late]) {
      const other = new Fixture()
      other.written()
      const begun = other.model.beginRead(0, 1)
      other.written(true)
      other.written(true)
      assert.equal(other.model.endRead(begun, other.bytes(number)), undefined)
    }
    assert.equal(fixture.model.endRead(read, fixture.bytes(late)), undefined)
    assert.notEqual(fixture.reads(old), undefined)
  })

  test('either of two concurrent writes, until a read has told which', () => {
    const fixture = new Fixture()
    const a = fixture.begin()
    const b = fixture.begin()
    fixture.model.acknowledge(b.write, false)
    fixture.model.acknowledge(a.write, false)
    assert.deepEqual(fixture.model.possible(0), [1, 2])
    assert.equal(fixture.reads(b.number), undefined)
    assert.notEqual(fixture.reads(a.number), undefined)
  })

  test('a failed write or not, and a lost one for ever', () => {
    const fixture = new Fixture()
    const failed = fixture.begin()
    fixture.model.fail(failed.write)
    assert.deepEqual(fixture.model.possible(0), [0, 1])
    assert.equal(fixture.reads(0), undefined)
    assert.deepEqual(fixture.model.possible(0), [0])
    const lost = fixture.begin()
    const now = fixture.written()
    assert.equal(fixture.reads(now), undefined)
    assert.equal(fixture.reads(lost.number), undefined)
    fixture.model.fail(lost.write)
    fixture.written()
    assert.notEqual(fixture.reads(lost.number), undefined)
  })

  test('never what was refused', () => {
    const fixture = new Fixture()
    const { write, number } = fixture.begin()
    fixture.model.refuse(write)
    assert.notEqual(fixture.reads(number), undefined)
  })
})

describe('after a crash', () => {
  test('what was not flushed may be lost', () => {
    const fixture = new Fixture()
    const one = fixture.written()
    const flush = fixture.model.beginFlush()
    fixture.model.endFlush(flush)
    const two = fixture.written()
    fixture.model.crash()
    assert.deepEqual(fixture.model.possible(0), [one, two])
    assert.equal(fixture.reads(one), undefined)
    assert.notEqual(fixture.reads(two), undefined, 'it was not there: it will not come back')
  })

  test('what was flushed, or written with forced unit access, is there', () => {
    for (const fua of [true, false]) {
      const fixture = new Fixture()
      fixture.written()
      const two = fixture.written(fua)
      if (!fua) fixture.model.endFlush(fixture.model.beginFlush())
      fixture.model.crash()
      assert.deepEqual(fixture.model.possible(0), [two])
    }
  })

  test('a flush covers what was acknowledged before it began', () => {
    const fixture = new Fixture()
    const flush = fixture.model.beginFlush()
    const one = fixture.written()
    fixture.model.endFlush(flush)
    fixture.model.crash()
    assert.deepEqual(fixture.model.possible(0), [0, one])
  })

  test('an acknowledgement that was under way when it happened promises nothing', () => {
    const fixture = new Fixture()
    const { write, number } = fixture.begin()
    fixture.model.crash()
    fixture.model.acknowledge(write, true)
    assert.deepEqual(fixture.model.possible(0), [0, number])
  })
})

describe('what is on the medium', () => {
  const check = (medium: number, wasFlushed: boolean): string | undefined => {
    const fixture = new Fixture()
    fixture.written()
    fixture.written()
    if (wasFlushed) fixture.model.endFlush(fixture.model.beginFlush())
    fixture.begin()
    return fixture.model.checkDurable(fixture.bytes(medium), 0, 1)
  }

  test('may be anything before a flush', () => {
    for (const number of [0, 1, 2, 3]) assert.equal(check(number, false), undefined)
  })

  test('is what was flushed, or newer', () => {
    for (const number of [2, 3]) assert.equal(check(number, true), undefined)
    for (const number of [0, 1, 9]) assert.match(check(number, true) ?? '', /holds write/)
  })
})
