import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { DataInReceiver } from './data-in-receiver.ts'

const LIMIT = 100
const bytes = (first: number): readonly Uint8Array[] => [
  Uint8Array.of(first, first + 1),
  Uint8Array.of(first + 2, first + 3),
]

/** Data-In number `dataSN` of four bytes each, from `offset`. */
const take = (receiver: DataInReceiver, dataSN: number, offset = dataSN * 4): unknown =>
  receiver.data(dataSN, offset, 4, bytes(offset))

const filled = Uint8Array.from({ length: 16 }, (_, index) => index)

describe('§4.2.2.4 the input sequence of a command', () => {
  test('in order', () => {
    const buffer = new Uint8Array(16)
    const receiver = new DataInReceiver(buffer, LIMIT)
    for (let i = 0; i < 4; i++) assert.equal(take(receiver, i), 'taken')
    assert.deepEqual(buffer, filled)
    assert.deepEqual([receiver.contiguousBytes, receiver.expDataSN, receiver.dataPdus], [16, 4, 4])
  })

  test('with a gap, which is told once and then filled', () => {
    const buffer = new Uint8Array(16)
    const receiver = new DataInReceiver(buffer, LIMIT)
    assert.equal(take(receiver, 2), 'ahead')
    assert.deepEqual(receiver.newGap, { first: 0, count: 2 })
    assert.equal(take(receiver, 3), 'ahead')
    assert.equal(receiver.newGap.count, 0)
    assert.deepEqual(receiver.gaps(), [{ first: 0, count: 2 }])
    assert.equal(receiver.contiguousBytes, 0)
    assert.equal(take(receiver, 2), 'repeated')
    take(receiver, 0)
    assert.deepEqual([receiver.contiguousBytes, receiver.hasGap], [4, true])
    take(receiver, 1)
    assert.deepEqual([receiver.contiguousBytes, receiver.hasGap], [16, false])
    assert.deepEqual(buffer, filled)
  })

  test('what came ahead of a gap is checked when the gap is filled', () => {
    const receiver = new DataInReceiver(new Uint8Array(16), LIMIT)
    assert.equal(take(receiver, 1, 8), 'ahead')
    assert.deepEqual(take(receiver, 0), { violation: 'Data-In 1 has the offset 8 where 4 was due' })
  })

  test('a number far ahead is a violation: what is kept is bounded', () => {
    const receiver = new DataInReceiver(new Uint8Array(16), LIMIT)
    assert.deepEqual(take(receiver, LIMIT + 1, 12), { violation: `number ${LIMIT + 1} came where 0 was due` })
  })

  test('data for a command that reads nothing', () => {
    assert.ok('violation' in Object(take(new DataInReceiver(undefined, LIMIT), 0)))
  })

  test('the response tells of PDUs after all that were seen', () => {
    const receiver = new DataInReceiver(new Uint8Array(16), LIMIT)
    take(receiver, 0)
    take(receiver, 2)
    assert.deepEqual(receiver.expectPdus(4), { first: 3, count: 1 })
    assert.deepEqual(receiver.gaps(), [
      { first: 1, count: 1 },
      { first: 3, count: 1 },
    ])
  })

  test('a lost R2T does not matter when all data is here', () => {
    const receiver = new DataInReceiver(new Uint8Array(8), LIMIT)
    receiver.data(1, 0, 4, bytes(0))
    receiver.data(2, 4, 4, bytes(4))
    assert.equal(receiver.contiguousBytes, 0)
    receiver.expectPdus(2)
    assert.deepEqual([receiver.contiguousBytes, receiver.hasGap], [8, false])
  })
})

test('§11.16.3 after an R-Data SNACK the series begins where it was acknowledged; the rest of the old one is ignored', () => {
  const buffer = new Uint8Array(16)
  const receiver = new DataInReceiver(buffer, LIMIT)
  take(receiver, 0)
  receiver.acknowledge()
  take(receiver, 1)
  receiver.restart(false)
  assert.ok(receiver.hasGap)
  assert.equal(take(receiver, 2), 'repeated')
  assert.equal(receiver.missing(3).count, 0, 'a spoiled PDU of the old one is not asked for')
  assert.equal(receiver.data(1, 4, 2, [Uint8Array.of(4, 5)]), 'taken')
  assert.ok(!receiver.hasGap)
  assert.equal(receiver.contiguousBytes, 6)
})

test('§7.2.2 after a reassignment what came without a gap stays, and R2Ts of a write may start anywhere', () => {
  const read = new DataInReceiver(new Uint8Array(16), LIMIT)
  take(read, 0)
  take(read, 2)
  read.reassign(true)
  assert.deepEqual([read.expDataSN, read.dataPdus, read.hasGap], [1, 1, false])
  const write = new DataInReceiver(undefined, LIMIT)
  write.r2t(0)
  write.r2t(1)
  write.reassign(false)
  assert.equal(write.r2t(1), 'taken')
  assert.equal(write.r2t(2), 'taken')
})

test('a bidirectional command takes R2Ts that come again after a reassignment, and goes on with the next number', () => {
  const receiver = new DataInReceiver(new Uint8Array(8), 16)
  assert.equal(receiver.r2t(0), 'taken')
  assert.equal(receiver.r2t(0), 'repeated')
  receiver.reassign(true)
  assert.equal(receiver.r2t(0), 'taken')
  assert.equal(receiver.r2t(1), 'taken')
  assert.equal(receiver.data(2, 0, 8, [new Uint8Array(8)]), 'taken')
  assert.ok(!receiver.hasGap)
})

test('responses that count ever more Data-In PDUs are refused at the limit', () => {
  const receiver = new DataInReceiver(new Uint8Array(8), 16)
  assert.deepEqual(receiver.expectPdus(16), { first: 0, count: 16 })
  assert.ok('violation' in receiver.expectPdus(32))
})
