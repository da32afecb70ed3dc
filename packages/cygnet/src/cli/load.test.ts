import assert from 'node:assert/strict'
import { test } from 'node:test'
import { LoadMeter } from './load.ts'

test('what was before a restart is in no figure, and the end of a request is the beginning of the next', () => {
  const meter = new LoadMeter()
  meter.ended(performance.now() - 60_000, 4096)
  meter.restart()
  const startMs = performance.now() - 5
  const endMs = meter.ended(startMs, 512)
  assert.ok(endMs >= startMs + 5 && endMs <= performance.now())
  const { requests, bytes, seconds, latencyMs } = meter.result()
  assert.deepEqual([requests, bytes], [1, 512])
  assert.ok(seconds < 30, `${seconds} s`)
  assert.ok(latencyMs.max >= 5 && latencyMs.max < 30_000, `${latencyMs.max} ms`)
})
