import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Case } from './cases.ts'
import { CaseRunner } from './run-cases.ts'
import { quick } from './settings.ts'

const one: Case = {
  id: 'some-reads',
  title: 'Some reads',
  unit: 'IOPS',
  load: { pattern: 'randread', blockBytes: 4096, depth: 1 },
  contenders: [
    { name: 'tgt', served: 'tgt', client: 'ours' },
    { name: 'cygnet', served: 'cygnet', client: 'ours' },
  ],
}

test('who is not here, and who fails, is told; the case goes on', async () => {
  const problems: string[] = []
  const served = {
    image: '',
    targets: { cygnet: { url: 'iscsi://127.0.0.1:1/iqn.2026-11.dev.example:nobody/0', pid: process.pid } },
    missing: new Map([['tgt', 'tgtd missing: apt-get install tgt']] as const),
  }
  const say = (): void => undefined
  const runner = new CaseRunner(served, { ...quick, rounds: 2 }, (problem) => problems.push(problem), say)
  const { contenders } = await runner.run(one)
  assert.equal(problems[0], 'some-reads, tgt: tgtd missing: apt-get install tgt')
  assert.match(problems[1] ?? '', /^some-reads, cygnet: .*Nothing listens at 127\.0\.0\.1:1/)
  assert.equal(problems.length, 3, 'once for each round')
  assert.deepEqual(contenders, [{ name: 'cygnet', samples: [] }])
})
