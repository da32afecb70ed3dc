import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { get16, get24, get32 } from '../scsi/fields.ts'
import { DISC_BLOCK_BYTES, lbaOfMsf, msfOf } from '../scsi/mmc-address.ts'
import { cdbOf, nexusNamed, senseOf } from './disk.test-helper.ts'
import { CD_BLOCKS } from './optical-disc.ts'
import { LargeDiscStore, TestDrive } from './optical.test-helper.ts'

const DVD_BLOCKS = 2_000_000
const cd = () => new TestDrive()
const dvd = () => new TestDrive(new LargeDiscStore(DVD_BLOCKS))
const answer = (drive: TestDrive, cdb: string): string =>
  Buffer.from(drive.run(cdbOf(cdb)).data).toString('hex')
const problem = (drive: TestDrive, cdb: string): string => senseOf(drive.run(cdbOf(cdb)))

describe('addresses', () => {
  it('in minutes, seconds and frames begin at two seconds, and end where their bytes do', () => {
    assert.deepEqual(msfOf(0), [0, 2, 0])
    assert.deepEqual(msfOf(CD_BLOCKS - 1), [80, 1, 74])
    assert.deepEqual(msfOf(DVD_BLOCKS), [255, 59, 74])
    for (const lba of [0, 74, 75, 4499, 4500, CD_BLOCKS])
      assert.equal(lbaOfMsf(Uint8Array.from(msfOf(lba)), 0), lba)
    assert.equal(lbaOfMsf(Uint8Array.of(0, 60, 0), 0), undefined)
    assert.equal(lbaOfMsf(Uint8Array.of(0, 0, 75), 0), undefined)
    assert.equal(lbaOfMsf(Uint8Array.of(0, 0, 0), 0), -150)
  })
})

/** Hexadecimal without its spaces. */
const hexOf = (text: string): string => text.replaceAll(' ', '')

describe('READ TOC', () => {
  it('lists the track and the lead-out, by LBA and by time', () => {
    // 64 blocks end at 0 minutes, 2 seconds, 64 frames.
    assert.equal(
      answer(cd(), '43 00 00 000000 00 0064 00'),
      hexOf('00120101 0014010000000000 0014aa0000000040'),
    )
    assert.equal(
      answer(cd(), '43 02 00 000000 01 0064 00'),
      hexOf('00120101 0014010000000200 0014aa0000000240'),
    )
    assert.equal(answer(cd(), '43 00 00 000000 aa 0064 00'), hexOf('000a0101 0014aa0000000040'))
    assert.equal(answer(dvd(), '43 00 00 000000 aa 0064 00'), hexOf('000a0101 0014aa00001e8480'))
    assert.equal(problem(cd(), '43 00 00 000000 02 0064 00'), '5/2400')
    assert.equal(answer(cd(), '43 00 00 000000 00 0004 00'), '00120101', 'cut to the allocation length')
  })

  it('knows one session, also where its format is in CONTROL', () => {
    const session = hexOf('000a0101 0014010000000000')
    assert.equal(answer(cd(), '43 00 01 000000 00 000c 00'), session)
    assert.equal(answer(cd(), '43 00 00 000000 00 000c 40'), session)
  })

  it('has the whole lead-in of a CD, and none of a DVD', () => {
    const { data } = cd().run(cdbOf('43 02 02 000000 01 0100 00'))
    assert.equal(get16(data, 0), data.length - 2)
    const points = [0, 1, 2, 3].map((i) => [...data.subarray(4 + 11 * i + 3, 4 + 11 * i + 11)])
    assert.deepEqual(points, [
      [0xa0, 0, 0, 0, 0, 1, 0, 0],
      [0xa1, 0, 0, 0, 0, 1, 0, 0],
      [0xa2, 0, 0, 0, 0, 0, 2, 64],
      [0x01, 0, 0, 0, 0, 0, 2, 0],
    ])
    assert.equal(problem(cd(), '43 02 02 000000 02 0100 00'), '5/2400')
    assert.equal(problem(dvd(), '43 02 02 000000 01 0100 00'), '5/2400')
    for (const format of ['03', '04', '05'])
      assert.equal(problem(cd(), `43 00 ${format} 000000 00 0064 00`), '5/2400')
  })
})

