import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { after, test } from 'node:test'
import { pathToFileURL } from 'node:url'
import { folders, forbiddenFolders } from './layers.ts'

const root = resolve(import.meta.dirname, '../..')
const sandbox = mkdtempSync(join(tmpdir(), 'cygnet-layers-'))
after(() => rmSync(sandbox, { recursive: true }))

/** Source below `packages/cygnet/src/`, and whether the lint step must refuse it. */
const cases: readonly { path: string; code: string; refused: boolean }[] = [
  { path: 'pdu/up.ts', code: "import '../session/x.ts'", refused: true },
  { path: 'pdu/sideways.ts', code: "import '../scsi/x.ts'", refused: true },
  { path: 'pdu/down.ts', code: "import '../base/x.ts'", refused: false },
  { path: 'pdu/own.ts', code: "import './x.ts'", refused: false },
  { path: 'pdu/entry.ts', code: "import '../index.ts'", refused: true },
  {
    path: 'pdu/type-only.ts',
    code: "import type { X } from '../device/x.ts'\nexport type Y = X",
    refused: true,
  },
  { path: 'pdu/re-export.ts', code: "export { x } from '../device/x.ts'", refused: true },
  { path: 'pdu/dynamic.ts', code: "export const x = () => import('../device/x.ts')", refused: true },
  { path: 'pdu/package.ts', code: "import 'pino'", refused: true },
  { path: 'pdu/scoped-package.ts', code: "import '@node-rs/crc32'", refused: true },
  { path: 'pdu/builtin.ts', code: "import 'node:fs'", refused: true },
  { path: 'pdu/old-builtin.ts', code: "import 'fs'", refused: true },
  { path: 'pdu/date.ts', code: 'export const x = () => Date.now()', refused: true },
  { path: 'pdu/timer.ts', code: 'export const x = (f: () => void) => setTimeout(f, 1)', refused: true },
  { path: 'pdu/random.ts', code: 'export const x = () => Math.random()', refused: true },
  { path: 'pdu/process.ts', code: 'export const x = () => process.pid', refused: true },
  { path: 'pdu/global-this.ts', code: 'export const x = () => globalThis.Date', refused: true },
  { path: 'pdu/x.test.ts', code: "import 'node:fs'\nexport const x = () => Date.now()", refused: false },
  { path: 'pdu/x.test-helper.ts', code: "import 'fast-check'", refused: false },
  { path: 'pdu/layers.test.ts', code: "import '../target/x.ts'", refused: true },
  { path: 'device/session.ts', code: "import '../session/x.ts'", refused: true },
  { path: 'device/deep/pdu.ts', code: "import '../../pdu/x.ts'", refused: true },
  { path: 'device/scsi.ts', code: "import '../scsi/x.ts'", refused: false },
  { path: 'session/auth/hash.ts', code: "import 'node:crypto'", refused: false },
  { path: 'session/auth/net.ts', code: "import 'node:net'", refused: true },
  { path: 'session/auth/store.ts', code: "import '../../store/x.ts'", refused: true },
  { path: 'session/target-role/shared.ts', code: "import '../keys.ts'", refused: false },
  { path: 'session/target-role/other.ts', code: "import '../initiator-role/x.ts'", refused: true },
  { path: 'session/initiator-role/other.ts', code: "import '../target-role/x.ts'", refused: true },
  { path: 'session/initiator-role/x.test.ts', code: "import '../target-role/x.ts'", refused: false },
  { path: 'session/hash.ts', code: "import 'node:crypto'", refused: true },
  { path: 'store/hash.ts', code: "import 'node:crypto'", refused: false },
  { path: 'store/file.ts', code: "import 'node:fs'", refused: true },
  { path: 'initiator/store.ts', code: "import '../store/x.ts'", refused: true },
  { path: 'target/device.ts', code: "import '../device/x.ts'", refused: false },
  { path: 'target/runtime.ts', code: "import '../runtime/x.ts'", refused: true },
  { path: 'runtime/net.ts', code: "import 'node:net'\nexport const x = () => Date.now()", refused: false },
  { path: 'sim/net.ts', code: "import 'node:net'", refused: true },
  { path: 'runtime/sim.ts', code: "import '../sim/x.ts'", refused: true },
  { path: 'daemon/cli.ts', code: "import '../cli/x.ts'", refused: true },
  { path: 'cli/daemon.ts', code: "import '../daemon/x.ts'", refused: false },
]

function lint(): Set<string> {
  const config = pathToFileURL(join(root, 'oxlint.config.ts')).href
  writeFileSync(join(sandbox, 'package.json'), '{ "type": "module" }')
  writeFileSync(join(sandbox, 'oxlint.config.ts'), `export { default } from '${config}'\n`)
  symlinkSync(join(root, 'node_modules'), join(sandbox, 'node_modules'))
  for (const { path, code } of cases) {
    const file = join(sandbox, 'packages/cygnet/src', path)
    mkdirSync(dirname(file), { recursive: true })
    writeFileSync(file, `${code}\n`)
  }
  const oxlint = join(root, 'node_modules/.bin/oxlint')
  const options = ['-c', 'oxlint.config.ts', '--format', 'json', 'packages']
  const { stdout, stderr } = spawnSync(process.execPath, [oxlint, ...options], {
    cwd: sandbox,
    encoding: 'utf8',
  })
  assert.match(stdout, /"diagnostics"/, `oxlint did not run: ${stdout}${stderr}`)
  const report = JSON.parse(stdout) as { diagnostics: { code: string; filename: string }[] }
  return new Set(
    report.diagnostics
      .filter(({ code }) => code.includes('no-restricted-'))
      .map(({ filename }) => filename.replace('packages/cygnet/src/', '')),
  )
}

test('the lint step refuses exactly the imports and globals that the layers forbid', () => {
  const refused = lint()
  const expected = cases.filter((one) => one.refused).map((one) => one.path)
  assert.deepEqual([...refused].toSorted(), expected.toSorted())
})

test('no two folders may import each other', () => {
  for (const a of folders)
    for (const b of folders)
      if (a !== b)
        assert.ok(
          forbiddenFolders(a).includes(b.name) || forbiddenFolders(b).includes(a.name),
          `${a.name}/ and ${b.name}/ may import each other`,
        )
})
