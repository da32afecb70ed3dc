import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after } from 'node:test'
import { checkConfig } from './load.ts'
import type { Environment } from './named-files.ts'
import type { Problem } from './problem.ts'

/** Stands in front of what a problem must point at. */
const MARK = '▸'

/** Secrets that are as they should be. */
export const environment: Environment = {
  LONG: 'a secret with 30 characters ..',
  OTHER: 'another-secret',
  SHORT: 'short',
}

/** A temporary folder, for the files that configurations name. */
export function scratchFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'cygnet-config-'))
  after(() => rmSync(folder, { recursive: true }))
  return folder
}

/** Checks YAML that has a mark at the place of its one problem, or none at all. */
export function problemAt(marked: string, folder = '.'): Problem | undefined {
  const text = marked.replace(MARK, '')
  const { problems, loaded } = checkConfig(text, join(folder, 'cygnet.yaml'), environment)
  const shown = JSON.stringify(problems, null, 1)
  assert.equal(problems.length, marked.includes(MARK) ? 1 : 0, shown)
  const [problem] = problems
  if (problem === undefined) return undefined
  const before = marked.slice(0, marked.indexOf(MARK)).split('\n')
  const place = { line: before.length, column: (before.at(-1) ?? '').length + 1 }
  assert.deepEqual({ line: problem.line, column: problem.column }, place, shown)
  assert.equal(loaded === undefined, problem.severity === 'error')
  return problem
}
