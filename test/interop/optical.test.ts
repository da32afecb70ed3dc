/** An image of a disc, served as a CD: libiscsi's tools, QEMU's initiator, and machines that boot from it. */
import assert from 'node:assert/strict'
import { mkdirSync, statSync, writeFileSync } from 'node:fs'
import { test } from 'node:test'
import { makeBootDisc, VOLUME } from '../support/boot-disc.ts'
import { peerPath, requirePeers } from '../support/peer.ts'
import { run, runOk, Scratch } from '../support/scratch.ts'
import { mainScript, startCygnet } from '../support/subject.ts'

const BOOT_TIMEOUT_MS = 90_000
/** QEMU's exit code where the boot sector came to its end. */
const BOOTED = 33

/** A machine without disks of its own. */
const machine = [
  ...['-M', 'pc', '-accel', 'tcg', '-m', '64', '-nodefaults', '-display', 'none', '-monitor', 'none'],
  ...['-no-reboot', '-serial', 'stdio', '-device', 'isa-debug-exit,iobase=0xf4,iosize=4'],
]

test('an .iso is a CD to other programs', async (t) => {
  if (
    !requirePeers(t, 'xorriso', 'iscsi-inq', 'iscsi-ls', 'iscsi-readcapacity16', 'qemu-img', 'qemu-io', 'cmp')
  )
    return
  const scratch = new Scratch(t)
  const disc = await makeBootDisc(scratch, 'disc')
  const subject = await startCygnet(scratch, { images: [disc.path] })

  await t.test('iscsi-inq and iscsi-ls see a drive with a removable medium', async () => {
    const { stdout } = await runOk(peerPath('iscsi-inq'), [subject.url()])
    assert.match(stdout, /^Peripheral Device Type:MMC$/m)
    assert.match(stdout, /^Removable:1$/m)
    const list = await runOk(peerPath('iscsi-ls'), ['-s', `iscsi://${subject.portal}`])
    assert.match(list.stdout, /^Lun:0 +Type:MMC$/m)
  })

  await t.test('iscsi-readcapacity16 reads its size in blocks of 2048 bytes', async () => {
    const { stdout } = await runOk(peerPath('iscsi-readcapacity16'), [subject.url()])
    assert.match(stdout, /^LOGICAL BLOCK LENGTH IN BYTES:2048$/m)
    assert.match(stdout, new RegExp(`^Total size:${statSync(disc.path).size}$`, 'm'))
  })

  await t.test('QEMU reads the image, and cannot write to it', async () => {
    await runOk(peerPath('qemu-img'), ['compare', '-f', 'raw', '-F', 'raw', disc.path, subject.url()])
    const write = await run(peerPath('qemu-io'), ['-f', 'raw', '-c', 'write 0 2k', subject.url()])
    assert.notEqual(write.code, 0)
  })

  await t.test('cygnet copy reads the image, and does not write to it', async () => {
    const back = scratch.path('back.iso')
    await runOk(process.execPath, [mainScript, 'copy', subject.url(), back])
    await runOk(peerPath('cmp'), [disc.path, back])
    const { code, stderr } = await run(process.execPath, [mainScript, 'copy', disc.path, subject.url()])
    assert.notEqual(code, 0)
    assert.match(stderr, /cannot be written to/)
  })
})

test('machines boot from an .iso', { timeout: 6 * BOOT_TIMEOUT_MS }, async (t) => {
  if (!requirePeers(t, 'xorriso', 'qemu-system-x86_64', 'qemu-img')) return
  const scratch = new Scratch(t)
  const disc = await makeBootDisc(scratch, 'disc')
  const subject = await startCygnet(scratch, { images: [disc.path] })
  const boots = async (...devices: string[]): Promise<void> => {
    const { code, stdout, stderr } = await run(peerPath('qemu-system-x86_64'), [...machine, ...devices], {
      timeoutMs: BOOT_TIMEOUT_MS,
    })
    assert.equal(code, BOOTED, `${stdout}\n${stderr}`)
    assert.ok(stdout.includes(VOLUME), stdout)
  }
  const drive = ['-drive', `file=${subject.url()},format=raw,if=none,id=cd,readonly=on`]

  await t.test('SeaBIOS, whose commands reach the drive as they are', async () => {
    await boots(...drive, '-device', 'virtio-scsi-pci', '-device', 'scsi-block,drive=cd,bootindex=0')
  })

  await t.test('a PC with an IDE drive, whose disc it is', async () => {
    await boots(...drive, '-device', 'ide-cd,drive=cd,bootindex=0')
  })

  await t.test('iPXE, which is an iSCSI initiator itself', async () => {
    const folder = scratch.path('tftp')
    mkdirSync(folder)
    const root = `iscsi:10.0.2.2:6:${subject.port}:${subject.lun()}:${subject.iqn}`
    writeFileSync(`${folder}/boot.ipxe`, `#!ipxe\nsanboot ${root}\n`)
    await boots(
      ...['-netdev', `user,id=net,tftp=${folder},bootfile=boot.ipxe`],
      ...['-device', 'virtio-net-pci,netdev=net,bootindex=0'],
    )
  })
})
