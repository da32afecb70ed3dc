import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  decodeReserveOut,
  encodeReadFullStatus,
  encodeReadKeys,
  encodeReadReservation,
  NO_KEY,
  ReservationType,
  ReserveOutAction,
} from './persistent-reservation.ts'
import {
  decodeFullStatus,
  decodeKeysAndReservation,
  encodeReserveOut,
  persistentReserveInCdb,
  persistentReserveOutCdb,
} from './reserve-commands.ts'

const A = '0000000000000abc'
const B = 'ffffffffffffffff'
const port = 'iqn.2026-11.test:host,i,0x80aaaaaaaaaa'

test('what is sent is what a target reads', () => {
  const cdb = persistentReserveOutCdb(ReserveOutAction.preempt, ReservationType.exclusiveAccess)
  const decoded = decodeReserveOut(cdb, encodeReserveOut(A, B, true))
  assert.ok(decoded.ok)
  const { action, type, key, actionKey, aptpl } = decoded.request
  assert.deepEqual([action, type, key, actionKey, aptpl], [4, 3, A, B, true])
  assert.equal(cdb[8], 24)
  assert.deepEqual(
    persistentReserveInCdb(3, 0x1234).subarray(0, 9),
    Uint8Array.of(0x5e, 3, 0, 0, 0, 0, 0, 0x12, 0x34),
  )
})

test('full status is read as it was told, and not at all where it is cut short', () => {
  const bytes = encodeReadFullStatus(7, [
    { key: A, holds: ReservationType.writeExclusive, initiatorPortName: port, relativeTargetPortId: 2 },
    { key: B, holds: undefined, initiatorPortName: port, relativeTargetPortId: 1 },
  ])
  assert.deepEqual(decodeFullStatus(bytes), {
    generation: 7,
    registrations: [
      { key: A, holds: 1, initiator: port, relativeTargetPortId: 2 },
      { key: B, holds: undefined, initiator: port, relativeTargetPortId: 1 },
    ],
  })
  for (let length = 0; length < bytes.length; length++)
    assert.equal(decodeFullStatus(bytes.subarray(0, length)), undefined)
})

test('keys and the reservation say who holds it, as far as they can', () => {
  const keys = encodeReadKeys(3, [A, B])
  const held = encodeReadReservation(3, { key: B, type: ReservationType.exclusiveAccess })
  assert.deepEqual(
    decodeKeysAndReservation(keys, held)?.registrations.map(({ key, holds }) => [key, holds]),
    [
      [A, undefined],
      [B, 3],
    ],
  )
  const free = decodeKeysAndReservation(keys, encodeReadReservation(3, undefined))
  assert.ok(free?.registrations.every(({ holds }) => holds === undefined))
  assert.equal(decodeKeysAndReservation(keys.subarray(0, 7), held), undefined)
  assert.notEqual(A, NO_KEY)
})
