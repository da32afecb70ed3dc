/**
 * Tests that libiscsi's suite has added to its families CompareAndWrite, ExtendedCopy, ReceiveCopyResults, Inquiry, ReportLuns,
 * PrinReportCapabilities and ProutReserve: a direct-access device by hand, over TCP.
 */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { describe, test } from 'node:test'
import type { CommandResult } from '../support/raw-command.ts'
import type { RawInitiator } from '../support/raw-initiator.ts'
import { Scratch } from '../support/scratch.ts'
import {
  BLOCK_BYTES,
  blocksOf,
  compareAndWrite,
  inquiry,
  read,
  senseOf,
  startSuiteTarget,
  write,
} from './suite.test-helper.ts'

const MIB = 1024 * 1024
const DISK_BYTES = 128 * MIB
const BLOCKS = DISK_BYTES / BLOCK_BYTES
/** LUN 2 has blocks of 4096 bytes. */
const LUNS = [0, 1, 2, 7, 300]
const scratch = new Scratch()
const target = await startSuiteTarget(scratch, {
  0: { memory: '128M' },
  1: { memory: '1M', removable: true },
  2: { memory: '1M', blockSize: 4096 },
  7: { memory: '1M', readOnly: true },
  300: { memory: '1M' },
})
test.after(() => scratch.end())

describe('SBC-3 §5.2 COMPARE AND WRITE', () => {
  /** SPC-4 §4.5.3: with the VALID bit, INFORMATION is in bytes 3 to 6 of fixed format. */
  const informationOf = ({ sense }: CommandResult): number | undefined =>
    (sense[0] ?? 0) >= 0x80 ? sense.readUInt32BE(3) : undefined

  test('a miscompare tells in INFORMATION which byte is the first that differs, of any byte of a block', async () => {
    const initiator = await target.logIn()
    const now = blocksOf(1, 'B')
    await write(initiator, 0, now)
    for (let at = 0; at < BLOCK_BYTES; at++) {
      const expected = Buffer.from(now)
      expected[at] = 0x5a
      const result = await compareAndWrite(initiator, 0, expected, blocksOf(1, 'C'))
      assert.deepEqual([senseOf(result), informationOf(result)], ['e/1d00', at])
    }
    assert.deepEqual(await read(initiator, 0, 1), now)
  })

  test('of several blocks it counts from the first one; the first of several differences is told', async () => {
    const initiator = await target.logIn()
    const now = randomBytes(4 * BLOCK_BYTES)
    await write(initiator, BLOCKS - 4, now)
    for (const differs of [[2047], [512], [1023, 1024], [1535, 1536, 2000]]) {
      const expected = Buffer.from(now)
      for (const at of differs) expected[at] = (expected[at] ?? 0) ^ 0xff
      const result = await compareAndWrite(initiator, BLOCKS - 4, expected, blocksOf(4, 'D'))
      assert.deepEqual([senseOf(result), informationOf(result)], ['e/1d00', differs[0]])
    }
    assert.deepEqual(await read(initiator, BLOCKS - 4, 4), now)
    assert.equal(senseOf(await compareAndWrite(initiator, BLOCKS - 4, now, blocksOf(4, 'D'))), 'status 0')
    assert.deepEqual(await read(initiator, BLOCKS - 4, 4), blocksOf(4, 'D'))
  })

  test('as many blocks as MAXIMUM COMPARE AND WRITE LENGTH are compared and written', async () => {
    const initiator = await target.logIn()
    const most = (await inquiry(initiator, 0xb0)).readUInt8(5)
    assert.ok(most > 0)
    const before = blocksOf(most, 'A')
    await write(initiator, 64, before)
    const expected = Buffer.from(before)
    expected[expected.length - 27] = 0x43
    assert.equal(senseOf(await compareAndWrite(initiator, 64, expected, blocksOf(most, 'B'))), 'e/1d00')
    assert.ok((await read(initiator, 64, most)).equals(before))
    assert.equal(senseOf(await compareAndWrite(initiator, 64, before, blocksOf(most, 'B'))), 'status 0')
    assert.ok((await read(initiator, 64, most)).equals(blocksOf(most, 'B')))
  })

  test('blocks that were never written compare as zeroes', async () => {
    const initiator = await target.logIn()
    const lba = BLOCKS / 2
    assert.equal(senseOf(await compareAndWrite(initiator, lba, blocksOf(1, 1), blocksOf(1, 2))), 'e/1d00')
    assert.equal(senseOf(await compareAndWrite(initiator, lba, blocksOf(1, 0), blocksOf(1, 2))), 'status 0')
    assert.deepEqual(await read(initiator, lba, 1), blocksOf(1, 2))
  })
})