describe('disc and track', () => {
  it('are complete, finalized and as large as the image', () => {
    const disc = cd().run(cdbOf('51 00 0000000000 0022 00')).data
    assert.deepEqual([get16(disc, 0), disc.length, ...disc.subarray(2, 7)], [32, 34, 0x0e, 1, 1, 1, 1])
    assert.deepEqual([get32(disc, 16), get32(disc, 20)], [0xffff_ffff, 0xffff_ffff])
    for (const [type, number] of [
      ['00', '0000003f'],
      ['01', '00000001'],
      ['02', '00000001'],
    ]) {
      const track = cd().run(cdbOf(`52 ${type} ${number} 00 0024 00`)).data
      assert.deepEqual(
        [track.length, track[2], track[5], get32(track, 8), get32(track, 24)],
        [36, 1, 4, 0, 64],
      )
    }
    assert.equal(problem(cd(), '52 00 00000040 00 0024 00'), '5/2100')
    assert.equal(problem(cd(), '52 01 000000ff 00 0024 00'), '5/2400')
    assert.equal(problem(cd(), '52 03 00000001 00 0024 00'), '5/2400')
    assert.equal(problem(cd(), '51 01 0000000000 0022 00'), '5/2400')
  })

  it('have structures on a DVD only', () => {
    const physical = dvd().run(cdbOf('ad 00 00000000 00 00 0804 00 00')).data
    assert.deepEqual([get16(physical, 0), physical.length], [2050, 2052])
    assert.deepEqual([get24(physical, 9), get24(physical, 13)], [0x3_0000, 0x3_0000 + DVD_BLOCKS - 1])
    assert.equal(answer(dvd(), 'ad 00 00000000 00 01 0804 00 00'), '0006000000000000')
    assert.equal(dvd().run(cdbOf('ad 00 00000000 00 04 0804 00 00')).data.length, 2052)
    assert.equal(
      answer(dvd(), 'ad 00 00000000 00 ff 0804 00 00'),
      hexOf('000e0000 00400804 01400008 04400804'),
    )
    assert.equal(problem(dvd(), 'ad 00 00000000 00 03 0804 00 00'), '5/2400', 'no burst cutting area')
    assert.equal(problem(dvd(), 'ad 00 00000000 01 00 0804 00 00'), '5/2400', 'one layer')
    assert.equal(problem(dvd(), 'ad 01 00000000 00 00 0804 00 00'), '5/2400', 'no BD')
    assert.equal(problem(cd(), 'ad 00 00000000 00 00 0804 00 00'), '5/3002')
  })
})

describe('GET CONFIGURATION', () => {
  /** Code → current. */
  const features = (drive: TestDrive, cdb: string): ReadonlyMap<number, boolean> => {
    const { data } = drive.run(cdbOf(cdb))
    assert.equal(get32(data, 0), data.length - 4)
    const found = new Map<number, boolean>()
    for (let at = 8; at < data.length; at += 4 + (data[at + 3] ?? 0))
      found.set(get16(data, at), ((data[at + 2] ?? 0) & 1) === 1)
    return found
  }
  const current = (drive: TestDrive): number[] => [...features(drive, '46 01 0000 000000 0400 00').keys()]
  const always = [0x0000, 0x0001, 0x0002, 0x0003, 0x0100, 0x0105]

  it('has what the standard asks of a CD-ROM or DVD-ROM drive', () => {
    const sorted = (...list: number[]): number[] => list.toSorted((a, b) => a - b)
    assert.deepEqual(current(cd()), sorted(...always, 0x0010, 0x001d, 0x001e))
    assert.deepEqual(current(dvd()), sorted(...always, 0x0010, 0x001f, 0x0107))
    const empty = cd()
    empty.run(cdbOf('1b 00 00 00 02 00'))
    assert.deepEqual(current(empty), always)
    const all = features(empty, '46 00 0000 000000 0400 00')
    assert.equal(all.size, 11)
    assert.equal(all.get(0x001f), false)
  })

  it('begins where it is asked to, or has one feature alone', () => {
    assert.deepEqual([...features(cd(), '46 00 0100 000000 0400 00').keys()], [0x0100, 0x0105, 0x0107])
    assert.deepEqual([...features(cd(), '46 02 001e 000000 0400 00')], [[0x001e, true]])
    assert.deepEqual([...features(cd(), '46 02 0106 000000 0400 00')], [])
    assert.equal(problem(cd(), '46 03 0000 000000 0400 00'), '5/2400')
  })

  it('comes before a unit attention, and leaves it', () => {
    const drive = cd()
    const other = nexusNamed('two')
    drive.unit.attachNexus(other)
    assert.equal(drive.run(cdbOf('46 00 0000 000000 0008 00'), {}, other).status, 0)
    assert.equal(senseOf(drive.run(cdbOf('00 00 00 00 00 00'), {}, other)), '6/2900')
  })
})

