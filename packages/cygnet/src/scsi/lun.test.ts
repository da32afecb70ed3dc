import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { decodeLun, decodeReportLuns, encodeLun, encodeReportLuns, MAX_LUN, REPORT_LUNS_WLUN } from './lun.ts'

describe('LUN addressing', () => {
  it('round-trips every LUN', () => {
    for (let lun = 0; lun <= MAX_LUN; lun++) {
      assert.deepEqual(decodeLun(encodeLun(lun)), { kind: 'unit', lun })
    }
  })

  it('uses peripheral addressing up to 255 and flat space above', () => {
    assert.equal(encodeLun(255), 0x00ff_0000_0000_0000n)
    assert.equal(encodeLun(256), 0x4100_0000_0000_0000n)
    assert.deepEqual(decodeLun(0x4005_0000_0000_0000n), { kind: 'unit', lun: 5 }, 'flat space below 256 too')
  })

  it('knows the REPORT LUNS well known logical unit', () => {
    assert.deepEqual(decodeLun(REPORT_LUNS_WLUN), { kind: 'report-luns' })
  })

  it('refuses a bus identifier, second levels, logical unit addressing and other extended forms', () => {
    const others = [
      0x0105n << 48n,
      0x0005_0001_0000_0000n,
      0x8005n << 48n,
      0xc102n << 48n,
      1n,
      0xffffn << 48n,
    ]
    for (const field of others)
      assert.deepEqual(decodeLun(field), { kind: 'unsupported' }, field.toString(16))
  })

  it('lists logical units in REPORT LUNS data', () => {
    const bytes = encodeReportLuns([0, 300], true)
    const expected = '0000001800000000 0000000000000000 412c000000000000 c101000000000000'
    assert.equal(Buffer.from(bytes).toString('hex'), expected.replaceAll(' ', ''))
    assert.deepEqual(decodeReportLuns(bytes), [
      { kind: 'unit', lun: 0 },
      { kind: 'unit', lun: 300 },
      { kind: 'report-luns' },
    ])
    assert.deepEqual(decodeReportLuns(bytes.subarray(0, 20)), [{ kind: 'unit', lun: 0 }])
    assert.deepEqual(decodeReportLuns(bytes.subarray(0, 3)), [])
  })
})
