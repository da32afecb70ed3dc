import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { get16, get32, set16, set24, set32, set64 } from '../scsi/fields.ts'
import type { Nexus } from '../scsi/task.ts'
import { CopyUnits } from './copy-units.ts'
import type { DiskUnitOptions } from './disk-unit.ts'
import type { Outcome } from './disk.test-helper.ts'
import { cdbOf, nexusNamed, pattern, senseOf, TestDisk } from './disk.test-helper.ts'

const NAA = Uint8Array.of(0x30, 1, 2, 3, 4, 5, 6, 7)
const OTHER = Uint8Array.of(0x30, 9, 9, 9, 9, 9, 9, 9)

interface Segment {
  readonly source?: number
  readonly destination?: number
  readonly blocks?: number
  readonly from?: number
  readonly to?: number
  readonly flags?: number
}

function target(naa = NAA, blockBytes = 512): Uint8Array {
  const bytes = new Uint8Array(32)
  bytes.set([0xe4, 0, 0, 0, 1, 3, 0, naa.length])
  bytes.set(naa, 8)
  set24(bytes, 29, blockBytes)
  return bytes
}

function segment({
  source = 0,
  destination = 0,
  blocks = 8,
  from = 0,
  to = 32,
  flags = 0,
}: Segment): Uint8Array {
  const bytes = new Uint8Array(28)
  bytes.set([0x02, flags, 0, 24])
  set16(bytes, 4, source)
  set16(bytes, 6, destination)
  set16(bytes, 10, blocks)
  set64(bytes, 12, from)
  set64(bytes, 20, to)
  return bytes
}

/** Of bytes, with offsets into the first blocks. */
function byteSegment(
  bytes: number,
  { from = 0, to = 32 }: Segment,
  offsets: readonly [number, number] = [0, 0],
) {
  const descriptor = new Uint8Array(32)
  descriptor.set([0x0a, 0, 0, 28])
  set32(descriptor, 8, bytes)
  set64(descriptor, 12, from)
  set64(descriptor, 20, to)
  set16(descriptor, 28, offsets[0])
  set16(descriptor, 30, offsets[1])
  return descriptor
}

const size = (parts: readonly Uint8Array[]): number => parts.reduce((sum, { length }) => sum + length, 0)

function lid1(
  targets: readonly Uint8Array[],
  segments: readonly Uint8Array[],
  listId = 1,
  usage = 0,
): Uint8Array {
  const header = new Uint8Array(16)
  header[0] = listId
  header[1] = usage << 3
  set16(header, 2, size(targets))
  set32(header, 8, size(segments))
  return Uint8Array.from(Buffer.concat([header, ...targets, ...segments]))
}

function lid4(
  targets: readonly Uint8Array[],
  segments: readonly Uint8Array[],
  immediate = false,
): Uint8Array {
  const header = new Uint8Array(48)
  header[0] = 1
  set16(header, 2, 0x20)
  header[15] = immediate ? 2 : 0
  header[16] = 0xff
  set32(header, 20, 0x1234)
  set16(header, 42, size(targets))
  set16(header, 44, size(segments))
  return Uint8Array.from(Buffer.concat([header, ...targets, ...segments]))
}

function copyCdb(action: number, lengthBytes: number): Uint8Array {
  const cdb = cdbOf('83 00 00000000 00000000 00000000 00 00')
  cdb[1] = action
  set32(cdb, 10, lengthBytes)
  return cdb
}

const copy = (disk: TestDisk, list: Uint8Array, action = 0, nexus?: Nexus): Outcome =>
  disk.run(copyCdb(action, list.length), { dataOut: list }, nexus)

/** Two disks, and two sessions of one initiator that reach both. */
function pair(options: Partial<DiskUnitOptions> = {}): { one: TestDisk; two: TestDisk } {
  const copyUnits = new CopyUnits((lengthBytes) => new Uint8Array(lengthBytes))
  const one = new TestDisk(64, { copyUnits })
  const two = new TestDisk(64, { copyUnits, identity: { serialNumber: 'S2', naa: OTHER }, ...options })
  one.attach(two.nexus)
  two.attach(one.nexus)
  one.store.bytes.set(pattern(64 * 512))
  return { one, two }
}