describe('GET EVENT STATUS NOTIFICATION', () => {
  const events = (drive: TestDrive, classes: string): string =>
    answer(drive, `4a 01 0000 ${classes} 0000 0008 00`)

  it('tells each nexus once that a disc came or went', () => {
    const drive = cd()
    assert.equal(events(drive, '10'), '0004045602020000', 'a new nexus: the disc is new')
    assert.equal(events(drive, '10'), '0004045600020000')
    drive.run(cdbOf('1b 00 00 00 03 00'))
    assert.equal(events(drive, '10'), '0004045600020000', 'it was in')
    drive.run(cdbOf('1b 00 00 00 02 00'))
    assert.equal(events(drive, '12'), '0004015602000001', 'the most important class first')
    assert.equal(events(drive, '12'), '0004045603010000')
    assert.equal(events(drive, '12'), '0004015600000000')
    drive.run(cdbOf('1b 00 00 00 03 00'))
    assert.equal(events(drive, '10'), '0004045602020000')
  })

  it('keeps an event that did not fit', () => {
    const drive = cd()
    assert.equal(answer(drive, '4a 01 0000 10 0000 0004 00'), '00040456')
    assert.equal(events(drive, '10'), '0004045602020000')
  })

  it('has nothing to say of other classes, and does not notify by itself', () => {
    assert.equal(events(cd(), '04'), '0004025600010000')
    assert.equal(events(cd(), '40'), '0004065600000000')
    assert.equal(events(cd(), '28'), '00008056')
    assert.equal(events(cd(), '00'), '00008056')
    assert.equal(problem(cd(), '4a 00 0000 10 0000 0008 00'), '5/2400')
  })

  it('goes with MECHANISM STATUS', () => {
    const drive = cd()
    assert.equal(answer(drive, 'bd 00000000000000 0008 00 00'), '0000000000000000')
    drive.run(cdbOf('1b 00 00 00 02 00'))
    assert.equal(answer(drive, 'bd 00000000000000 0008 00 00'), '0010000000000000')
  })
})

describe('READ CD', () => {
  const bytesOf = (drive: TestDrive, lba: number, blocks: number): string =>
    Buffer.from(
      drive.store.bytes.subarray(lba * DISC_BLOCK_BYTES, (lba + blocks) * DISC_BLOCK_BYTES),
    ).toString('hex')

  it('reads the user data of mode 1, by LBA and by time', () => {
    const drive = cd()
    for (const type of ['00', '08']) {
      assert.equal(answer(drive, `be ${type} 00000005 000002 10 00 00`), bytesOf(drive, 5, 2))
      assert.equal(answer(drive, `b9 ${type} 00 000205 000207 10 00 00`), bytesOf(drive, 5, 2))
    }
    assert.equal(answer(drive, 'be 00 00000005 000002 00 00 00'), '', 'no field was selected')
    assert.equal(answer(drive, 'be 00 00000005 000000 10 00 00'), '', 'no block')
    assert.equal(drive.pool.inUse, 0)
  })

  it('refuses what is not on the disc, or not there at all', () => {
    for (const type of ['04', '0c', '10', '14'])
      assert.equal(problem(cd(), `be ${type} 00000000 000001 10 00 00`), '5/6400')
    assert.equal(problem(cd(), 'be 00 00000000 000001 f8 00 00'), '5/2400')
    assert.equal(problem(cd(), 'be 00 00000000 000001 10 01 00'), '5/2400')
    assert.equal(problem(cd(), 'be 00 0000003f 000002 10 00 00'), '5/2100')
    assert.equal(problem(cd(), 'b9 00 00 000000 000100 10 00 00'), '5/2100', 'before the first block')
    assert.equal(problem(cd(), 'b9 00 00 000300 000200 10 00 00'), '5/2400', 'the end before the start')
    assert.equal(problem(cd(), 'b9 00 00 00024b 000300 10 00 00'), '5/2400', 'no such frame')
    assert.equal(problem(dvd(), 'be 00 00000000 010000 10 00 00'), '5/2400', 'more than one transfer')
  })
})

