import assert from 'node:assert/strict'
import { test } from 'node:test'
import { compare, formatTable } from './report.ts'

const workload = { name: 'some reads', random: true, depth: 1, blockBytes: 4096 }
const measured = (iops: number) => ({ iops, mibPerSecond: iops / 256, cpuUsPerIo: 10 })

test('the ratio is that of the medians, its spread that of single rounds', () => {
  const comparison = compare(workload, [300, 100, 200, 400].map(measured), [100, 100, 50, 200].map(measured))
  assert.deepEqual(comparison.cygnet.iops, { median: 250, min: 100, max: 400 })
  assert.deepEqual(comparison.tgt.iops, { median: 100, min: 50, max: 200 })
  assert.deepEqual(comparison.ratio, { median: 2.5, min: 1, max: 4 })
})

test('the table gives each workload one row for each target', () => {
  const table = formatTable([compare(workload, [measured(300)], [measured(100)])]).split('\n')
  assert.equal(table.length, 4)
  assert.match(
    table[2] ?? '',
    /^some reads\s+cygnet\s+300 \(300\.\.300\)\s+1\.2\s+10\.0\s+3\.00 \(3\.00\.\.3\.00\)$/,
  )
  assert.match(table[3] ?? '', /^\s+tgt\s+100 /)
})
