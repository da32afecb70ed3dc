import assert from 'node:assert/strict'
import { test } from 'node:test'
import { failureIn, iscsiPerfIops, qemuSeconds, timedCpuUs } from './client-output.ts'

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

test('of what a client said that failed, one line is told', () => {
  assert.equal(failureIn('file:3\n  new Error()\n\nSomeError: no LUN\n    at a (b:1)\n'), 'SomeError: no LUN')
  assert.equal(failureIn('login failed\nbye\ncpu 0.1 0.1\n'), 'bye')
  assert.equal(failureIn(''), 'it failed without a word')
})