const status1 = (disk: TestDisk, action = 0, listId = 1): Outcome =>
  disk.run(cdbOf(`84 0${action} 0${listId} 00000000000000 00000400 00 00`))

describe('EXTENDED COPY', () => {
  it('copies within a disk', () => {
    const disk = new TestDisk(64)
    disk.store.bytes.set(pattern(8 * 512))
    assert.equal(senseOf(copy(disk, lid1([target()], [segment({})]))), 'status 0')
    assert.deepEqual(disk.store.bytes.subarray(32 * 512, 40 * 512), pattern(8 * 512))
    assert.equal(disk.pool.inUse, 0)
  })

  it('copies to another disk of the same server, segment after segment', () => {
    const { one, two } = pair()
    const segments = [
      segment({ source: 0, destination: 1, blocks: 2, from: 1, to: 5 }),
      segment({ source: 1, destination: 1, blocks: 2, from: 5, to: 60 }),
    ]
    assert.equal(senseOf(copy(one, lid1([target(), target(OTHER)], segments))), 'status 0')
    assert.deepEqual(two.store.bytes.subarray(60 * 512, 62 * 512), one.store.bytes.subarray(512, 1536))
    const { data } = status1(one)
    assert.deepEqual([get32(data, 0), data[4], get16(data, 5), data[7], get32(data, 8)], [8, 1, 2, 0, 2048])
  })

  it('copies between blocks of different sizes, and counts those of the side that DC names', () => {
    const { one, two } = pair({ blockSizeBytes: 4096 })
    const ends = { source: 0, destination: 1, from: 8, to: 1 }
    const targets = [target(), target(OTHER, 4096)]
    assert.equal(senseOf(copy(one, lid1(targets, [segment({ ...ends, blocks: 8 })]))), 'status 0')
    assert.deepEqual(two.store.bytes.subarray(4096, 8192), one.store.bytes.subarray(4096, 8192))
    assert.equal(
      senseOf(copy(one, lid1(targets, [segment({ ...ends, to: 2, blocks: 2, flags: 2 })]))),
      'status 0',
    )
    assert.deepEqual(two.store.bytes.subarray(8192, 16_384), one.store.bytes.subarray(4096, 12_288))
    assert.equal(senseOf(copy(one, lid1(targets, [segment({ ...ends, blocks: 7 })]))), 'a/0d02')
  })

  it('copies bytes, as long as they are whole blocks', () => {
    const disk = new TestDisk(64)
    disk.store.bytes.set(pattern(16 * 512))
    const segments = [byteSegment(1024, { to: 32 }), segment({ blocks: 1, to: 34 }), byteSegment(0, {})]
    assert.equal(senseOf(copy(disk, lid1([target()], segments))), 'status 0')
    const expected = Buffer.concat([pattern(1024), pattern(512)])
    assert.deepEqual(Buffer.from(disk.store.bytes.subarray(32 * 512, 35 * 512)), expected)
    const shifted = lid1([target()], [byteSegment(512, { from: 1, to: 40 }, [1024, 512])])
    assert.equal(senseOf(copy(disk, shifted)), 'status 0')
    assert.deepEqual(disk.store.bytes.subarray(41 * 512, 42 * 512), disk.store.bytes.subarray(1536, 2048))
    for (const odd of [
      byteSegment(1000, {}),
      byteSegment(512, {}, [1, 0]),
      byteSegment(512, {}, [0, 511]),
      byteSegment(512, { to: 64 }),
    ])
      assert.equal(senseOf(copy(disk, lid1([target()], [odd]))), 'a/0d02')
    const list = lid1([target()], [byteSegment(512, {})])
    list[51] = 24
    assert.deepEqual(copy(disk, list).sense?.field, { in: 'parameters', byte: 50, bit: 7 })
    const header = 16 + 32
    assert.equal(
      senseOf(copy(disk, lid1([target()], [byteSegment(512, {})]).subarray(0, header + 28))),
      '5/1a00',
    )
  })

  it('takes long segments in pieces, and stops between them when its command is aborted', () => {
    const disk = new TestDisk(8192)
    const list = lid1([target()], [segment({ blocks: 4096, to: 4096 })])
    assert.equal(senseOf(copy(disk, list)), 'status 0')
    assert.equal(disk.store.calls.length, 4)
    disk.store.deferred = true
    const task = disk.submit(copyCdb(0, list.length), { dataOut: list })
    disk.unit.abort(task)
    assert.equal(task.isDone, false, 'its read is under way')
    disk.store.releaseAll()
    assert.equal(disk.transport.outcome(task).aborted, true)
    assert.equal(disk.store.calls.length, 6, 'one piece, and no more')
    assert.equal(disk.pool.inUse, 0)
  })

  it('goes ahead of tasks that wait for its command, and lets others pass', () => {
    const disk = new TestDisk(64)
    disk.store.deferred = true
    const list = lid1([target()], [segment({})])
    const task = disk.submit(copyCdb(0, list.length), { dataOut: list, attribute: 2 })
    const behind = disk.submit(cdbOf('00 00 00 00 00 00'))
    disk.store.releaseAll()
    assert.equal(senseOf(disk.transport.outcome(task)), 'status 0')
    assert.equal(senseOf(disk.transport.outcome(behind)), 'status 0')
    const simple = disk.submit(copyCdb(0, list.length), { dataOut: list })
    assert.equal(senseOf(disk.run(cdbOf('00 00 00 00 00 00'))), 'status 0')
    disk.store.releaseAll()
    assert.equal(senseOf(disk.transport.outcome(simple)), 'status 0')
  })

  it('leaves unit attentions to the initiator', () => {
    const { one, two } = pair()
    two.unit.attention(0x2a09)
    const list = lid1([target(), target(OTHER)], [segment({ destination: 1 })])
    assert.equal(senseOf(copy(one, list)), 'status 0')
    assert.equal(senseOf(two.run(cdbOf('00 00 00 00 00 00'))), '6/2a09')
  })

  it('may do no more at a unit than its initiator', () => {
    const { one, two } = pair()
    const other = nexusNamed('two')
    two.attach(other)
    two.run(cdbOf('16 00 00 00 00 00'), {}, other)
    const list = lid1([target(), target(OTHER)], [segment({ destination: 1 })])
    assert.equal(senseOf(copy(one, list)), 'a/0d01', 'reserved')
    one.attach(other)
    two.unit.detachNexus(other, 'logout')
    assert.equal(senseOf(copy(one, list, 0, other)), 'a/0d02', 'not to be seen')
    const namesake = { ...one.nexus }
    one.attach(namesake)
    assert.equal(
      senseOf(copy(one, list, 0, namesake)),
      'a/0d02',
      'to be seen by another session of that name',
    )
    const protectedPair = pair({ readOnly: true })
    assert.equal(senseOf(copy(protectedPair.one, list)), 'a/0d01', 'write protected')
  })

  it('refuses lists that are cut short or too long', () => {
    const disk = new TestDisk(64)
    const list = lid1([target()], [segment({})])
    for (const length of [15, 47, 75]) {
      assert.equal(senseOf(copy(disk, list.subarray(0, length))), '5/1a00', `${length} bytes`)
    }
    assert.equal(senseOf(copy(disk, new Uint8Array(0))), 'status 0')
    const many = (targets: number, segments: number): Uint8Array =>
      lid1(Array<Uint8Array>(targets).fill(target()), Array<Uint8Array>(segments).fill(segment({})))
    assert.equal(senseOf(copy(disk, many(17, 1))), '5/2606')
    assert.equal(senseOf(copy(disk, many(1, 65))), '5/2608')
    assert.equal(senseOf(copy(disk, many(17, 65))), '5/1a00')
  })

  it('refuses descriptors that it does not know, and points at fields', () => {
    const disk = new TestDisk(64)
    const tape = target()
    tape[0] = 0xe0
    assert.equal(senseOf(copy(disk, lid1([tape], [segment({})]))), '5/2607')
    assert.equal(senseOf(copy(disk, lid1([target()], [Uint8Array.of(3, 0, 0, 0)]))), '5/2609')
    const changed = (at: number, value: number): Uint8Array => {
      const list = lid1([target()], [segment({})])
      list[at] = value
      return list
    }
    assert.deepEqual(copy(disk, changed(23, 21)).sense?.field, { in: 'parameters', byte: 23, bit: 7 })
    assert.deepEqual(copy(disk, changed(51, 25)).sense?.field, { in: 'parameters', byte: 50, bit: 7 })
    assert.deepEqual(copy(disk, changed(1, 0x08)).sense?.field, { in: 'parameters', byte: 1, bit: 4 })
    assert.equal(senseOf(copy(disk, lid1([target()], [segment({ destination: 1 })]))), 'a/0d02')
    assert.equal(senseOf(copy(disk, lid1([target(OTHER)], [segment({})]))), 'a/0d02')
    assert.equal(senseOf(copy(disk, lid1([target()], [segment({ to: 57 })]))), 'a/0d02')
    assert.equal(senseOf(copy(disk, lid1([target()], [segment({ from: 57 })]))), 'a/0d02')
    assert.deepEqual(disk.store.calls, [])
  })

  it('LID4 does the same, in the background too', () => {
    const disk = new TestDisk(64)
    disk.store.bytes.set(pattern(8 * 512))
    const status4 = () => disk.run(cdbOf('84 05 00001234 00000000 00000400 00 00'))
    assert.equal(senseOf(status4()), '5/2400')
    disk.store.deferred = true
    assert.equal(senseOf(copy(disk, lid4([target()], [segment({})], true), 1)), 'status 0')
    assert.equal(status4().data[5], 0x12)
    assert.equal(senseOf(copy(disk, lid4([target()], [segment({})]), 1)), '5/0016', 'the same list again')
    disk.store.releaseAll()
    const { data } = status4()
    assert.deepEqual([get32(data, 0), data[5], data[12], get32(data, 20)], [28, 1, 0, 4096])
    assert.deepEqual(disk.store.bytes.subarray(32 * 512, 40 * 512), pattern(8 * 512))
    for (const [at, value] of [
      [0, 2],
      [3, 0x21],
      [16, 0xfe],
    ] as const) {
      const list = lid4([target()], [segment({})])
      list[at] = value
      assert.equal(senseOf(copy(disk, list, 1)), '5/2600')
    }
  })
})

