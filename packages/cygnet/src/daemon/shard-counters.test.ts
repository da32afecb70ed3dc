import assert from 'node:assert/strict'
import { test } from 'node:test'
import { RecoveryCounters } from '../session/recovery-counters.ts'
import { sumOfCounters } from './shard-counters.ts'

test('every counter is summed up, and each reason of a Reject', () => {
  const [one, other] = [new RecoveryCounters(), new RecoveryCounters()]
  for (const counters of [one, other]) {
    for (const [name, value] of Object.entries(counters)) {
      if (typeof value === 'number') Object.assign(counters, { [name]: 3 })
    }
    counters.countReject(4)
  }
  other.countReject(9)
  // What came from another process has no methods.
  const sum = sumOfCounters([one, structuredClone(other)])
  for (const [name, value] of Object.entries(sum)) if (typeof value === 'number') assert.equal(value, 6, name)
  assert.deepEqual([sum.rejects[4], sum.rejects[9], sum.rejects[0]], [2, 1, 0])
})
