import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { after, test } from 'node:test'

const runner = resolve(import.meta.dirname, '../run.ts')
const sandboxes: string[] = []
after(() => {
  for (const sandbox of sandboxes) rmSync(sandbox, { recursive: true })
})

/** Runs the test command on property tests with this content. */
function runTests(files: Record<string, string>, env: NodeJS.ProcessEnv = {}) {
  const root = mkdtempSync(join(tmpdir(), 'cygnet-run-'))
  sandboxes.push(root)
  mkdirSync(join(root, 'test/property'), { recursive: true })
  writeFileSync(join(root, 'package.json'), '{ "type": "module" }')
  const peer = JSON.stringify(resolve(import.meta.dirname, 'peer.ts'))
  for (const [name, code] of Object.entries(files)) {
    const head = `import { describe, test } from 'node:test'\nimport { peerIsMissing } from ${peer}\n`
    writeFileSync(join(root, 'test/property', `${name}.test.ts`), `${head}${code}\n`)
  }
  const { status, stdout } = spawnSync(process.execPath, [runner, 'property', '--root', root], {
    encoding: 'utf8',
    env: { PATH: process.env['PATH'], ...env },
    timeout: 60_000,
  })
  return { status, stdout, lastLine: stdout.trimEnd().split('\n').at(-1) }
}

test('passed tests and subtests are counted, suites are not', () => {
  const code = "describe('s', () => { test('a', () => {}); test('b', (t) => t.test('c', () => {})) })"
  assert.deepEqual(pick(runTests({ one: code, two: "test('d', () => {})" })), [0, '4 passed, 0 failed'])
})

test('a failed test, its name and its reason are printed', () => {
  const run = runTests({ one: "test('a', () => {}); test('b', () => { throw new Error('because') })" })
  assert.deepEqual(pick(run), [1, '1 passed, 1 failed'])
  assert.match(run.stdout, /FAILED +b/)
  assert.match(run.stdout, /Error: because/)
})

const brokenFiles = {
  'a file that throws while it loads': "throw new Error('crash')",
  'a file without a test': '',
  'a process that ends badly after its tests': 'setImmediate(() => process.exit(3))',
  'a suite whose hook fails':
    "import { before } from 'node:test'; describe('s', () => { before(() => { throw 1 }) })",
}
for (const [what, code] of Object.entries(brokenFiles))
  test(`${what} counts as failed`, () => {
    assert.deepEqual(pick(runTests({ one: code })), [1, '0 passed, 1 failed'])
  })

const notRun = {
  'a skipped test': "test('x', { skip: 'no reason' }, () => {})",
  'a skipped suite': "describe.skip('x', () => { test('y', () => {}) })",
  'a test to do': "test.todo('x')",
  'a failing test to do': "test('x', { todo: true }, () => { throw new Error('later') })",
}
for (const [what, code] of Object.entries(notRun))
  test(`${what} is named, and counts as failed under CI=true`, () => {
    const files = { one: `${code}\ntest('ok', () => {})` }
    const here = runTests(files)
    assert.deepEqual(pick(here), [0, '1 passed, 0 failed'])
    assert.match(here.stdout, /SKIPPED OR TO DO: 1 checks did not run\n.*one\.test\.ts: x/)
    assert.deepEqual(pick(runTests(files, { CI: 'true' })), [1, '1 passed, 1 failed'])
  })

test('a missing peer is said loudly, and fails under CI=true', () => {
  const files = {
    one: "test('x', (t) => { peerIsMissing(t, 'tgtd', 'apt-get install tgt') })\ntest('ok', () => {})",
  }
  const here = runTests(files)
  assert.deepEqual(pick(here), [0, '1 passed, 0 failed'])
  assert.match(here.stdout, /MISSING PEERS: 1 .*\n +tgtd \(apt-get install tgt\)\n +.*one\.test\.ts: x/)
  assert.deepEqual(pick(runTests(files, { CI: 'true' })), [1, '1 passed, 1 failed'])
})

test('running nothing is a failure', () => {
  assert.deepEqual(pick(runTests({})), [1, '0 passed, 0 failed'])
})

function pick(run: ReturnType<typeof runTests>): [number | null, string | undefined] {
  return [run.status, run.lastLine]
}
