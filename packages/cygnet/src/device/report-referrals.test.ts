import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { inquiryCdb } from '../scsi/cdb.ts'
import { cdbOf, senseOf, TestDisk } from './disk.test-helper.ts'
import { TargetPortGroups } from './target-port-groups.ts'

const referrals = (lba = '0000000000000000', length = '00000100') => cdbOf(`9e 13 ${lba} ${length} 00 00`)

describe('referrals', () => {
  const portGroups = new TargetPortGroups([
    [1, 'optimized'],
    [7, 'standby'],
  ])
  const disk = new TestDisk(64, { portGroups })

  it('are one segment, the whole medium, through every group', () => {
    const { data } = disk.run(referrals())
    assert.equal(
      Buffer.from(data).toString('hex'),
      '0000001c000000020000000000000000000000000000003f0000000102000007',
    )
    portGroups.set(new Map([[7, 'non-optimized']]))
    disk.run(cdbOf('00 00 00 00 00 00'))
    assert.equal(disk.run(referrals()).data[28], 1, 'as they are now')
    assert.equal(disk.run(referrals('0000000000000000', '00000008')).data.length, 8)
  })

  it('are of blocks that there are', () => {
    assert.equal(senseOf(disk.run(referrals('000000000000003f'))), 'status 0')
    assert.equal(senseOf(disk.run(referrals('0000000000000040'))), '5/2100')
  })

  it('are announced: R_SUP, page B3h', () => {
    assert.equal(disk.run(inquiryCdb(255, 0x86)).data[8], 0x10)
    assert.deepEqual([...disk.run(inquiryCdb(255, 0xb3)).data], [0, 0xb3, 0, 12, ...new Uint8Array(12)])
  })
})
