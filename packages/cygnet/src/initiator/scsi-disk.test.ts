import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { AdditionalSense } from '../scsi/additional-sense.ts'
import { Opcode } from '../scsi/opcodes.ts'
import { SenseKey } from '../scsi/sense.ts'
import { ScsiStatus } from '../scsi/status.ts'
import type { DeviceEvent } from './block-device.ts'
import { attention, check, FakeDisk, FakeTiming, noLimits, status } from './fake-disk.test-helper.ts'
import { ScsiDisk, type ScsiDiskOptions } from './scsi-disk.ts'

const open = (
  fake: FakeDisk,
  options: Partial<ScsiDiskOptions> = {},
  timing = new FakeTiming(),
): Promise<ScsiDisk> => ScsiDisk.open({ executor: fake, timing, lun: 3, ...options })

async function opened(
  fake = new FakeDisk(),
  options: Partial<ScsiDiskOptions> = {},
): Promise<{ fake: FakeDisk; disk: ScsiDisk; timing: FakeTiming }> {
  const timing = new FakeTiming()
  const disk = await open(fake, options, timing)
  fake.log.length = 0
  return { fake, disk, timing }
}

const filled = (lengthBytes: number, seed = 1): Uint8Array =>
  Uint8Array.from({ length: lengthBytes }, (_, i) => (i * 7 + seed) & 0xff)

describe('bringing up', () => {
  test('asks for identity, limits, capacity and modes', async () => {
    const fake = new FakeDisk(2048, 4096)
    fake.limits = { ...noLimits, transferBlocks: 16, compareAndWriteBlocks: 2, unmapGranularityBlocks: 8 }
    const { disk } = await opened(fake)
    assert.deepEqual([disk.sizeBytes, disk.blockSizeBytes, disk.readOnly], [2048 * 4096, 4096, false])
    assert.deepEqual(disk.can, {
      volatileCache: true,
      unmap: true,
      writeZeroes: true,
      extents: true,
      compareAndWriteBytes: 8192,
      unmapGranularityBytes: 32_768,
      optimalBytes: 65_536,
    })
    assert.equal(disk.facts.identity.serialNumber, 'FAKE1')
    assert.equal(disk.description, 'FAKE DISK')
  })

  test('makes do with a disk that knows little', async () => {
    const fake = new FakeDisk()
    fake.limits = undefined
    for (const opcode of [Opcode.serviceActionIn16, Opcode.modeSense10]) fake.unknown.add(opcode)
    fake.writeProtected = true
    const { disk } = await opened(fake)
    assert.deepEqual([disk.sizeBytes, disk.readOnly], [1024 * 512, true])
    fake.unknown.add(Opcode.modeSense6)
    const { disk: other } = await opened(fake)
    assert.deepEqual([other.readOnly, other.can.volatileCache], [false, true])
  })

  test('waits for a disk that becomes ready, and starts one that wants it', async () => {
    const fake = new FakeDisk()
    const timing = new FakeTiming()
    const notReady = (additional: number) => ({
      opcode: Opcode.testUnitReady,
      answer: check({ key: SenseKey.notReady, additional }),
    })
    fake.answers.push(notReady(AdditionalSense.notReadyBecomingReady))
    fake.answers.push(notReady(AdditionalSense.notReadyInitializingCommandRequired))
    const opening = open(fake, {}, timing)
    assert.ok((await timing.runUntil(opening)) >= 10)
    await opening
    assert.equal(fake.opcodes.filter((opcode) => opcode === Opcode.startStopUnit).length, 1)
  })

  test('unit attentions of the time before are only passed over', async () => {
    const fake = new FakeDisk()
    for (const code of [AdditionalSense.powerOn, AdditionalSense.reportedLunsDataChanged])
      fake.answers.push({ opcode: Opcode.testUnitReady, answer: attention(code) })
    await opened(fake)
  })

  for (const [what, deviceType] of [
    ['no unit', 0x7f],
    ['a tape', 0x01],
  ] as const) {
    test(`${what} is no disk`, async () => {
      const fake = new FakeDisk()
      fake.deviceType = deviceType
      await assert.rejects(open(fake), { code: 'NO_DEVICE' })
    })
  }
})