const BLOCK_TO_BLOCK = 0x02
const BYTES_TO_BYTES = 0x0a
const COPY_STATUS = 0
const OPERATING_PARAMETERS = 3

/** The unit's own NAA designator as an identification CSCD descriptor (SPC-4 §6.4.5.2). */
async function copyTarget(initiator: RawInitiator): Promise<Buffer> {
  const page = await inquiry(initiator, 0x83)
  for (let at = 4; at < page.length; at += 4 + page.readUInt8(at + 3)) {
    const isNaaOfUnit = (page.readUInt8(at + 1) & 0x3f) === 0x03
    if (!isNaaOfUnit) continue
    const descriptor = Buffer.alloc(32)
    descriptor[0] = 0xe4
    page.copy(descriptor, 4, at, at + 4 + page.readUInt8(at + 3))
    descriptor.writeUIntBE(BLOCK_BYTES, 29, 3)
    return descriptor
  }
  return assert.fail('no NAA designator in VPD page 83h')
}

/** Copies `lengthBytes` from LBA 0 to `to` with one segment descriptor of this type. */
async function copy(
  initiator: RawInitiator,
  type: number,
  lengthBytes: number,
  to: number,
  listId: number,
): Promise<CommandResult> {
  const segment = Buffer.alloc(type === BLOCK_TO_BLOCK ? 28 : 32)
  segment[0] = type
  segment.writeUInt16BE(segment.length - 4, 2)
  if (type === BLOCK_TO_BLOCK) segment.writeUInt16BE(lengthBytes / BLOCK_BYTES, 10)
  else segment.writeUInt32BE(lengthBytes, 8)
  segment.writeBigUInt64BE(BigInt(to), 20)
  const header = Buffer.alloc(16)
  header[0] = listId
  const unit = await copyTarget(initiator)
  header.writeUInt16BE(unit.length, 2)
  header.writeUInt32BE(segment.length, 8)
  const list = Buffer.concat([header, unit, segment])
  const cdb = Buffer.alloc(16)
  cdb[0] = 0x83
  cdb.writeUInt32BE(list.length, 10)
  return initiator.command(cdb, { write: list })
}

const receiveCopyResults = (initiator: RawInitiator, action: number, listId = 0): Promise<CommandResult> => {
  const cdb = Buffer.alloc(16)
  cdb.set([0x84, action, listId])
  cdb.writeUInt32BE(1024, 10)
  return initiator.command(cdb, { read: 1024 })
}

describe('SPC-4 §6.4 EXTENDED COPY', () => {
  test('§6.28 the operating parameters list descriptor types and limits, as VPD page 8Fh does', async () => {
    const initiator = await target.logIn()
    const { data } = await receiveCopyResults(initiator, OPERATING_PARAMETERS)
    assert.equal(data.readUInt32BE(0), data.length - 4)
    const types = [...data.subarray(44, 44 + data.readUInt8(43))]
    assert.deepEqual(
      types,
      types.toSorted((a, b) => a - b),
    )
    for (const type of [BLOCK_TO_BLOCK, BYTES_TO_BYTES, 0xe4]) assert.ok(types.includes(type))
    const descriptors = copyDescriptors(await inquiry(initiator, 0x8f))
    const supported = descriptors.get(SUPPORTED_DESCRIPTORS)
    assert.deepEqual([...(supported?.subarray(1, 1 + types.length) ?? [])], types)
  })

  test('§6.4.6.12 one segment in bytes copies more than 65,535 blocks', async () => {
    const initiator = await target.logIn()
    const { data } = await receiveCopyResults(initiator, OPERATING_PARAMETERS)
    const most = data.readUInt32BE(16)
    assert.ok(most >= 0x1_0000 * BLOCK_BYTES, `MAXIMUM SEGMENT LENGTH ${most}`)
    const lengthBytes = Math.min(most, DISK_BYTES / 2)
    const to = (DISK_BYTES - lengthBytes) / BLOCK_BYTES
    const begin = randomBytes(MIB)
    const end = randomBytes(MIB)
    const last = (lengthBytes - MIB) / BLOCK_BYTES
    await write(initiator, 0, begin)
    await write(initiator, last, end)
    assert.equal(senseOf(await copy(initiator, BYTES_TO_BYTES, lengthBytes, to, 1)), 'status 0')
    assert.ok((await read(initiator, to, MIB / BLOCK_BYTES)).equals(begin))
    assert.ok((await read(initiator, to + last, MIB / BLOCK_BYTES)).equals(end))
  })

  test('§6.4.6.3 one segment in blocks copies from the beginning of the disk to its end', async () => {
    const initiator = await target.logIn()
    const data = randomBytes(2048 * BLOCK_BYTES)
    await write(initiator, 0, data)
    assert.equal(senseOf(await copy(initiator, BLOCK_TO_BLOCK, data.length, BLOCKS - 2048, 2)), 'status 0')
    assert.ok((await read(initiator, BLOCKS - 2048, 2048)).equals(data))
  })
})