describe('copies at the same time', () => {
  it('are as many as the operating parameters say, and leave room for the commands of others', () => {
    const disk = new TestDisk(64, { taskLimit: 100 })
    const other = nexusNamed('two')
    disk.attach(other)
    disk.store.deferred = true
    const statuses: number[] = []
    for (let listId = 1; listId <= 80; listId++) {
      const list = lid4([target()], [segment({})], true)
      set32(list, 20, listId)
      statuses.push(copy(disk, list, 1).status)
    }
    const concurrent = get16(status1(disk, 3).data, 34)
    assert.equal(statuses.lastIndexOf(0), concurrent - 1)
    assert.equal(statuses[concurrent], 0x08, 'BUSY')
    disk.store.releaseAll()
    assert.equal(disk.pool.inUse, 0)
    assert.equal(senseOf(copy(disk, lid4([target()], [segment({})], true), 1)), 'status 0')
  })
})

describe('results of EXTENDED COPY', () => {
  it('are told of a list identifier, per nexus, and not of copies without one', () => {
    const disk = new TestDisk(64)
    assert.equal(senseOf(status1(disk)), '5/2400')
    copy(disk, lid1([target()], [segment({})], 0, 3))
    assert.equal(senseOf(status1(disk, 0, 0)), '5/2400')
    copy(disk, lid1([target()], [segment({})]))
    assert.equal(senseOf(status1(disk)), 'status 0')
    const other = nexusNamed('two')
    disk.attach(other)
    assert.equal(senseOf(disk.run(cdbOf('84 00 01 00000000000000 00000400 00 00'), {}, other)), '5/2400')
  })

  it('say what went wrong', () => {
    const disk = new TestDisk(64)
    disk.store.failNext = { call: 'write', error: { failure: 'medium' } }
    assert.equal(senseOf(copy(disk, lid1([target()], [segment({})]))), 'a/0d01')
    assert.equal(status1(disk).data[4], 2)
    const details = status1(disk, 4).data
    assert.deepEqual([details[56], get16(details, 58), details[62], details[72]], [2, 18, 0x0a, 0x0d])
    copy(disk, lid1([target()], [segment({})]))
    assert.deepEqual([...status1(disk, 4).data], [0, 0, 0, 0])
  })

  it('include what a list may have', () => {
    const { data } = status1(new TestDisk(64), 3)
    assert.deepEqual([get16(data, 8), get16(data, 10), data[37]], [16, 64, 9])
    assert.deepEqual([...data.subarray(43)], [3, 0x02, 0x0a, 0xe4])
  })

  it('page 8Fh names every service action', () => {
    const page = new TestDisk(64).run(cdbOf('12 01 8f 04 00 00')).data
    assert.equal(get16(page, 2), page.length - 4)
    const types: number[] = []
    for (let at = 4; at < page.length; at += 4 + get16(page, at + 2)) types.push(get16(page, at))
    assert.deepEqual(types, [0x0001, 0x0004, 0x0008, 0x8001])
    assert.deepEqual([...page.subarray(8, 13)].slice(1, 3), [0x83, page[10]])
  })
})