describe('reading and writing', () => {
  test('a CD or DVD is only read', async () => {
    const fake = new FakeDisk()
    fake.deviceType = 0x05
    const { disk } = await opened(fake)
    assert.equal(disk.readOnly, true)
    await disk.read(0, 512)
    await assert.rejects(disk.write(0, new Uint8Array(512)), { code: 'READ_ONLY' })
  })

  test('any range reads as it was written', async () => {
    const { fake, disk } = await opened()
    const model = new Uint8Array(fake.bytes.length)
    let seed = 1
    for (const [offset, lengthBytes] of [
      [0, 512],
      [512, 1024],
      [100, 10],
      [511, 2],
      [500, 600],
      [1000, 24],
      [3, 5000],
      [524_287, 1],
      [0, 0],
    ] as const) {
      const bytes = filled(lengthBytes, seed++)
      await disk.write(offset, bytes)
      model.set(bytes, offset)
      assert.deepEqual(await disk.read(offset, lengthBytes), bytes)
    }
    assert.deepEqual(fake.bytes, model)
    const into = new Uint8Array(700)
    assert.equal(await disk.read(77, into), into)
    assert.deepEqual(into, model.subarray(77, 777))
  })

  test('large ranges go in parts within the limit of the unit, several at a time', async () => {
    const fake = new FakeDisk(1024)
    fake.limits = { ...noLimits, transferBlocks: 10 }
    const { disk } = await opened(fake)
    const bytes = filled(512 * 105)
    await disk.write(512, bytes)
    assert.equal(fake.log.length, 11)
    assert.ok(fake.mostActive > 1 && fake.mostActive <= 8, `${fake.mostActive}`)
    assert.deepEqual(await disk.read(512, bytes.length), bytes)
  })

  test('commands of 16 bytes where those of 10 do not reach', async () => {
    const fake = new FakeDisk(16)
    fake.capacity = { ...fake.capacity, blocks: 2 ** 33 }
    const { disk } = await opened(fake)
    fake.answers.push({
      opcode: Opcode.read16,
      answer: status(ScsiStatus.good, { dataInBytes: 1024 }),
    })
    await disk.read((2 ** 32 - 1) * 512, 1024)
    await disk.read(0, 512)
    assert.deepEqual(fake.opcodes, [Opcode.read16, Opcode.read10])
  })

  test('writes that overlap take effect in order, whatever the device does', async () => {
    const { fake, disk } = await opened()
    // The first takes longest.
    let delay = 20
    fake.onCommand = () => new Promise((resolve) => setTimeout(resolve, Math.max(1, (delay -= 5))))
    await Promise.all([
      disk.write(0, filled(1024, 1)),
      disk.write(510, filled(4, 2)),
      disk.write(512, filled(512, 3)),
      disk.write(4096, filled(512, 4)),
    ])
    const expected = new Uint8Array(1024)
    expected.set(filled(1024, 1))
    expected.set(filled(4, 2), 510)
    expected.set(filled(512, 3), 512)
    assert.deepEqual(fake.bytes.subarray(0, 1024), expected)
  })

  test('FUA is asked for, or made up for by a flush', async () => {
    const { fake, disk } = await opened()
    await disk.write(0, filled(512), { fua: true })
    assert.deepEqual([fake.opcodes, fake.log[0]?.cdb[1]], [[Opcode.write10], 0x08])
    const plain = new FakeDisk()
    plain.dpoFua = false
    const { disk: other } = await opened(plain)
    await other.write(0, filled(512), { fua: true })
    assert.deepEqual(plain.opcodes, [Opcode.write10, Opcode.synchronizeCache10])
  })

  test('a flush is a command only where there is a cache', async () => {
    const fake = new FakeDisk()
    const { disk } = await opened(fake)
    await disk.flush()
    assert.deepEqual(fake.opcodes, [Opcode.synchronizeCache10])
    fake.writeCache = false
    const { disk: other } = await opened(fake)
    await other.flush()
    assert.deepEqual(fake.opcodes, [])
  })

  test('an answer with less data than asked for is never taken for good', async () => {
    const { fake, disk } = await opened()
    fake.answers.push({ opcode: Opcode.read10, answer: status(ScsiStatus.good, { dataInBytes: 100 }) })
    await assert.rejects(disk.read(0, 512), { code: 'PROTOCOL_ERROR' })
    fake.answers.push({
      opcode: Opcode.write10,
      answer: status(ScsiStatus.good, { dataOutResidualBytes: 12 }),
    })
    await assert.rejects(disk.write(0, filled(512)), { code: 'PROTOCOL_ERROR' })
  })
})

