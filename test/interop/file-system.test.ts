/**
 * A LUN as a block device with ext4: a source tree and its tests, a database whose writer is killed, a target that crashes; then what
 * Linux's own initiator reads of it.
 */
import assert from 'node:assert/strict'
import { mkdirSync, readFileSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { BlockDisk, requireBlockDisk } from '../support/block-disk.ts'
import { contentOf, ROWS } from '../support/database-writer.ts'
import { requireGuest, startGuest } from '../support/guest.ts'
import { peerPath } from '../support/peer.ts'
import { exitOf, runOk, Scratch } from '../support/scratch.ts'
import { collect, sleep, startCygnet, until } from '../support/subject.ts'

const TIMEOUT_MS = 400_000
const ROUND_MS = 1200
const repository = fileURLToPath(new URL('../..', import.meta.url))
const writer = fileURLToPath(new URL('../support/database-writer.ts', import.meta.url))
/** Unpacked onto the file system; some of its tests are run there. */
const SOURCES = ['packages/cygnet/src', 'docs', 'test']
const TESTS = 'packages/cygnet/src/{base,pdu}/*.test.ts'
/** Not as a part of this run. */
const NODE = { timeoutMs: 60_000, env: { NODE_TEST_CONTEXT: undefined } }

/** Lets a writer work on the database, and kills it. The last transaction that it said was committed. */
async function writeAndKill(scratch: Scratch, file: string, meanwhile: () => Promise<void>): Promise<number> {
  const child = scratch.spawn(process.execPath, ['--no-warnings', writer, file])
  const output = collect(child)
  await until(() => output.stdout.includes('\n') || child.exitCode !== null, 20_000)
  await meanwhile()
  const before = output.stdout.length
  await until(() => output.stdout.length > before || child.exitCode !== null, 20_000)
  assert.equal(child.exitCode, null, output.stderr)
  child.kill('SIGKILL')
  await exitOf(child)
  await sleep(50)
  return Number(output.stdout.trimEnd().split('\n').at(-1))
}

/** Every committed transaction is there and whole, and nothing else is. */
function checkDatabase(file: string, committed: number): void {
  using database = new DatabaseSync(file)
  assert.deepEqual({ ...database.prepare('PRAGMA integrity_check').get() }, { integrity_check: 'ok' })
  const rows = database.prepare('SELECT id, transaction_id, content FROM rows').all() as {
    id: number
    transaction_id: number
    content: string
  }[]
  for (const { id, transaction_id: transaction, content } of rows)
    assert.equal(content, contentOf(id, transaction), `row ${id}`)
  const last = rows.reduce((most, row) => Math.max(most, row.transaction_id), 0)
  assert.ok(last === committed || last === committed + 1, `${last} of ${committed} transactions are there`)
  const ids = new Set(rows.map(({ id }) => id))
  for (let transaction = 1; transaction <= last; transaction++)
    for (let i = 1; i < ROWS; i++) assert.ok(ids.has(transaction * ROWS + i), `transaction ${transaction}`)
}

/** A line for each file below a folder, in order: its SHA-256 and its path. */
async function contentSums(folder: string): Promise<string> {
  const pipeline = 'find . -type f -print0 | sort -z | xargs -0 sha256sum'
  return (await runOk('bash', ['-o', 'pipefail', '-c', pipeline], { cwd: folder })).stdout
}

/** What e2fsck says last, without the device's name: files and blocks in use, and how many there are. */
function usage(e2fsck: string): string | undefined {
  return /: (\d+\/\d+ files .* blocks)$/m.exec(e2fsck)?.[1]
}

test('ext4 on a LUN: a source tree, its tests, a database, and a target that crashes', {
  timeout: TIMEOUT_MS,
}, async (t) => {
  if (!requireBlockDisk(t)) return
  const scratch = new Scratch(t)
  const images = [scratch.path('lun.img')]
  let target = await startCygnet(scratch, { images, size: '512M' })
  const disk = await BlockDisk.attach(scratch, target.url())
  const folder = scratch.path('mnt')
  mkdirSync(folder)
  await runOk(peerPath('mke2fs'), ['-q', '-F', '-t', 'ext4', disk.device])
  await disk.mount(folder)

  const tree = `${folder}/tree`
  const original = scratch.path('tree')
  await t.test('a source tree is unpacked, and its tests run there', async () => {
    const pack = scratch.path('tree.tar')
    await runOk('tar', ['-C', repository, '-cf', pack, 'package.json', ...SOURCES])
    for (const to of [tree, original]) {
      mkdirSync(to)
      // oxlint-disable-next-line no-await-in-loop -- one after the other
      await runOk('tar', ['-C', to, '-xf', pack])
    }
    symlinkSync(`${repository}/node_modules`, `${tree}/node_modules`)
    const { stdout } = await runOk(process.execPath, ['--test', TESTS], { cwd: tree, ...NODE })
    assert.match(stdout, /^ℹ fail 0$/m)
  })

  const database = `${folder}/rows.db`
  let committed = 0
  await t.test('what a database has committed outlives its writer, and the target', async () => {
    for (const crashes of [false, true, false]) {
      // oxlint-disable-next-line no-await-in-loop -- round after round
      committed = await writeAndKill(scratch, database, async () => {
        await sleep(ROUND_MS / 2)
        if (crashes) {
          await target.crash()
          target = await startCygnet(scratch, { images, port: target.port })
        }
        await sleep(ROUND_MS / 2)
      })
      checkDatabase(database, committed)
    }
    t.diagnostic(`${committed} transactions`)
    assert.ok(committed > 20)
    assert.match(disk.log.stderr, /path restored/)
    assert.doesNotMatch(disk.log.stderr, /NBD request failed/)
  })

  let sums = ''
  await t.test('all of it is there after another mount', async () => {
    await disk.unmount()
    await runOk(peerPath('e2fsck'), ['-f', '-n', disk.device])
    await disk.mount(folder)
    await runOk('diff', ['-r', '--exclude=node_modules', original, tree])
    checkDatabase(database, committed)
    sums = await contentSums(folder)
  })

  let used: string | undefined
  await t.test('and in the image, when everybody has let go', async () => {
    assert.equal(await disk.detach(), 0)
    assert.equal((await target.stop()).code, 0)
    const { stdout } = await runOk(peerPath('e2fsck'), ['-f', '-n', images[0] ?? ''])
    used = usage(stdout)
    assert.ok(used, stdout)
  })

  await t.test("and Linux's own initiator reads the same", async (guestTest) => {
    if (!(await requireGuest(guestTest))) return
    target = await startCygnet(scratch, { images, port: target.port })
    // What the guest knows this machine's loopback address as.
    const portal = `10.0.2.2:${target.port}`
    const guest = startGuest(scratch, 'kernel-read-back.sh', { PORTAL: portal, TARGET: target.iqn })
    assert.equal(await guest.finished, 0, guest.console().slice(-6000))
    guestTest.diagnostic(/guest: exit code.*/.exec(guest.console())?.[0] ?? '')
    assert.equal(usage(readFileSync(join(guest.folder, 'e2fsck'), 'utf8')), used)
    const lines = sums.split('\n')
    guestTest.diagnostic(`${lines.length - 1} files`)
    assert.match(sums, /^[0-9a-f]{64}  \.\/rows\.db$/m)
    assert.ok(lines.length > 600)
    assert.deepEqual(readFileSync(join(guest.folder, 'sums'), 'utf8').split('\n'), lines)
    assert.equal((await target.stop()).code, 0)
  })
})
