import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { DiskUnit } from '../device/disk-unit.ts'
import { watchSpace } from './space-watch.ts'

/** A unit whose space can be looked at so many times. */
function unitOpenFor(looks: number): { unit: DiskUnit; looks: () => number } {
  let count = 0
  const unit = { checkSpace: () => ++count <= looks } as Partial<DiskUnit> as DiskUnit
  return { unit, looks: () => count }
}

test('a disk is looked at once at first, then every now and then until it is closed', async () => {
  const { unit, looks } = unitOpenFor(3)
  watchSpace(unit, 5)
  assert.equal(looks(), 1)
  for (let waited = 0; looks() < 4 && waited < 200; waited++) await sleep(5)
  assert.equal(looks(), 4)
  await sleep(50)
  assert.equal(looks(), 4, 'nobody looks at a closed disk')
})

test('a disk that cannot tell is asked once', async () => {
  const { unit, looks } = unitOpenFor(0)
  watchSpace(unit, 1)
  await sleep(20)
  assert.equal(looks(), 1)
})
