import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { after, test } from 'node:test'

const packageFolder = resolve(import.meta.dirname, '../..')
const bin = join(packageFolder, 'bin/cygnet.cjs')
const folder = mkdtempSync(join(tmpdir(), 'cygnet-config-cli-'))
after(() => rmSync(folder, { recursive: true }))

function cygnet(...args: string[]) {
  const options = {
    cwd: folder,
    encoding: 'utf8',
    timeout: 30_000,
    env: { ...process.env, SECRET: 'a long enough secret' },
  } as const
  const { status, stdout, stderr } = spawnSync(process.execPath, [bin, ...args], options)
  return { status, stdout, stderr }
}

test('a valid file is told in one line, its warnings on stderr', () => {
  writeFileSync(
    join(folder, 'cygnet.yaml'),
    `targets:
  iqn.2026-11.dev.example:db:
    luns: { 0: { memory: 1M }, 1: { memory: 1M } }
    auth: { users: [{ user: a, secretEnv: SECRET }, { user: b, secret: an inline secret }] }
`,
  )
  const { status, stdout, stderr } = cygnet('config', 'check')
  assert.equal(status, 0)
  assert.equal(stdout, 'cygnet.yaml is valid: 1 portal, 1 target, 2 LUNs.\n')
  assert.match(stderr, /^cygnet\.yaml:4:72: warning: [^\n]*\n$/)
})

test('an invalid file is refused with a line for each error, and no stack trace', () => {
  writeFileSync(join(folder, 'bad.yaml'), 'targets:\n  disk: {}\nlogs: {}\n')
  const { status, stdout, stderr } = cygnet('config', 'check', '-c', 'bad.yaml')
  assert.equal(status, 1)
  assert.equal(stdout, '')
  assert.match(
    stderr,
    /^cygnet: bad\.yaml has 3 errors:\nbad\.yaml:2:3: error: .*\nbad\.yaml:2:3: error: .*\nbad\.yaml:3:1: error: .* did you mean log\?\n$/,
  )
})

test('a missing file is refused with what to do', () => {
  const { status, stderr } = cygnet('config', 'check', '--config', 'none.yaml')
  assert.equal(status, 1)
  assert.match(stderr, /^cygnet: none\.yaml does not exist: write one/)
})

test('the schema is printed as the package holds it', () => {
  const { status, stdout } = cygnet('config', 'schema')
  assert.equal(status, 0)
  assert.equal(stdout, readFileSync(join(packageFolder, 'cygnet.schema.json'), 'utf8'))
})

test('what needs no configuration file does not load its parser and schema', () => {
  const recorder = join(folder, 'recorder.mjs')
  writeFileSync(
    recorder,
    `import { registerHooks } from 'node:module'
import { writeSync } from 'node:fs'
registerHooks({
  resolve(specifier, context, next) {
    if (specifier === 'yaml' || specifier === 'zod') writeSync(2, \`loads \${specifier}\\n\`)
    return next(specifier, context)
  },
})
`,
  )
  const run = (...args: string[]) =>
    spawnSync(process.execPath, ['--import', recorder, bin, ...args], { cwd: folder, encoding: 'utf8' })
      .stderr
  const optionsState = resolve(import.meta.dirname, '../daemon/config/options-state.ts')
  assert.doesNotMatch(run('serve', '--memory', '1000'), /loads/)
  assert.equal(
    spawnSync(process.execPath, ['--import', recorder, optionsState], { encoding: 'utf8' }).stderr,
    '',
  )
  assert.match(run('config', 'schema'), /loads zod/)
})
