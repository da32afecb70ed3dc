/** A file system image goes to the target and comes back through QEMU's initiator, byte for byte. */
import assert from 'node:assert/strict'
import { copyFileSync, existsSync, mkdirSync, truncateSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { peerPath, requirePeers } from '../support/peer.ts'
import { runOk, Scratch } from '../support/scratch.ts'
import { startSubject, type Subject, type SubjectOptions } from '../support/subject.ts'

const repository = fileURLToPath(new URL('../..', import.meta.url))

/** Copies what git knows of, or would take up, to a folder. */
async function copyRepository(to: string): Promise<number> {
  const listed = await runOk('git', ['ls-files', '-z', '--cached', '--others', '--exclude-standard'], {
    cwd: repository,
  })
  const names = listed.stdout.split('\0').filter((name) => name !== '' && existsSync(join(repository, name)))
  for (const name of names) {
    mkdirSync(dirname(join(to, name)), { recursive: true })
    copyFileSync(join(repository, name), join(to, name))
  }
  return names.length
}

/** A 64 MiB ext4 image of this repository's own files. */
async function makeImage(scratch: Scratch): Promise<string> {
  const folder = scratch.path('files')
  const image = scratch.path('repository.ext4')
  mkdirSync(folder)
  assert.ok((await copyRepository(folder)) > 10)
  await runOk(peerPath('mke2fs'), ['-q', '-t', 'ext4', '-d', folder, image, '64M'])
  return image
}

test('a file system image survives the trip to the target and back', async (t) => {
  if (!requirePeers(t, 'mke2fs', 'e2fsck', 'qemu-img', 'cmp')) return
  const scratch = new Scratch(t)
  const image = await makeImage(scratch)
  let copies = 0

  /** Writes `image` to a disk, reads it back, and checks that the copy is the same and sound. */
  async function roundTrip(subject: Subject, disk: number, headerDigest: boolean): Promise<void> {
    const copy = scratch.path(`copy-${copies++}.ext4`)
    const remote = headerDigest
      ? `driver=raw,file.${subject.imageOptions(disk, ',header-digest=crc32c').replaceAll(',', ',file.')}`
      : subject.url(disk)
    const asTarget = headerDigest ? ['--target-image-opts'] : ['-O', 'raw']
    const asSource = headerDigest ? ['--image-opts'] : ['-f', 'raw']
    await runOk(peerPath('qemu-img'), ['convert', '-n', '-f', 'raw', ...asTarget, image, remote])
    await runOk(peerPath('qemu-img'), ['convert', ...asSource, '-O', 'raw', remote, copy])
    await runOk(peerPath('cmp'), [image, copy])
    await runOk(peerPath('e2fsck'), ['-f', '-n', copy])
  }

  /** The same round trip against a target of its own; afterwards the file behind it must hold the image too. */
  async function withSubject(options: SubjectOptions, headerDigest = false): Promise<void> {
    const subject = await startSubject(scratch, options)
    for (let disk = 0; disk < subject.disks; disk++) await roundTrip(subject, disk, headerDigest)
    const { code } = await subject.stop()
    if (subject.name === 'cygnet') assert.equal(code, 0)
    for (const file of options.images ?? []) await runOk(peerPath('cmp'), [image, file])
  }

  const blank = (name: string): string => {
    const path = scratch.path(name)
    copyFileSync('/dev/null', path)
    truncateSync(path, 64 << 20)
    return path
  }

  await t.test('as it is', () => withSubject({ images: [blank('plain')] }))
  await t.test('with a CRC32C header digest', () => withSubject({ images: [blank('digest')] }, true))
  await t.test('with blocks of 4096 bytes', () => withSubject({ images: [blank('4k')], blockSize: 4096 }))
  await t.test('on each of several LUNs', () =>
    withSubject({ images: [blank('first'), blank('second'), blank('third')] }),
  )
  await t.test('on a disk that --size creates', () =>
    withSubject({ images: [scratch.path('created')], size: '64M' }),
  )
  await t.test('on a disk in memory', () => withSubject({ memory: '64M' }))
})
