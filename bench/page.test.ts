import assert from 'node:assert/strict'
import { test } from 'node:test'
import { cases } from './cases.ts'
import { judge } from './goals.ts'
import { page } from './page.ts'
import { escaped, roundUp } from './page-parts.ts'
import { caseRecord, type RunRecord } from './record.ts'

const sample = (iops: number) => ({
  iops,
  bytesPerSecond: iops * 4096,
  targetCpuUs: 10,
  clientCpuUs: 5,
  peakBytes: 2 ** 20,
})

/** A run of every case, in which each contender is as fast as `iops`. */
function run(commit: string, iops: number): RunRecord {
  const results = {
    cases: cases.map(({ id, contenders }) =>
      caseRecord({ id, contenders: contenders.map(({ name }) => ({ name, samples: [sample(iops)] })) }),
    ),
  }
  return {
    date: '2026-11-22T00:00:00.000Z',
    commit,
    machine: { cpu: 'A <fast> one', cores: 2, node: 'v24', isPinned: true },
    rounds: 1,
    ...results,
    goals: judge(results).map(({ id, isMet, value }) => ({
      id,
      isMet,
      ...(value !== undefined && { value }),
    })),
    problems: ['something & more'],
  }
}

test('a page without records says what makes one', () => {
  assert.match(page([]), /npm run bench/)
})

test('a page of one run has every case, and no history', () => {
  const html = page([run('abc1234', 12_345)])
  for (const { id } of cases) assert.ok(html.includes(`id="${id}"`), id)
  assert.ok(html.includes('12,345'))
  assert.ok(!html.includes('over commits'))
  assert.ok(!html.includes('NaN'))
})

test('a page of many runs has lines over their commits', () => {
  const html = page([run('abc1234', 10_000), run('def5678', 20_000)])
  assert.ok(html.includes('over commits'))
  assert.match(html, /<title>abc1234 cygnet: 10,000<\/title>/)
  assert.match(html, /<title>def5678 cygnet: 20,000<\/title>/)
  assert.ok(!html.includes('NaN'))
})

test('a page fetches nothing from elsewhere, and text stays text', () => {
  const html = page([run('abc1234', 1)])
  assert.doesNotMatch(html, /https?:|src=|@import|url\(/)
  assert.ok(html.includes('A &lt;fast&gt; one'))
  assert.ok(html.includes('something &amp; more'))
  assert.equal(escaped('"<&>"'), '&quot;&lt;&amp;&gt;&quot;')
})

test('axes end with a round number that everything is below', () => {
  assert.deepEqual([0, 1, 1.2, 17, 29_999, 30_001, 0.7].map(roundUp), [1, 1, 1.5, 30, 30_000, 60_000, 1])
})
