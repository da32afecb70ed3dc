import assert from 'node:assert/strict'
import { test } from 'node:test'
import { cpuUs, familyOf, memoryOf, shareCores, statusBytes, ticksOf } from './process-figures.ts'

test('user and system time are found behind any name of a command', () => {
  assert.equal(ticksOf('42 (a) b) S 1 2 3 4 5 6 7 8 9 10 700 55 0 0'), 755)
})

test('a field of the status is told in bytes', () => {
  assert.equal(statusBytes('Name:\tx\nVmHWM:\t   2048 kB\nVmRSS:\t 1024 kB\n', 'VmHWM'), 2_097_152)
})

test('targets and clients have one half of the cores each, where there are two', () => {
  assert.equal(shareCores(1), undefined)
  assert.deepEqual(shareCores(2), { target: '0-0', client: '1-1' })
  assert.deepEqual(shareCores(5), { target: '0-1', client: '2-4' })
})

test('this process has used time and memory', () => {
  const before = cpuUs(process.pid)
  const start = process.cpuUsage()
  while (process.cpuUsage(start).user < 50_000);
  const used = cpuUs(process.pid) - before
  assert.ok(used >= 40_000, `${used} µs`)
  const { residentBytes, peakBytes } = memoryOf(process.pid)
  assert.ok(peakBytes >= residentBytes)
  assert.equal(familyOf(process.pid)[0], process.pid)
})