describe('COPY OPERATION ABORT', () => {
  const abort = (id: string) => cdbOf(`83 1c ${id} 00000000 00000000 00 00`)
  const status4 = (disk: TestDisk) => disk.run(cdbOf('84 05 00001234 00000000 00000400 00 00')).data

  it('ends a copy in the background after the piece under way, and then itself', () => {
    const disk = new TestDisk(64)
    disk.store.deferred = true
    copy(disk, lid4([target()], [segment({}), segment({})], true), 1)
    assert.equal(status4(disk)[5], 0x12, 'in progress in the background')
    const task = disk.submit(abort('00001234'))
    disk.store.release()
    assert.equal(task.isDone, false, 'the write goes on')
    disk.store.release()
    assert.equal(senseOf(disk.transport.outcome(task)), 'status 0')
    assert.equal(disk.store.waiting, 0, 'the second segment never began')
    const status = status4(disk)
    assert.deepEqual([status[5], status[12], status[34], status[44], status[45]], [0x60, 2, 0x0a, 0x2f, 0x02])
    assert.equal(disk.pool.inUse, 0)
  })

  it('ends a copy whose command waits for it', () => {
    const disk = new TestDisk(64)
    disk.store.deferred = true
    const list = lid4([target()], [segment({}), segment({})])
    const copying = disk.submit(copyCdb(1, list.length), { dataOut: list })
    assert.equal(status4(disk)[5], 0x11, 'in progress in the foreground')
    const task = disk.submit(abort('00001234'))
    disk.store.releaseAll()
    assert.equal(senseOf(disk.transport.outcome(task)), 'status 0')
    assert.equal(senseOf(disk.transport.outcome(copying)), 'a/2f02')
    assert.equal(disk.unit.taskCount, 0)
  })

  it('is refused where no such copy is in progress: none, ended, or of another nexus', () => {
    const disk = new TestDisk(64)
    const other = nexusNamed('two')
    disk.attach(other)
    const refused = { in: 'cdb', byte: 2, bit: 7 }
    assert.deepEqual(disk.run(abort('00001234')).sense?.field, refused)
    copy(disk, lid4([target()], [segment({})]), 1)
    assert.deepEqual(disk.run(abort('00001234')).sense?.field, refused)
    disk.store.deferred = true
    copy(disk, lid4([target()], [segment({})], true), 1)
    assert.deepEqual(disk.run(abort('00001234'), {}, other).sense?.field, refused)
    disk.store.releaseAll()
  })

  it('that is aborted itself still ends the copy', () => {
    const disk = new TestDisk(64)
    disk.store.deferred = true
    copy(disk, lid4([target()], [segment({}), segment({})], true), 1)
    const task = disk.submit(abort('00001234'))
    disk.unit.abort(task)
    assert.equal(task.aborted, true)
    disk.store.releaseAll()
    assert.equal(status4(disk)[5], 0x60)
  })
})