describe('releasing and filling', () => {
  test('zeroes: whole blocks are released, the rest is written', async () => {
    const { fake, disk } = await opened()
    fake.bytes.fill(9)
    await disk.writeZeroes(100, 2000)
    assert.ok(fake.bytes.subarray(100, 2100).every((byte) => byte === 0))
    assert.deepEqual([fake.bytes[99], fake.bytes[2100], fake.holes.size], [9, 9, 3])
    fake.bytes.fill(9)
    await disk.writeZeroes(10, 20)
    assert.ok(fake.bytes.subarray(10, 30).every((byte) => byte === 0))
    assert.deepEqual([fake.bytes[9], fake.bytes[30]], [9, 9])
  })

  test('zeroes without UNMAP where the space must stay, and in small pieces where the unit says so', async () => {
    const fake = new FakeDisk()
    fake.limits = { ...noLimits, writeSameBlocks: 4 }
    const { disk } = await opened(fake)
    fake.bytes.fill(9)
    await disk.writeZeroes(0, 512 * 10, { mayUnmap: false, fua: true })
    assert.deepEqual(fake.opcodes, [
      ...Array.from({ length: 3 }, () => Opcode.writeSame10),
      Opcode.synchronizeCache10,
    ])
    assert.deepEqual([fake.holes.size, fake.bytes[5119], fake.bytes[5120]], [0, 0, 9])
  })

  test('a unit that refuses WRITE SAME gets writes, and is not asked twice', async () => {
    const fake = new FakeDisk()
    fake.unknown.add(Opcode.writeSame10).add(Opcode.writeSame16)
    const { disk } = await opened(fake)
    fake.bytes.fill(9)
    await disk.writeZeroes(512, 1024)
    assert.deepEqual(fake.opcodes, [Opcode.writeSame16, Opcode.writeSame10, Opcode.write10])
    await disk.writeZeroes(2048, 512)
    assert.equal(fake.opcodes.at(-1), Opcode.write10)
    assert.equal(fake.log.length, 4)
    assert.equal(disk.can.writeZeroes, false)
    await disk.writeSame(0, 512 * 3, filled(512))
    for (const block of [0, 1, 2])
      assert.deepEqual(fake.bytes.subarray(block * 512, (block + 1) * 512), filled(512))
  })

  test('unmap takes whole blocks within the limits', async () => {
    const fake = new FakeDisk()
    fake.limits = { ...noLimits, unmapBlocks: 4, unmapDescriptors: 1 }
    const { disk } = await opened(fake)
    await disk.unmap(1, 512 * 10)
    assert.deepEqual([fake.opcodes, fake.holes.size], [[Opcode.unmap, Opcode.unmap, Opcode.unmap], 9])
    await disk.unmap(1, 512)
    assert.equal(fake.log.length, 3)
    fake.thin = false
    const { disk: thick } = await opened(fake)
    await assert.rejects(thick.unmap(0, 512), { code: 'NOT_SUPPORTED' })
  })

  test('extents, and a unit that knows none', async () => {
    const { fake, disk } = await opened()
    await disk.unmap(512, 1024)
    assert.deepEqual(await disk.extents(100, 2000), [
      { offset: 100, lengthBytes: 412, kind: 'data', isZero: false },
    ])
    assert.deepEqual(await disk.extents(600, 2000), [
      { offset: 600, lengthBytes: 936, kind: 'hole', isZero: true },
    ])
    fake.thin = false
    const { disk: other } = await opened(fake)
    assert.deepEqual(await other.extents(0, 5000), [
      { offset: 0, lengthBytes: 5000, kind: 'data', isZero: false },
    ])
    assert.equal(other.can.extents, false)
  })

  test('compare and write', async () => {
    const fake = new FakeDisk()
    fake.limits = { ...noLimits, compareAndWriteBlocks: 2 }
    const { disk } = await opened(fake)
    await disk.compareAndWrite(512, new Uint8Array(512), filled(512))
    assert.deepEqual(fake.bytes.subarray(512, 1024), filled(512))
    await assert.rejects(disk.compareAndWrite(512, new Uint8Array(512), filled(512)), { code: 'MISCOMPARE' })
    await assert.rejects(disk.compareAndWrite(1, new Uint8Array(512), filled(512)), { code: 'UNALIGNED' })
    await assert.rejects(disk.compareAndWrite(0, new Uint8Array(1536), filled(1536)), {
      code: 'ARGUMENT_INVALID',
    })
  })
})

