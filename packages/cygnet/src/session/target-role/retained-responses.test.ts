import assert from 'node:assert/strict'
import { test } from 'node:test'
import { RetainedResponses } from './retained-responses.ts'
import type { Response } from '../transmit.ts'

function response(heldBytes = 0): Response & { forgotten: number } {
  return {
    heldBytes,
    isRepeatable: true,
    forgotten: 0,
    repeat() {},
    forget() {
      this.forgotten++
    },
  }
}

test('§4.2.2.2 a response is kept until it is acknowledged, over the wrap of StatSN', () => {
  const retained = new RetainedResponses(0xffff_fffe, 10, 1000)
  const all = [response(), response(), response(), response()]
  for (const one of all) retained.add(one)
  assert.equal(retained.get(0xffff_ffff), all[1])
  assert.equal(retained.get(1), all[3])
  assert.equal(retained.get(2), undefined)
  retained.acknowledge(0)
  assert.deepEqual([retained.first, retained.count, retained.get(0xffff_ffff)], [0, 2, undefined])
  retained.acknowledge(0xffff_ffff)
  assert.equal(retained.count, 2, 'an old ExpStatSN changes nothing')
  assert.deepEqual(
    all.map(({ forgotten }) => forgotten),
    [1, 1, 0, 0],
  )
})

test('beyond its count or its bytes the oldest is forgotten; the newest is always kept', () => {
  const retained = new RetainedResponses(1, 3, 100)
  const all = Array.from({ length: 5 }, () => response(10))
  for (const one of all) retained.add(one)
  assert.deepEqual([retained.first, retained.count, retained.heldBytes], [3, 3, 30])
  retained.add(response(500))
  assert.deepEqual([retained.first, retained.count, retained.heldBytes], [6, 1, 500])
})

test('ten thousand that come and go leave their order as it was', () => {
  const retained = new RetainedResponses(1, 100, 1000)
  let last: Response | undefined
  for (let statSN = 1; statSN <= 10_000; statSN++) {
    last = response()
    retained.add(last)
    if (statSN % 7 === 0) retained.acknowledge(statSN - 3)
    assert.equal(retained.get(statSN), last)
  }
  retained.acknowledge(10_001)
  assert.equal(retained.count, 0)
})
