/**
 * Guards against getting slower. Where one of these fails and the loss is worth it, or where there was a gain, on a quiet
 * machine: `node bench/record-guards.ts`.
 */
import assert from 'node:assert/strict'
import { before, test } from 'node:test'
import { Scratch } from '../test/support/scratch.ts'
import { type Guards, guardedPatterns, measureGuards, recordedGuards } from './guards.ts'

/** A busy machine disturbs a target more than it does the floor: only a doubling is no accident. */
const CPU_FACTOR = 2
/** How responses gather in batches is chance. */
const ALLOCATION_FACTOR = 1.25

let measured: Guards

before(async () => {
  const scratch = new Scratch()
  try {
    measured = await measureGuards(scratch)
  } finally {
    await scratch.end()
  }
})

function within(guard: keyof Guards, factor: number): void {
  const recorded = recordedGuards()[guard]
  for (const pattern of guardedPatterns) {
    const value = measured[guard][pattern]
    const message = `${pattern}: ${value} where ${recorded[pattern]} is recorded`
    assert.ok(value > 0 && value <= recorded[pattern] * factor, message)
  }
}

test('a request takes no more processor time, as a multiple of the floor, than is recorded', () => {
  within('cpuOverFloor', CPU_FACTOR)
})

test('a request allocates no more memory than is recorded', () => {
  within('allocatedBytes', ALLOCATION_FACTOR)
})
