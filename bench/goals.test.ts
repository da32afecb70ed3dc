import assert from 'node:assert/strict'
import { test } from 'node:test'
import { cases } from './cases.ts'
import { goals, judge } from './goals.ts'
import { caseRecord, type Results } from './record.ts'
import type { Sample } from './sample.ts'
import { formatCases, formatGoals } from './table.ts'

const sample = (iops: number, targetCpuUs: number): Sample => ({
  iops,
  bytesPerSecond: iops * 4096,
  targetCpuUs,
  clientCpuUs: 5,
  peakBytes: 2 ** 20,
})

const resultsOf = (id: string, contenders: Readonly<Record<string, readonly Sample[]>>): Results => ({
  cases: [
    caseRecord({ id, contenders: Object.entries(contenders).map(([name, samples]) => ({ name, samples })) }),
  ],
})

test('a goal is judged by the median of single rounds', () => {
  const results = resultsOf('read-4k-d32', {
    cygnet: [sample(500, 6), sample(900, 6.5), sample(400, 8)],
    tgt: [sample(100, 40), sample(200, 40), sample(100, 40)],
  })
  const outcomes = new Map(judge(results).map((outcome) => [outcome.id, outcome]))
  assert.deepEqual([outcomes.get('read-iops')?.value, outcomes.get('read-iops')?.isMet], [4.5, true])
  assert.deepEqual([outcomes.get('read-cpu')?.value, outcomes.get('read-cpu')?.isMet], [6.5, true])
  assert.equal(outcomes.get('read-cpu-ratio')?.value, 0.1625)
})

test('a goal that is missed, or that was not measured, is not met', () => {
  const results = resultsOf('read-4k-d32', { cygnet: [sample(449, 8)], tgt: [sample(100, 30)] })
  const outcomes = judge(results)
  assert.ok(outcomes.every(({ isMet }) => !isMet))
  const text = formatGoals(outcomes)
  assert.match(text, /4\.49 +≥ 4\.50 × tgt: .*not met/)
  assert.match(text, /not measured/)
})

test('every goal but those of memory speaks of cases and contenders that there are', () => {
  const results: Results = {
    cases: cases.map(({ id, contenders }) =>
      caseRecord({
        id,
        contenders: contenders.map(({ name }) => ({ name, samples: [{ ...sample(1, 1), p99Us: 1 }] })),
      }),
    ),
  }
  const unmeasured = judge(results).filter(({ value }) => value === undefined)
  assert.deepEqual(
    unmeasured.map(({ id }) => id),
    ['idle-memory', 'idle-login', 'memory-under-load'],
  )
  assert.equal(new Set(goals.map(({ id }) => id)).size, goals.length)
})

test('the table has a row for each contender, and how many times its rate the first one has', () => {
  const { cases: records } = resultsOf('read-4k-d32', {
    cygnet: [sample(300, 6)],
    tgt: [sample(100, 40)],
  })
  const lines = formatCases(cases, records).split('\n')
  assert.match(lines[2] ?? '', /4 KiB random read, depth 32 \(IOPS\)/)
  assert.match(lines[3] ?? '', /^ {2}cygnet +300 \(300\.\.300\)/)
  assert.match(lines[4] ?? '', /^ {2}tgt +100 \(100\.\.100\) .* × 3\.00 \(3\.00\.\.3\.00\)$/)
})