describe('what a device answers', () => {
  for (const [what, answer, code] of [
    [
      'a medium error',
      check({ key: SenseKey.mediumError, additional: AdditionalSense.unrecoveredReadError }),
      'MEDIUM_ERROR',
    ],
    ['a reservation conflict', status(ScsiStatus.reservationConflict), 'RESERVATION_CONFLICT'],
    [
      'a write protected medium',
      check({ key: SenseKey.dataProtect, additional: AdditionalSense.writeProtected }),
      'READ_ONLY',
    ],
    [
      'a full pool',
      check({ key: SenseKey.dataProtect, additional: AdditionalSense.spaceAllocationFailed }),
      'NO_SPACE',
    ],
    [
      'a range past the end',
      check({ key: SenseKey.illegalRequest, additional: AdditionalSense.lbaOutOfRange }),
      'PAST_END',
    ],
    ['a lost task', { kind: 'failed', code: 'TASK_LOST', message: 'it was lost.' }, 'TASK_LOST'],
    ['a status that nobody knows', status(0x7e), 'DEVICE_ERROR'],
    ['an error without sense data', status(ScsiStatus.checkCondition), 'DEVICE_ERROR'],
  ] as const) {
    test(`${what} is ${code}`, async () => {
      const { fake, disk } = await opened()
      fake.answers.push({ opcode: Opcode.write10, answer })
      await assert.rejects(disk.write(1024, filled(512)), { code, offset: 1024 })
      assert.equal(fake.log.length, 1)
    })
  }

  test('BUSY and TASK SET FULL are waited out, for so long and no longer', async () => {
    const { fake, disk, timing } = await opened(new FakeDisk(), { busyLimitMs: 3000 })
    fake.answers.push({ opcode: -1, answer: status(ScsiStatus.busy) })
    fake.answers.push({ opcode: -1, answer: status(ScsiStatus.taskSetFull) })
    // SAM-5 §5.3.2: come back in 700 ms.
    fake.answers.push({ opcode: -1, answer: status(ScsiStatus.busy, { statusQualifier: 7 }) })
    const read = disk.read(0, 512)
    assert.equal(await timing.runUntil(read), 10 + 20 + 700)
    await read
    for (let i = 0; i < 100; i++) fake.answers.push({ opcode: -1, answer: status(ScsiStatus.busy) })
    const failed = disk.read(0, 512)
    assert.ok((await timing.runUntil(failed)) <= 3000)
    await assert.rejects(failed, { code: 'DEVICE_BUSY' })
  })

  test('a command that another initiator ended is sent again, unless it may do harm', async () => {
    const fake = new FakeDisk()
    fake.limits = { ...noLimits, compareAndWriteBlocks: 1 }
    const { disk, timing } = await opened(fake)
    fake.answers.push({ opcode: -1, answer: status(ScsiStatus.taskAborted) })
    const write = disk.write(0, filled(512))
    await timing.runUntil(write)
    await write
    assert.equal(fake.log.length, 2)
    fake.answers.push({ opcode: -1, answer: status(ScsiStatus.taskAborted) })
    await assert.rejects(disk.compareAndWrite(0, filled(512), filled(512)), { code: 'TASK_ABORTED' })
  })

  test('a unit attention is told, and the command sent again', async () => {
    const { fake, disk } = await opened()
    const events: DeviceEvent[] = []
    const stop = disk.onEvent((event) => events.push(event))
    fake.answers.push({ opcode: -1, answer: attention(AdditionalSense.nexusLoss) })
    fake.answers.push({ opcode: -1, answer: attention(AdditionalSense.reservationsPreempted) })
    await disk.read(0, 512)
    stop()
    fake.answers.push({ opcode: -1, answer: attention(AdditionalSense.nexusLoss) })
    await disk.read(0, 512)
    assert.deepEqual(events, [
      { kind: 'attention', reason: 'I_T nexus loss occurred' },
      { kind: 'reservation-lost', reason: 'reservations preempted' },
    ])
  })

  test('a changed capacity is known before the command goes on', async () => {
    const { fake, disk } = await opened()
    const events: DeviceEvent[] = []
    disk.onEvent((event) => events.push(event))
    fake.capacity = { ...fake.capacity, blocks: 2048 }
    fake.answers.push({ opcode: Opcode.read10, answer: attention(AdditionalSense.capacityDataChanged) })
    // Met while it asks: it has to ask again.
    fake.answers.push({
      opcode: Opcode.modeSense10,
      answer: attention(AdditionalSense.modeParametersChanged),
    })
    await Promise.all([disk.read(0, 512), disk.read(1024, 512)])
    assert.deepEqual(events.at(-1), { kind: 'capacity-changed', sizeBytes: 2048 * 512 })
    assert.equal(disk.sizeBytes, 2048 * 512)
    assert.equal(fake.opcodes.filter((opcode) => opcode === Opcode.serviceActionIn16).length, 2)
  })

  test('another disk in its place is never written to', async () => {
    const { fake, disk } = await opened()
    const events: DeviceEvent[] = []
    disk.onEvent((event) => events.push(event))
    fake.serialNumber = 'OTHER'
    fake.answers.push({ opcode: Opcode.write10, answer: attention(AdditionalSense.reportedLunsDataChanged) })
    await assert.rejects(disk.write(0, filled(512)), { code: 'DEVICE_CHANGED' })
    await assert.rejects(disk.read(0, 512), { code: 'DEVICE_CHANGED' })
    assert.ok(fake.bytes.every((byte) => byte === 0))
    assert.deepEqual(
      events.map(({ kind }) => kind),
      ['luns-changed', 'failed'],
    )
  })

  test('another disk in its place is not written to by requests that waited for their turn', async () => {
    const { fake, disk } = await opened()
    fake.serialNumber = 'OTHER'
    fake.answers.push({ opcode: Opcode.write10, answer: attention(AdditionalSense.reportedLunsDataChanged) })
    const requests = [
      disk.write(0, filled(512)),
      disk.write(0, filled(512)),
      disk.write(100, filled(512)),
      disk.writeZeroes(0, 1024),
    ]
    await Promise.all(requests.map((request) => assert.rejects(request, { code: 'DEVICE_CHANGED' })))
    assert.equal(fake.opcodes.filter((opcode) => opcode === Opcode.write10).length, 1)
    assert.ok(fake.bytes.every((byte) => byte === 0))
  })

  test('a unit that reports attentions for ever fails', async () => {
    const { fake, disk } = await opened()
    for (let i = 0; i < 1000; i++)
      fake.answers.push({ opcode: Opcode.read10, answer: attention(AdditionalSense.nexusLoss) })
    await assert.rejects(disk.read(0, 512), { code: 'DEVICE_ERROR' })
  })

  test('a slow unit that reports attentions for ever fails in less time', async () => {
    const { fake, disk, timing } = await opened(new FakeDisk(), { busyLimitMs: 3000 })
    for (let i = 0; i < 1000; i++)
      fake.answers.push({ opcode: Opcode.read10, answer: attention(AdditionalSense.capacityDataChanged) })
    fake.onCommand = () => new Promise((resolve) => void timing.schedule(resolve, 500))
    const read = disk.read(0, 512)
    await timing.runUntil(read)
    await assert.rejects(read, { code: 'DEVICE_ERROR' })
    assert.equal(fake.opcodes.filter((opcode) => opcode === Opcode.read10).length, 9)
  })

  test('blocks that cannot be used', async () => {
    for (const blockBytes of [0, 3, 128, 768, 2 ** 21, 2 ** 31]) {
      const fake = new FakeDisk()
      fake.capacity = { ...fake.capacity, blockBytes }
      // oxlint-disable-next-line no-await-in-loop -- one disk after the other
      await assert.rejects(opened(fake), { code: 'NOT_SUPPORTED' })
    }
  })
})

