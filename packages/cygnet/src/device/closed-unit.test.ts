import assert from 'node:assert/strict'
import { test } from 'node:test'
import { testUnitReadyCdb } from '../scsi/cdb.ts'
import { CopyUnits } from './copy-units.ts'
import { senseOf, TEST_IDENTITY, TestDisk } from './disk.test-helper.ts'
import { designatorsOf } from './identity-pages.ts'
import { TargetPortGroups } from './target-port-groups.ts'

const OTHER_IDENTITY = { serialNumber: 'SERIAL02', naa: Uint8Array.of(0x30, 7, 6, 5, 4, 3, 2, 1) }

test('a unit that is closed can be copied from and to no more, nor can what its tokens stand for', () => {
  const copyUnits = new CopyUnits(() => new Uint8Array(32))
  const closed = new TestDisk(64, { copyUnits })
  const other = new TestDisk(64, { copyUnits, identity: OTHER_IDENTITY })
  for (const [token, { unit }] of Object.entries({ closed, other })) {
    copyUnits.keepToken(token, { unit, ranges: [{ offset: 0, lengthBytes: 512 }] })
  }
  const find = (identity: typeof TEST_IDENTITY) =>
    designatorsOf(identity).map(({ type, value }) => copyUnits.find(type, value))
  assert.ok(find(TEST_IDENTITY).every((unit) => unit === closed.unit))
  closed.unit.close(() => undefined)
  assert.ok(find(TEST_IDENTITY).every((unit) => unit === undefined))
  assert.ok(find(OTHER_IDENTITY).every((unit) => unit === other.unit))
  assert.equal(copyUnits.findToken('closed'), undefined)
  assert.equal(copyUnits.findToken('other')?.unit, other.unit)
})

test('a unit that is closed hears of its paths no more', () => {
  const portGroups = new TargetPortGroups([[1, 'optimized']])
  const [closed, other] = [new TestDisk(64, { portGroups }), new TestDisk(64, { portGroups })]
  closed.unit.close(() => undefined)
  portGroups.set(new Map([[1, 'non-optimized']]))
  assert.equal(senseOf(closed.run(testUnitReadyCdb())), 'status 0')
  assert.equal(senseOf(other.run(testUnitReadyCdb())), '6/2a06')
})