describe('seeking and speed', () => {
  it('are taken note of', () => {
    assert.equal(problem(cd(), '2b 00 0000003f 00 0000 00'), 'status 0')
    assert.equal(problem(cd(), '2b 00 00000040 00 0000 00'), '5/2100')
    assert.equal(problem(cd(), 'bb 00 ffff ffff 00000000 00 00'), 'status 0')
    const streaming = cdbOf('b6 00000000000000 00 001c 00')
    assert.equal(senseOf(cd().run(streaming, { dataOut: new Uint8Array(28) })), 'status 0')
    assert.equal(senseOf(cd().run(streaming, { dataOut: new Uint8Array(27) })), '5/1a00')
    assert.equal(problem(cd(), 'b6 00000000000000 00 001b 00'), '5/1a00')
    assert.equal(problem(cd(), 'b6 00000000000000 05 001c 00'), '5/2400')
  })

  it('have one speed all over the disc', () => {
    const { data } = dvd().run(cdbOf('ac 00 00000000 0000 0001 00 00'))
    assert.deepEqual([get32(data, 0), get32(data, 8), get32(data, 16)], [20, 0, DVD_BLOCKS - 1])
    assert.equal(get32(data, 12), get32(data, 20))
    assert.equal(answer(dvd(), 'ac 01 00000000 0000 0001 00 00'), '0000000400000000', 'and no exceptions')
    assert.equal(problem(dvd(), 'ac 04 00000000 0000 0001 00 00'), '5/2400')
    assert.equal(problem(dvd(), 'ac 00 00000000 0000 0001 03 00'), '5/2400')
    assert.equal(problem(cd(), 'ac 00 00000040 0000 0001 00 00'), '5/2100')
  })
})

describe('mode pages of a drive', () => {
  it('are those of MMC, without a block descriptor', () => {
    const { data } = cd().run(cdbOf('5a 00 3f 00 000000 0100 00'))
    assert.deepEqual([get16(data, 0), get16(data, 6)], [data.length - 2, 0])
    const codes: number[] = []
    for (let at = 8; at < data.length; at += 2 + (data[at + 1] ?? 0)) codes.push(data[at] ?? 0)
    assert.deepEqual(codes, [0x01, 0x0a, 0x1a, 0x1d, 0x2a])
    const short = cd().run(cdbOf('1a 00 2a 00 ff 00')).data
    assert.deepEqual([short[0], short[3], short[4], short.length], [35, 0, 0x2a, 36])
    assert.equal(problem(cd(), '5a 00 08 00 000000 0100 00'), '5/2400')
    assert.equal(problem(cd(), '5a 00 ea 00 000000 0100 00'), '5/3900')
  })

  it('say that the disc is locked', () => {
    const drive = cd()
    const lock = (): number => drive.run(cdbOf('5a 00 2a 00 000000 0100 00')).data[14] ?? 0
    assert.equal(lock(), 0x29)
    drive.run(cdbOf('1e 00 00 00 01 00'))
    assert.equal(lock(), 0x2b)
  })

  it('can be sent back as they are, and not be changed', () => {
    const drive = cd()
    const pages = Uint8Array.from(drive.run(cdbOf('5a 00 3f 00 000000 0100 00')).data)
    pages.fill(0, 0, 2)
    const cdb = cdbOf(`55 10 0000000000 00${pages.length.toString(16)} 00`)
    assert.equal(senseOf(drive.run(cdb, { dataOut: pages })), 'status 0')
    assert.deepEqual(
      [...drive.run(cdbOf('5a 00 6a 00 000000 0100 00')).data.subarray(10)],
      Array.from({ length: 30 }, () => 0),
      'nothing is changeable',
    )
    pages[8 + 3] = 5
    const outcome = drive.run(cdb, { dataOut: pages })
    assert.equal(senseOf(outcome), '5/2600')
    assert.deepEqual(outcome.sense?.field, { in: 'parameters', byte: 11, bit: 2 })
    assert.equal(senseOf(drive.run(cdbOf('15 10 00 00 05 00'), { dataOut: cdbOf('00000000 08') })), '5/2600')
    assert.equal(senseOf(drive.run(cdbOf('15 10 00 00 05 00'), { dataOut: cdbOf('00000000 01') })), '5/1a00')
  })

  it('take blocks of no other size', () => {
    const drive = cd()
    const select = (blockBytes: string) =>
      drive.run(cdbOf('15 10 00 00 0c 00'), { dataOut: cdbOf(`00000008 00000000 00${blockBytes}`) })
    assert.equal(senseOf(select('000000')), 'status 0', 'as it is')
    assert.equal(senseOf(select('000800')), 'status 0')
    assert.deepEqual(select('000200').sense?.field?.byte, 8)
  })
})
