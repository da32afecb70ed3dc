import assert from 'node:assert/strict'
import { test } from 'node:test'
import { iscsiPerfIops, qemuSeconds, timedCpuUs } from './client-output.ts'

test('figures are found in what clients print', () => {
  assert.equal(iscsiPerfIops('\riops current 10\riops average 12345 (48 MB/s)   \n'), 12_345)
  assert.equal(qemuSeconds('Sending 2000 write requests\nRun completed in 1.234 seconds.\n'), 1.234)
  assert.equal(timedCpuUs('some warning\ncpu 0.250 0.125\n'), 375_000)
})

test('a client that gives no result is an error with its words in it', () => {
  assert.throws(() => iscsiPerfIops('no portal'), /no portal/)
  assert.throws(() => qemuSeconds('failed'), /failed/)
  assert.throws(() => timedCpuUs('killed'), /killed/)
})
