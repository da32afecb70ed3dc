/** What libiscsi's tools and QEMU say about the served disks, read for its meaning. */
import assert from 'node:assert/strict'
import { statSync } from 'node:fs'
import { test } from 'node:test'
import { peerPath, requirePeers } from '../support/peer.ts'
import { RawInitiator } from '../support/raw-initiator.ts'
import { run, runOk, Scratch } from '../support/scratch.ts'
import { startSubject, type Subject } from '../support/subject.ts'

const MIB = 1 << 20

/** One VPD page, or the standard INQUIRY data without a page, as `iscsi-inq` prints it. */
async function inquiry(url: string, page?: number): Promise<string> {
  const which = page === undefined ? [] : ['-e', '1', '-c', String(page)]
  return (await runOk(peerPath('iscsi-inq'), [...which, url])).stdout
}

/** The value behind `name:` in a tool's output. */
function valueOf(output: string, name: string): string | undefined {
  return output
    .split(/\n|(?<=\d) (?=[A-Z_]+:)|(?<=\d) (?=LOGICAL BLOCKS)/)
    .find((line) => line.startsWith(`${name}:`))
    ?.slice(name.length + 1)
}

/** Serial number and device identification of a disk, as bytes. */
async function identity(subject: Subject, disk: number): Promise<{ serial: string; identification: string }> {
  const initiator = await RawInitiator.open(subject.port, { target: subject.iqn })
  const page = async (code: number): Promise<Buffer> => {
    const lun = subject.lun(disk)
    const inquiryCdb = [0x12, 1, code, 0x01, 0, 0]
    // The first command of a nexus may report a unit attention; INQUIRY never does.
    const { status, data } = await initiator.command(inquiryCdb, { lun, read: 256 })
    assert.equal(status, 0)
    assert.equal(data.readUInt8(1), code)
    return data.subarray(4, 4 + data.readUInt16BE(2))
  }
  const serial = (await page(0x80)).toString('latin1')
  const identification = (await page(0x83)).toString('hex')
  await initiator.logout()
  return { serial, identification }
}

function qemuIo(url: string, ...commands: string[]) {
  return runOk(peerPath('qemu-io'), ['-f', 'raw', ...commands.flatMap((command) => ['-c', command]), url])
}