const SUPPORTED_COMMANDS = 0x0001
const SUPPORTED_DESCRIPTORS = 0x0008

/** Descriptors of VPD page 8Fh (SPC-4 §7.8.17) by their types, without type and length. */
function copyDescriptors(page: Buffer): ReadonlyMap<number, Buffer> {
  const found = new Map<number, Buffer>()
  for (let at = 4; at < page.length; at += 4 + page.readUInt16BE(at + 2)) {
    found.set(page.readUInt16BE(at), page.subarray(at + 4, at + 4 + page.readUInt16BE(at + 2)))
  }
  return found
}

describe('SPC-4 §6.26 RECEIVE COPY STATUS', () => {
  test('VPD page 8Fh is in the list of pages, and names the commands and service actions', async () => {
    const initiator = await target.logIn()
    assert.ok((await inquiry(initiator, 0)).subarray(4).includes(0x8f))
    const list = copyDescriptors(await inquiry(initiator, 0x8f)).get(SUPPORTED_COMMANDS)
    assert.ok(list)
    const actions = new Map<number, number[]>()
    for (let at = 1; at < 1 + list.readUInt8(0); at += 2 + list.readUInt8(at + 1)) {
      actions.set(list.readUInt8(at), [...list.subarray(at + 2, at + 2 + list.readUInt8(at + 1))])
    }
    assert.ok(actions.get(0x83)?.includes(0))
    for (const action of [COPY_STATUS, OPERATING_PARAMETERS]) assert.ok(actions.get(0x84)?.includes(action))
  })

  test('of a list identifier that no copy had it is refused, and told of a copy that has ended', async () => {
    const initiator = await target.logIn()
    assert.equal(senseOf(await receiveCopyResults(initiator, COPY_STATUS, 9)), '5/2400')
    assert.equal(senseOf(await copy(initiator, BLOCK_TO_BLOCK, 16 * BLOCK_BYTES, 4096, 9)), 'status 0')
    const { data, status } = await receiveCopyResults(initiator, COPY_STATUS, 9)
    assert.equal(status, 0)
    // Completed without errors, one segment, in bytes.
    const [state, segments, units] = [data[4], data.readUInt16BE(5), data[7]]
    assert.deepEqual([state, segments, units, data.readUInt32BE(8)], [1, 1, 0, 16 * BLOCK_BYTES])
  })
})

describe('SPC-4 §7.8 vital product data', () => {
  for (const lun of LUNS) {
    test(`the pages of LUN ${lun} are listed in ascending order, each once, and each is there`, async () => {
      const initiator = await target.logIn()
      const list = await inquiry(initiator, 0, lun)
      assert.equal(list.readUInt16BE(2), list.length - 4)
      const pages = [...list.subarray(4)]
      assert.equal(pages[0], 0)
      for (const [i, page] of pages.slice(1).entries()) assert.ok(page > (pages[i] ?? 0xff), pages.join())
      for (const page of [0x00, 0x83, 0xb0, 0xb1]) assert.ok(pages.includes(page), `${page} is mandatory`)
      for (const page of pages) {
        const data = await inquiry(initiator, page, lun)
        assert.deepEqual([data[0], data[1]], [list[0], page])
        assert.equal(data.readUInt16BE(2), data.length - 4)
      }
    })
  }
})

