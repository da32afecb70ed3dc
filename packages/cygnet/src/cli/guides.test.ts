/** The programs in the guides run as they stand, but for the target's address. */
import assert from 'node:assert/strict'
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { after, before, test } from 'node:test'
import { promisify } from 'node:util'

const root = resolve(import.meta.dirname, '../../../..')
const bin = join(root, 'packages/cygnet/bin/cygnet.cjs')
const library = join(root, 'packages/cygnet/src/initiator.ts')
const folder = mkdtempSync(join(tmpdir(), 'cygnet-guides-'))
const run = promisify(execFile)
let server: ChildProcess | undefined
let port = ''

/** The targets of the examples; everybody on this machine may log in. */
const configuration = {
  portals: [{ listen: '127.0.0.1:0' }],
  targets: {
    'iqn.2026-11.dev.example:demo': { luns: { 0: { memory: '1M' } } },
    'iqn.2026-11.dev.example:db': { luns: { 0: { memory: '1M' } } },
  },
}

before(async () => {
  writeFileSync(join(folder, 'cygnet.yaml'), JSON.stringify(configuration), { mode: 0o600 })
  const child = spawn(process.execPath, [bin, 'serve', '-c', 'cygnet.yaml'], { cwd: folder })
  server = child
  let output = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => (output += text))
  while (!/^Ready: .*\n/m.test(output)) {
    // oxlint-disable-next-line no-await-in-loop -- more output
    await once(child.stdout, 'data', { signal: AbortSignal.timeout(20_000) })
  }
  port = /^Ready: iscsi:\/\/127\.0\.0\.1:(\d+)\//m.exec(output)?.[1] ?? ''
})
after(() => {
  server?.kill('SIGKILL')
  rmSync(folder, { recursive: true })
})

const programs = (guide: string): string[] =>
  [...readFileSync(join(root, 'docs/guides', guide), 'utf8').matchAll(/```ts\n(.*?)```/gs)].map(
    ([, text = '']) => text,
  )

/** What a program prints, with the library of this checkout and the server's port. */
async function printed(program: string): Promise<string> {
  const path = join(folder, 'program.ts')
  const text = program
    .replaceAll("'cygnet/initiator'", JSON.stringify(library))
    .replaceAll('127.0.0.1:3260', `127.0.0.1:${port}`)
    .replaceAll('//127.0.0.1/', `//127.0.0.1:${port}/`)
    .replaceAll("host: '127.0.0.1'", `host: '127.0.0.1', port: ${port}`)
  writeFileSync(path, text)
  const env = { ...process.env, CYGNET_SECRET: 'secret-of-the-host' }
  const { stdout } = await run(process.execPath, [path], { timeout: 20_000, env })
  return stdout
}

test('use a LUN: the programs', async () => {
  const [first = '', second = '', ...others] = programs('use-a-lun.md')
  assert.equal(others.length, 0)
  assert.match(await printed(first), /^1048576 512 \{[^]*\}\nUint8Array\(3\) \[ 1, 2, 3 \]\n$/)
  assert.equal(await printed(second), 'twenty-two bytes of it\nPAST_END\n')
})

test('the initiator: the programs', async () => {
  const [discovery = '', execute = '', paths = '', ...others] = programs('initiator.md')
  assert.equal(others.length, 0)
  assert.equal(
    await printed(discovery),
    ['db', 'demo'].map((name) => `iqn.2026-11.dev.example:${name} 127.0.0.1 ${port} 1048576\n`).join(''),
  )
  // A unit attention, as the guide says: sent again, the command is carried out.
  const again = execute.slice(execute.indexOf('await session.execute('))
  assert.equal(
    await printed(
      `${execute}\nconst second = ${again}\nconsole.log(status, second.status, second.dataInBytes)\n`,
    ),
    '2 0 4096\n',
  )
  // Its portals are those of a network that is not here.
  assert.match(paths, /paths: 'discover'/)
})