test('libiscsi tools and QEMU find an ordinary disk', async (t) => {
  if (!requirePeers(t, 'iscsi-ls', 'iscsi-inq', 'iscsi-readcapacity16', 'qemu-img', 'qemu-io')) return
  const scratch = new Scratch(t)
  const images = [scratch.path('first'), scratch.path('second')]
  let subject = await startSubject(scratch, { images, size: '64M' })
  const { iqn, port } = subject

  await t.test('iscsi-ls discovers the target and lists its LUNs with their sizes', async () => {
    const { stdout } = await runOk(peerPath('iscsi-ls'), ['-s', `iscsi://${subject.portal}`])
    assert.match(stdout, new RegExp(`^Target:${iqn} Portal:${subject.portal},1$`, 'm'))
    for (const disk of [0, 1]) {
      // The tool gives the last block's address, in whole megabytes.
      assert.match(stdout, new RegExp(`^Lun:${subject.lun(disk)} +Type:DIRECT_ACCESS \\(Size:63M\\)$`, 'm'))
    }
    assert.equal(stdout.match(/DIRECT_ACCESS/g)?.length, 2)
  })

  await t.test('iscsi-inq reads the standard INQUIRY data', async () => {
    const output = await inquiry(subject.url())
    assert.equal(valueOf(output, 'Peripheral Qualifier'), 'CONNECTED')
    assert.equal(valueOf(output, 'Peripheral Device Type'), 'DIRECT_ACCESS')
    assert.equal(valueOf(output, 'Removable'), '0')
    assert.equal(valueOf(output, 'CmdQue'), '1')
    assert.ok(Number.parseInt(valueOf(output, 'Version') ?? '', 10) >= 5, 'SPC-3 or later')
    assert.match(output, /^Vendor:\S/m)
    assert.match(output, /^Product:\S/m)
  })

  await t.test('iscsi-inq lists the VPD pages', async () => {
    const output = await inquiry(subject.url(), 0x00)
    const pages = [...output.matchAll(/^Page:0x([0-9a-f]+)/gm)].map((match) =>
      Number.parseInt(match[1] ?? '', 16),
    )
    for (const page of [0x00, 0x80, 0x83, 0xb0, 0xb1, 0xb2]) {
      assert.ok(pages.includes(page), `page 0x${page.toString(16)} is listed`)
    }
    assert.deepEqual(
      pages,
      pages.toSorted((a, b) => a - b),
      'in ascending order',
    )
  })

  await t.test('iscsi-inq reads the unit serial number', async () => {
    assert.match(await inquiry(subject.url(), 0x80), /^Unit Serial Number:\[ *[0-9A-Za-z]+ *\]$/m)
  })

  await t.test('iscsi-inq reads the device identification', async () => {
    const output = await inquiry(subject.url(), 0x83)
    assert.match(output, /Association:\(0\) LOGICAL_UNIT\nDesignator Type:\(3\) NAA/)
  })

  await t.test('iscsi-inq reads the block limits', async () => {
    const output = await inquiry(subject.url(), 0xb0)
    assert.ok(Number(valueOf(output, 'maximum unmap lba count')) > 0)
    assert.ok(Number(valueOf(output, 'maximum unmap block descriptor count')) > 0)
  })

  await t.test('iscsi-inq reads the block device characteristics', async () => {
    assert.match(await inquiry(subject.url(), 0xb1), /^Medium Rotation Rate:/m)
  })

  await t.test('iscsi-inq reads that the disk is thin, with every way to unmap', async () => {
    const output = await inquiry(subject.url(), 0xb2)
    for (const bit of ['lbpu', 'lbpws', 'lbpws10', 'lbprz']) assert.equal(valueOf(output, bit), '1', bit)
    assert.equal(valueOf(output, 'provisioning type'), '2')
  })

  await t.test('iscsi-readcapacity16 reads the size', async () => {
    const { stdout } = await runOk(peerPath('iscsi-readcapacity16'), [subject.url()])
    assert.equal(valueOf(stdout, 'RETURNED LOGICAL BLOCK ADDRESS'), '131071')
    assert.equal(valueOf(stdout, 'LOGICAL BLOCK LENGTH IN BYTES'), '512')
    assert.equal(valueOf(stdout, 'LBPME'), '1')
    assert.equal(valueOf(stdout, 'PROT_EN'), '0')
    assert.equal(valueOf(stdout, 'Total size'), '67108864')
  })

  await t.test('what qemu-img bench writes is there', async () => {
    const load = ['bench', '-f', 'raw', '-t', 'none', '-c', '4096', '-d', '32', '-s', '4k']
    await runOk(peerPath('qemu-img'), [...load, '-w', '--pattern=90', subject.url()])
    await runOk(peerPath('qemu-img'), [...load, subject.url()])
    await qemuIo(subject.url(), 'read -P 90 0 16M', 'read -P 0 16M 1M')
  })

  await t.test('qemu-io reads back the patterns that it wrote', async () => {
    await qemuIo(
      subject.url(),
      'write -P 0xab 1M 64k',
      'write -f -P 0xcd 1088k 4k',
      'write -P 0x11 16777728 512',
      'write -P 0x77 40M 8M',
      'write -P 0x99 67108352 512',
      'flush',
      'read -P 0xab 1M 64k',
      'read -P 0xcd 1088k 4k',
      'read -P 90 1092k 4k',
      'read -P 0x11 16777728 512',
      'read -P 0 16778240 512',
      'read -P 0x77 40M 8M',
      'read -P 0x99 67108352 512',
    )
    await qemuIo(subject.url(), 'read -P 0xab 1M 64k', 'read -P 0x77 40M 8M')
  })

  await t.test('a LUN has its own data', async () => {
    await qemuIo(subject.url(1), 'read -P 0 0 64M', 'write -P 0x22 1M 4k')
    await qemuIo(subject.url(0), 'read -P 0xab 1M 4k')
  })

  await t.test('write-zeroes writes zeroes, with and without unmapping', async () => {
    await qemuIo(
      subject.url(),
      'write -P 0x33 20M 2M',
      'write -z 20M 64k',
      'write -z -u 21M 512k',
      'read -P 0 20M 64k',
      'read -P 0x33 20544k 4k',
      'read -P 0 21M 512k',
      'read -P 0x33 22016k 4k',
    )
  })

  await t.test('discarded blocks read as zeroes and give their space back', async () => {
    const usedBytes = () => statSync(images[0] ?? '').blocks * 512
    await qemuIo(subject.url(), 'write -P 0x44 24M 8M', 'flush')
    const before = usedBytes()
    await qemuIo(subject.url(), 'discard 24M 8M', 'read -P 0 24M 8M', 'flush')
    assert.ok(before - usedBytes() >= 7 * MIB, `${before - usedBytes()} bytes given back`)
  })

  await t.test('serial number and identifier differ by LUN and outlive the process', async () => {
    const first = [await identity(subject, 0), await identity(subject, 1)]
    assert.notEqual(first[0]?.serial, first[1]?.serial)
    assert.notEqual(first[0]?.identification, first[1]?.identification)
    await subject.stop()
    subject = await startSubject(scratch, { images, size: '64M', port })
    assert.equal(subject.iqn, iqn, 'the target keeps its name')
    assert.deepEqual([await identity(subject, 0), await identity(subject, 1)], first)
    await qemuIo(subject.url(), 'read -P 0x77 40M 8M')
  })
})

