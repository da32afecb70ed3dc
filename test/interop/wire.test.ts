/** What goes over the wire, read by tshark. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { peerPath, requirePeers } from '../support/peer.ts'
import { NO_TAG, Op, RawInitiator } from '../support/raw-initiator.ts'
import { rw10 } from '../support/recording-writer.ts'
import { runOk, Scratch } from '../support/scratch.ts'
import { startSubject, type Subject } from '../support/subject.ts'
import { judgeCapture, type StreamReport, startCapture } from '../support/wire-capture.ts'

/** A session that uses each kind of PDU that an ordinary initiator causes. */
async function wholeSession(subject: Subject, keys: Record<string, string>): Promise<void> {
  const lun = subject.lun()
  const initiator = await RawInitiator.open(subject.port, { target: subject.iqn, keys })
  await initiator.command([0, 0, 0, 0, 0, 0], { lun })
  // 37 and 5 bytes need padding.
  assert.equal((await initiator.command([0x12, 0, 0, 0, 37, 0], { lun, read: 37 })).data.length, 37)
  assert.equal((await initiator.ping(Buffer.from('hello'))).data.toString(), 'hello')
  const data = Buffer.alloc(600 * 1024, 'cygnet ')
  const write = await initiator.command(rw10(0x2a, 64, 1200), { lun, write: data, unsolicited: true })
  assert.equal(write.status, 0)
  assert.ok(write.pdus.some(({ opcode }) => opcode === Op.r2t))
  const synchronize = await initiator.command(rw10(0x35, 0, 0), { lun })
  assert.equal(synchronize.status, 0)
  const read = await initiator.command(rw10(0x28, 64, 1200), { lun, read: data.length })
  assert.ok(read.data.equals(data))
  const beyond = await initiator.command(rw10(0x28, 0x7fffffff, 1), { lun, read: 512 })
  assert.deepEqual([beyond.status, beyond.asc], [2, 0x2100])
  const reads = Array.from({ length: 32 }, (_, index) =>
    initiator.command(rw10(0x28, index * 8, 8), { lun, read: 4096 }),
  )
  for (const { status } of await Promise.all(reads)) assert.equal(status, 0)
  assert.equal(await initiator.logout(), 0)
}

test('tshark decodes every byte and finds every digest good', { timeout: 120_000 }, async (t) => {
  if (!requirePeers(t, 'tshark', 'qemu-io')) return
  const scratch = new Scratch(t)
  const subject = await startSubject(scratch, { images: [scratch.path('disk')], size: '64M' })
  const commands = ['-c', 'write -P 0x31 8M 3M', '-c', 'read -P 0x31 8M 3M', '-c', 'flush']

  /** Captures what `traffic` causes on one connection, and returns tshark's account of it. */
  async function capture(traffic: () => Promise<unknown>): Promise<StreamReport | undefined> {
    const running = await startCapture(t, scratch, subject.port)
    if (running === undefined) return undefined
    await traffic()
    await running.stop()
    const streams = await judgeCapture(running.file, subject.port)
    assert.equal(streams.length, 1)
    return streams[0]
  }

  await t.test('with header and data digests', async () => {
    const keys = {
      HeaderDigest: 'CRC32C',
      DataDigest: 'CRC32C',
      InitialR2T: 'No',
      MaxRecvDataSegmentLength: '65532',
    }
    const report = await capture(() => wholeSession(subject, keys))
    if (report === undefined) return
    // Two login PDUs have none; each other one has a header digest.
    assert.equal(report.headerDigests, report.pdus - 2)
    assert.ok(report.dataDigests > 50)
    const seen = [Op.nopOut, Op.nopIn, Op.scsiCommand, Op.scsiResponse, Op.dataIn, Op.dataOut, Op.r2t]
    for (const opcode of [...seen, Op.logout, Op.logoutResponse]) {
      assert.ok(report.opcodes.has(opcode), `opcode 0x${opcode.toString(16)} was seen`)
    }
  })

  await t.test('with no digests', async () => {
    const report = await capture(() => wholeSession(subject, { MaxRecvDataSegmentLength: '8192' }))
    if (report !== undefined) assert.equal(report.headerDigests + report.dataDigests, 0)
  })

  await t.test('with the header digest of libiscsi', async () => {
    const options = `driver=raw,file.${subject.imageOptions(0, ',header-digest=crc32c').replaceAll(',', ',file.')}`
    const report = await capture(() => runOk(peerPath('qemu-io'), ['--image-opts', ...commands, options]))
    if (report === undefined) return
    assert.ok(report.headerDigests > 10)
    assert.equal(report.dataDigests, 0)
  })

  await t.test('and would tell of a bad digest, and of bytes that are no PDU', async () => {
    const keys = { HeaderDigest: 'CRC32C', DataDigest: 'CRC32C' }
    const spoil = async (how: (initiator: RawInitiator) => void): Promise<void> => {
      const initiator = await RawInitiator.open(subject.port, { target: subject.iqn, keys })
      // tshark believes in a connection's digests once it has seen a good one.
      await initiator.ping(Buffer.alloc(64))
      how(initiator)
      // The target ends the connection, or waits for more.
      await initiator.closesWithin(500)
      initiator.close()
    }
    const nopOut = (initiator: RawInitiator): Buffer =>
      initiator.bhs(Op.nopOut, { immediate: true, itt: initiator.allocateItt(), word20: NO_TAG })
    const badDigest = capture(() =>
      spoil((initiator) => initiator.send(nopOut(initiator), Buffer.alloc(64), { corruptDataDigest: true })),
    )
    await assert.rejects(badDigest, { message: /digests that are not good/ })
    const noise = capture(() => spoil((initiator) => initiator.write(Buffer.alloc(100, 0xff))))
    await assert.rejects(noise, assert.AssertionError)
  })
})