describe('SPC-4 §6.33 REPORT LUNS', () => {
  const report = (initiator: RawInitiator, select: number, allocation = 4096): Promise<CommandResult> => {
    const cdb = Buffer.alloc(12)
    cdb.set([0xa0, 0, select])
    cdb.writeUInt32BE(allocation, 6)
    return initiator.command(cdb, { read: allocation })
  }
  const lunsOf = (data: Buffer): string[] =>
    Array.from({ length: (data.length - 8) / 8 }, (_, i) => data.toString('hex', 8 + 8 * i, 16 + 8 * i))

  test('every unit is listed once', async () => {
    const initiator = await target.logIn()
    const { data } = await report(initiator, 0)
    assert.equal(data.readUInt32BE(0), data.length - 8)
    const luns = lunsOf(data)
    assert.equal(new Set(luns).size, luns.length)
    assert.deepEqual(
      luns.toSorted(),
      ['0000', '0001', '0002', '0007', '412c'].map((lun) => lun.padEnd(16, '0')),
    )
  })

  test('a list that is cut has the length of the whole', async () => {
    const initiator = await target.logIn()
    const { data } = await report(initiator, 0, 24)
    assert.deepEqual([data.length, data.readUInt32BE(0)], [24, 8 * LUNS.length])
  })

  test('with the well known units, no unit is listed twice; of nothing but those, there are none', async () => {
    const initiator = await target.logIn()
    const all = lunsOf((await report(initiator, 2)).data)
    assert.equal(new Set(all).size, all.length)
    const wellKnown = lunsOf((await report(initiator, 1)).data)
    assert.ok(wellKnown.every((lun) => lun.startsWith('c1')))
    assert.equal(all.length, LUNS.length + wellKnown.length)
  })
})

describe('SPC-4 §6.15 and §6.16 persistent reservations', () => {
  const KEY = 0x1234_5678_9abc_def0n
  /** Bits of PERSISTENT RESERVATION TYPE MASK (bytes 4 and 5), and the type that each stands for. */
  const masks: readonly (readonly [bit: number, type: number])[] = [
    [0x0200, 1],
    [0x0800, 3],
    [0x2000, 5],
    [0x4000, 6],
    [0x8000, 7],
    [0x0001, 8],
  ]
  const Action = { register: 0, reserve: 1, release: 2, registerAndIgnore: 6 } as const
  const out = (
    initiator: RawInitiator,
    action: number,
    type: number,
    key: bigint,
    newKey = 0n,
  ): Promise<CommandResult> => {
    const list = Buffer.alloc(24)
    list.writeBigUInt64BE(key, 0)
    list.writeBigUInt64BE(newKey, 8)
    return initiator.command([0x5f, action, type, 0, 0, 0, 0, 0, list.length, 0], { write: list })
  }
  const readIn = async (initiator: RawInitiator, action: number): Promise<Buffer> =>
    (await initiator.command([0x5e, action, 0, 0, 0, 0, 0, 1, 0, 0], { read: 256 })).data

  test('each type that the capabilities have can be reserved, is told, and released', async () => {
    const initiator = await target.logIn()
    const capabilities = await readIn(initiator, 2)
    assert.deepEqual([capabilities.length, capabilities.readUInt16BE(0)], [8, 8])
    assert.ok((capabilities.readUInt8(3) & 0x80) !== 0, 'TMV')
    const mask = capabilities.readUInt16BE(4)
    const types = masks.filter(([bit]) => (mask & bit) !== 0).map(([, type]) => type)
    assert.deepEqual(types, [1, 3, 5, 6, 7, 8])
    assert.equal(senseOf(await out(initiator, Action.registerAndIgnore, 0, 0n, KEY)), 'status 0')
    for (const type of types) {
      assert.equal(senseOf(await out(initiator, Action.reserve, type, KEY)), 'status 0')
      const reservation = await readIn(initiator, 1)
      assert.deepEqual([reservation.readUInt32BE(4), reservation[21]], [16, type])
      // All registrants hold types 7 and 8, so that no key is named.
      assert.equal(reservation.readBigUInt64BE(8), type >= 7 ? 0n : KEY)
      assert.equal(senseOf(await out(initiator, Action.release, type, KEY)), 'status 0')
      assert.equal((await readIn(initiator, 1)).readUInt32BE(4), 0)
    }
    for (const type of [0, 2, 4, 9, 15]) {
      assert.equal(senseOf(await out(initiator, Action.reserve, type, KEY)), '5/2400')
    }
    assert.equal(senseOf(await out(initiator, Action.register, 0, KEY)), 'status 0')
    assert.equal((await readIn(initiator, 0)).readUInt32BE(4), 0)
  })
})

test('SPC-4 §4.2.5.6 a command ends with what it has where the allocation is shorter', async () => {
  const initiator = await target.logIn()
  const whole = await inquiry(initiator, 0x83)
  for (const length of [0, 4, 5, whole.length - 1]) {
    const cdb = [0x12, 1, 0x83, 0, length, 0]
    const { data, status } = await initiator.command(cdb, { read: 4096 })
    assert.deepEqual([status, data], [0, whole.subarray(0, length)])
  }
})