test('a disk with blocks of 4096 bytes', async (t) => {
  if (!requirePeers(t, 'iscsi-readcapacity16', 'qemu-io')) return
  const scratch = new Scratch(t)
  const subject = await startSubject(scratch, {
    images: [scratch.path('disk')],
    size: '64M',
    blockSize: 4096,
  })

  await t.test('iscsi-readcapacity16 reads its size', async () => {
    const { stdout } = await runOk(peerPath('iscsi-readcapacity16'), [subject.url()])
    assert.equal(valueOf(stdout, 'RETURNED LOGICAL BLOCK ADDRESS'), '16383')
    assert.equal(valueOf(stdout, 'LOGICAL BLOCK LENGTH IN BYTES'), '4096')
    assert.equal(valueOf(stdout, 'Total size'), '67108864')
  })

  await t.test('qemu-io writes parts of blocks, zeroes and discards', async () => {
    await qemuIo(
      subject.url(),
      'write -P 0x55 1M 64k',
      'write -P 0x66 1049088 1024',
      'read -P 0x55 1M 512',
      'read -P 0x66 1049088 1024',
      'read -P 0x55 1050112 2048',
      'write -z 1056768 4k',
      'read -P 0 1056768 4k',
      'discard 1060864 8k',
      'read -P 0 1060864 8k',
      'read -P 0x55 1069056 4k',
    )
  })
})

test('a read-only disk is read and refuses to be written', async (t) => {
  if (!requirePeers(t, 'qemu-io')) return
  const scratch = new Scratch(t)
  const images = [scratch.path('disk')]
  const writable = await startSubject(scratch, { images, size: '16M' })
  await qemuIo(writable.url(), 'write -P 0x42 1M 1M')
  await writable.stop()
  const subject = await startSubject(scratch, { images, readOnly: true })
  await runOk(peerPath('qemu-io'), ['-r', '-f', 'raw', '-c', 'read -P 0x42 1M 1M', subject.url()])
  const attempt = await run(peerPath('qemu-io'), ['-f', 'raw', '-c', 'write 1M 64k', subject.url()])
  assert.notEqual(attempt.code, 0, 'QEMU opens it for writing')
  const initiator = await RawInitiator.open(subject.port, { target: subject.iqn })
  const write10 = [0x2a, 0, 0, 0, 0, 8, 0, 0, 1, 0]
  let result = await initiator.command(write10, { lun: subject.lun(), write: Buffer.alloc(512) })
  if (result.senseKey === 6)
    result = await initiator.command(write10, { lun: subject.lun(), write: Buffer.alloc(512) })
  assert.deepEqual(
    [result.status, result.senseKey, result.asc],
    [2, 7, 0x2700],
    'DATA PROTECT, WRITE PROTECTED',
  )
  await initiator.logout()
})
