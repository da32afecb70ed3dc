import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { NodeDiskIO } from '../runtime/disk-io.ts'
import { loadSystemCalls } from '../runtime/page-cache-io-calls.ts'
import { stateOfOptions } from './config/options-state.ts'
import { defaultTraits, type LunState, type MediumState } from './config/state.ts'
import { closeDisks, openDisks } from './disks.ts'

const folder = mkdtempSync(join(tmpdir(), 'cygnet-disks-'))
after(() => rmSync(folder, { recursive: true }))
const io = new NodeDiskIO(loadSystemCalls().calls)

const lunsOf = (...media: MediumState[]): LunState[] =>
  media.map((medium, lun) => ({
    lun,
    kind: 'disk',
    medium,
    blockSizeBytes: 512,
    readOnly: false,
    traits: defaultTraits,
  }))
const fileOf = (path: string, createSizeBytes: number | null = null): MediumState => ({
  kind: 'file',
  path,
  createSizeBytes,
})

test('images and memory become LUNs in the order given', async () => {
  const path = join(folder, 'new.img')
  const disks = await openDisks(io, lunsOf(fileOf(path, 1 << 20), { kind: 'memory', sizeBytes: 1 << 16 }))
  assert.deepEqual(
    disks.map(({ lun, name, sizeBytes, readOnly }) => ({ lun, name, sizeBytes, readOnly })),
    [
      { lun: 0, name: path, sizeBytes: 1 << 20, readOnly: false },
      { lun: 1, name: 'memory', sizeBytes: 1 << 16, readOnly: false },
    ],
  )
  await closeDisks(disks)
  assert.equal(statSync(path).size, 1 << 20)
})

test('one disk that cannot be opened closes the others', async () => {
  const path = join(folder, 'held.img')
  const missing = join(folder, 'missing.img')
  writeFileSync(path, Buffer.alloc(512))
  const disks = lunsOf(fileOf(path), fileOf(missing))
  await assert.rejects(openDisks(io, disks), { code: 'STORE_MISSING', message: /missing\.img/ })
  // Images are locked while they are open.
  await closeDisks(await openDisks(io, lunsOf(fileOf(path))))
})

test('an image of part of a block is refused and closed', async () => {
  const path = join(folder, 'odd.img')
  writeFileSync(path, Buffer.alloc(1000))
  const disks = lunsOf(fileOf(path))
  await assert.rejects(openDisks(io, disks), {
    code: 'IMAGE_BLOCKS',
    message: /odd\.img has 1000 bytes/,
  })
  writeFileSync(path, Buffer.alloc(1024))
  await closeDisks(await openDisks(io, disks))
})

test('a disk of part of a block is not created', async () => {
  const path = join(folder, 'part.img')
  const disks = lunsOf(fileOf(path, 1000))
  await assert.rejects(openDisks(io, disks), { code: 'IMAGE_BLOCKS' })
  assert.equal(statSync(path, { throwIfNoEntry: false }), undefined)
})

test('an image of a disc is only read, in blocks of 2048 bytes, and not created', async () => {
  const path = join(folder, 'disc.iso')
  const [state] = stateOfOptions({ images: [path], createSizeBytes: 1 << 20 }).targets
  const luns = state?.luns ?? []
  await assert.rejects(openDisks(io, luns), { code: 'STORE_MISSING' })
  writeFileSync(path, Buffer.alloc(3 * 512))
  await assert.rejects(openDisks(io, luns), { code: 'IMAGE_BLOCKS', message: /2048-byte blocks/ })
  writeFileSync(path, Buffer.alloc(4096))
  // Two drives may have the same disc.
  const disks = [...(await openDisks(io, luns)), ...(await openDisks(io, luns))]
  for (const { kind, readOnly, blockSizeBytes, store } of disks) {
    assert.deepEqual([kind, readOnly, blockSizeBytes, store.can.write], ['cdrom', true, 2048, false])
  }
  await closeDisks(disks)
})