describe('misuse', () => {
  test('past the end, no whole numbers, no whole blocks', async () => {
    const { fake, disk } = await opened()
    const end = disk.sizeBytes
    await assert.rejects(disk.read(end, 1), { code: 'PAST_END' })
    await assert.rejects(disk.read(0, 2 ** 52), { code: 'PAST_END' })
    await assert.rejects(disk.write(end - 1, filled(2)), { code: 'PAST_END', offset: end - 1 })
    await assert.rejects(disk.read(-1, 1), { code: 'ARGUMENT_INVALID' })
    await assert.rejects(disk.read(0.5, 1), { code: 'ARGUMENT_INVALID' })
    await assert.rejects(disk.read(0, -1), { code: 'ARGUMENT_INVALID' })
    await assert.rejects(disk.writeSame(1, 512, filled(512)), { code: 'UNALIGNED' })
    await assert.rejects(disk.writeSame(0, 512, filled(12)), { code: 'ARGUMENT_INVALID' })
    assert.equal(fake.log.length, 0)
  })

  test('raw commands that cannot be sent, and bytes that are none', async () => {
    const { fake, disk } = await opened()
    const cdb = new Uint8Array(6)
    for (const wrong of [
      { cdb: new Uint8Array(0) },
      { cdb: new Uint8Array(261) },
      { cdb, priority: 16 },
      { cdb, dataIn: 'text' as unknown as Uint8Array },
      { cdb, dataOut: [[1, 2]] as unknown as Uint8Array[] },
      { cdb, dataOut: new Uint8Array(4) as unknown as Uint8Array[] },
    ])
      await assert.rejects(disk.execute(wrong), { code: 'ARGUMENT_INVALID' })
    // As long as a block, but of what is no bytes.
    const notBytes = ['x'.repeat(512), undefined, new Uint16Array(512), 512n] as unknown as Uint8Array[]
    for (const bytes of notBytes) {
      const requests = [
        disk.write(0, bytes),
        disk.read(0, bytes),
        disk.writeSame(0, 512, bytes),
        disk.compareAndWrite(0, bytes, bytes),
      ]
      await Promise.all(requests.map((request) => assert.rejects(request, { code: 'ARGUMENT_INVALID' })))
    }
    assert.equal(fake.log.length, 0)
    await disk.close()
    await assert.rejects(disk.execute({ cdb }), { code: 'DEVICE_CLOSED' })
  })

  test('a disk that is read-only is not written to', async () => {
    const { fake, disk } = await opened(new FakeDisk(), { readOnly: true })
    for (const write of [
      disk.write(0, filled(1)),
      disk.unmap(0, 512),
      disk.writeZeroes(0, 1),
      disk.writeSame(0, 512, filled(512)),
    ])
      await assert.rejects(write, { code: 'READ_ONLY' })
    assert.equal(fake.log.length, 0)
  })

  test('after close: everything that was asked before ends, what comes later is refused', async () => {
    let released = 0
    const release = (): Promise<void> => {
      released++
      return Promise.resolve()
    }
    const { fake, disk } = await opened(new FakeDisk(), { release })
    const write = disk.write(0, filled(512))
    const closing = disk.close()
    await assert.rejects(disk.read(0, 1), { code: 'DEVICE_CLOSED' })
    await closing
    await write
    await disk.close()
    assert.equal(released, 1)
    assert.deepEqual(fake.opcodes, [Opcode.write10, Opcode.synchronizeCache10])
  })

  test('an abort ends the wait with the reason that was given', async () => {
    const { fake, disk, timing } = await opened()
    const reason = new Error('not any more')
    await assert.rejects(disk.read(0, 512, { signal: AbortSignal.abort(reason) }), reason)
    fake.answers.push({ opcode: -1, answer: status(ScsiStatus.busy) })
    const controller = new AbortController()
    const read = disk.read(0, 512, { signal: controller.signal })
    while (timing.timers === 0) await new Promise((resolve) => setImmediate(resolve))
    controller.abort(reason)
    await assert.rejects(read, reason)
    assert.equal(timing.timers, 0)
    // Or just before the wait.
    const another = new AbortController()
    fake.onCommand = () => another.abort(reason)
    fake.answers.push({ opcode: -1, answer: status(ScsiStatus.busy) })
    await assert.rejects(disk.read(0, 512, { signal: another.signal }), reason)
    assert.equal(timing.timers, 0)
  })
})
