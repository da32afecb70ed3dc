import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import type { ReservationType, ReserveOut } from '../scsi/persistent-reservation.ts'
import { isReservationType, NO_KEY, ReserveOutAction } from '../scsi/persistent-reservation.ts'
import type { PersistentChange } from './persistent-changes.ts'
import { applyReserveOut } from './persistent-changes.ts'
import type { NexusName, PersistentState } from './persistent-state.ts'
import {
  isHolder,
  isSameNexus,
  NO_RESERVATIONS,
  recordOf,
  registrationOf,
  stateFromRecord,
} from './persistent-state.ts'

const PORTS = [1, 2]
const NAMES = ['a', 'b', 'c'].map((name) => `iqn.2026-11.test:${name},i,0x800000000001`)
const LIMIT = 5
const surroundings = {
  initiatorPortNames: NAMES,
  relativeTargetPortIds: PORTS,
  canPersist: true,
  registrationLimit: LIMIT,
}

const nexus = fc.record({
  initiatorPortName: fc.constantFrom(...NAMES),
  relativeTargetPortId: fc.constantFrom(...PORTS),
})
/** Few keys, so that they meet. */
const key = fc.constantFrom(NO_KEY, '0000000000000001', '0000000000000002', 'ffffffffffffffff')
const types = Array.from({ length: 16 }, (_, code) => code).filter(isReservationType)
const request: fc.Arbitrary<ReserveOut & { ownKey: boolean }> = fc.record({
  action: fc.constantFrom(...Object.values(ReserveOutAction)),
  type: fc.constantFrom<ReservationType[]>(...types),
  key,
  /** Most requests would conflict without it. */
  ownKey: fc.integer({ min: 0, max: 7 }).map((n) => n > 0),
  actionKey: key,
  aptpl: fc.boolean(),
  allTargetPorts: fc.boolean(),
  initiatorPorts: fc.oneof(
    { weight: 5, arbitrary: fc.constant(undefined) },
    fc
      .uniqueArray(fc.constantFrom(...NAMES), { maxLength: 2 })
      .map((names) =>
        names.map((name) => ({ initiatorName: name.split(',')[0] ?? '', initiatorPortName: name })),
      ),
  ),
  destination: nexus.chain((to) => fc.boolean().map((unregisters) => ({ ...to, unregisters }))),
})

/** What must hold of every state (SPC-5 §5.13.10). */
function assertSound({ registrations, reservation }: PersistentState): void {
  for (const [i, registration] of registrations.entries()) {
    assert.notEqual(registration.key, NO_KEY)
    assert.ok(
      registrations.slice(0, i).every((other) => !isSameNexus(other, registration)),
      'one for each nexus',
    )
  }
  assert.ok(registrations.length <= LIMIT)
  if (!reservation) return
  const holders = registrations.filter((each) =>
    isHolder({ ...NO_RESERVATIONS, registrations, reservation }, each),
  )
  const isForAll = reservation.type === 7 || reservation.type === 8
  assert.equal(holders.length, isForAll ? registrations.length : 1)
  assert.ok(holders.length > 0)
}

/** Who loses its registration to another hears of it, and nobody hears of what is not. */
function assertTold(
  before: PersistentState,
  { state, attentions }: PersistentChange,
  cause: NexusName,
): void {
  const told = attentions.flatMap(({ nexuses }) => nexuses)
  for (const lost of before.registrations) {
    if (registrationOf(state, lost) || isSameNexus(lost, cause)) continue
    const isOwnOtherPort = lost.initiatorPortName === cause.initiatorPortName
    assert.ok(isOwnOtherPort || told.some((name) => isSameNexus(name, lost)), 'who is removed is told')
  }
  for (const name of told) assert.ok(registrationOf(before, name) ?? registrationOf(state, name))
}

test('whatever is asked, the state is sound, survives power loss, and changes as a whole', () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(nexus, request), { maxLength: 40, size: 'max' }), (steps) => {
      let state: PersistentState = NO_RESERVATIONS
      for (const [from, { ownKey, ...asked }] of steps) {
        const own = registrationOf(state, from)?.key ?? NO_KEY
        const before = structuredClone(state)
        const outcome = applyReserveOut(state, ownKey ? { ...asked, key: own } : asked, from, surroundings)
        assert.deepEqual(state, before, 'the old state does not change')
        if (outcome.kind !== 'change') continue
        assertSound(outcome.state)
        assertTold(state, outcome, from)
        const restored = stateFromRecord(JSON.parse(JSON.stringify(recordOf(outcome.state))))
        assert.deepEqual(
          { ...restored, aptpl: false, generation: 0 },
          { ...outcome.state, aptpl: false, generation: 0 },
        )
        const counts = asked.action !== ReserveOutAction.reserve && asked.action !== ReserveOutAction.release
        assert.equal(outcome.state.generation, state.generation + (counts ? 1 : 0))
        state = outcome.state
      }
    }),
    { numRuns: 1000 },
  )
})
