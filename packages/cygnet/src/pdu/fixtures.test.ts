import assert from 'node:assert/strict'
import { test } from 'node:test'
import { viewOf } from '../base/bytes.ts'
import { opcodeOf } from './bhs.ts'
import { codecOf } from './codecs.test-helper.ts'
import { dataDigestOf, dataDigestOfRange, digestAt, headerDigestOf, putDigest } from './digest.ts'
import { fixture, fixtures } from './fixtures.test-helper.ts'

const bytes = (text: string): Uint8Array => new Uint8Array(Buffer.from(text.replaceAll(' ', ''), 'hex'))
const LUN_1 = 0x0001_0000_0000_0000n
const ISID = bytes('400001370002')

/** What the comments in the fixtures say. */
const expected: Readonly<Record<string, object>> = {
  'nop-out': {
    immediate: true,
    dataSegmentLength: 5,
    lun: 0x0003_0000_0000_0000n,
    initiatorTaskTag: 0x11223344,
    targetTransferTag: 0xffffffff,
    cmdSN: 0x80000001,
    expStatSN: 0x90000002,
  },
  'scsi-command-read': {
    immediate: false,
    final: true,
    read: true,
    write: false,
    attribute: 1,
    totalAhsLength: 0,
    dataSegmentLength: 0,
    lun: LUN_1,
    initiatorTaskTag: 0x2a,
    expectedDataTransferLength: 4096,
    cmdSN: 7,
    expStatSN: 8,
    cdb: bytes('28 00 00 01 23 45 00 00 08 00 00 00 00 00 00 00'),
  },
  'scsi-command-write': {
    immediate: false,
    final: false,
    read: false,
    write: true,
    attribute: 2,
    totalAhsLength: 0,
    dataSegmentLength: 6,
    lun: 0x0102_0000_0000_0000n,
    initiatorTaskTag: 0x2b,
    expectedDataTransferLength: 512,
    cmdSN: 0xffffffff,
    expStatSN: 9,
    cdb: bytes('2a 08 00 00 00 10 00 00 01 00 00 00 00 00 00 00'),
  },
  'scsi-command-ahs': {
    immediate: true,
    final: true,
    read: true,
    write: true,
    attribute: 4,
    totalAhsLength: 4,
    dataSegmentLength: 0,
    lun: 0n,
    initiatorTaskTag: 0x2c,
    expectedDataTransferLength: 2048,
    cmdSN: 10,
    expStatSN: 11,
    cdb: bytes('7f 00 00 00 00 00 00 0b 00 09 00 00 00 00 00 01'),
  },
  'task-management-request': {
    immediate: true,
    function: 1,
    lun: LUN_1,
    initiatorTaskTag: 0x30,
    referencedTaskTag: 0x2a,
    cmdSN: 12,
    expStatSN: 13,
    refCmdSN: 7,
    expDataSN: 14,
  },
  'login-request': {
    transit: true,
    continue: false,
    csg: 1,
    nsg: 3,
    versionMax: 0,
    versionMin: 0,
    dataSegmentLength: 48,
    isid: ISID,
    tsih: 0,
    initiatorTaskTag: 1,
    cid: 5,
    cmdSN: 16,
    expStatSN: 0,
  },
  'text-request': {
    immediate: false,
    final: true,
    continue: false,
    dataSegmentLength: 16,
    lun: 0n,
    initiatorTaskTag: 0x31,
    targetTransferTag: 0xffffffff,
    cmdSN: 17,
    expStatSN: 18,
  },
  'data-out': {
    final: true,
    dataSegmentLength: 7,
    lun: LUN_1,
    initiatorTaskTag: 0x2b,
    targetTransferTag: 0x55,
    expStatSN: 19,
    dataSN: 2,
    bufferOffset: 65536,
  },
  'logout-request': {
    immediate: true,
    reasonCode: 1,
    initiatorTaskTag: 0x32,
    cid: 5,
    cmdSN: 20,
    expStatSN: 21,
  },
  'snack-request': {
    type: 0,
    lun: LUN_1,
    initiatorTaskTag: 0x2a,
    targetTransferTag: 0xffffffff,
    expStatSN: 22,
    begRun: 3,
    runLength: 4,
  },
  'nop-in': {
    dataSegmentLength: 0,
    lun: 0x0003_0000_0000_0000n,
    initiatorTaskTag: 0xffffffff,
    targetTransferTag: 0x77,
    statSN: 0x100,
    expCmdSN: 0x101,
    maxCmdSN: 0x102,
  },
  'scsi-response': {
    bidirectionalReadOverflow: false,
    bidirectionalReadUnderflow: false,
    residualOverflow: false,
    residualUnderflow: true,
    response: 0,
    status: 2,
    dataSegmentLength: 20,
    initiatorTaskTag: 0x2a,
    snackTag: 0,
    statSN: 0x103,
    expCmdSN: 0x104,
    maxCmdSN: 0x105,
    expDataSN: 1,
    bidirectionalReadResidualCount: 0,
    residualCount: 4096,
  },
  'scsi-response-bidirectional': {
    bidirectionalReadOverflow: true,
    bidirectionalReadUnderflow: false,
    residualOverflow: true,
    residualUnderflow: false,
    response: 0,
    status: 0,
    dataSegmentLength: 0,
    initiatorTaskTag: 0x2c,
    snackTag: 0x99,
    statSN: 0x106,
    expCmdSN: 0x107,
    maxCmdSN: 0x108,
    expDataSN: 2,
    bidirectionalReadResidualCount: 12,
    residualCount: 13,
  },
  'task-management-response': {
    response: 1,
    initiatorTaskTag: 0x30,
    statSN: 0x109,
    expCmdSN: 0x10a,
    maxCmdSN: 0x10b,
  },
  'login-response': {
    transit: true,
    continue: false,
    csg: 1,
    nsg: 3,
    versionMax: 0,
    versionActive: 0,
    dataSegmentLength: 38,
    isid: ISID,
    tsih: 3,
    initiatorTaskTag: 1,
    statSN: 0x20,
    expCmdSN: 0x10,
    maxCmdSN: 0x4f,
    statusClass: 0,
    statusDetail: 0,
  },
  'text-response': {
    final: false,
    continue: true,
    dataSegmentLength: 17,
    lun: 0n,
    initiatorTaskTag: 0x31,
    targetTransferTag: 0x66,
    statSN: 0x10c,
    expCmdSN: 0x10d,
    maxCmdSN: 0x10e,
  },
  'data-in': {
    final: false,
    acknowledge: true,
    residualOverflow: false,
    residualUnderflow: false,
    hasStatus: false,
    status: 0,
    dataSegmentLength: 8,
    lun: LUN_1,
    initiatorTaskTag: 0x2a,
    targetTransferTag: 0x88,
    statSN: 0,
    expCmdSN: 0x10f,
    maxCmdSN: 0x110,
    dataSN: 5,
    bufferOffset: 2048,
    residualCount: 0,
  },
  'data-in-status': {
    final: true,
    acknowledge: false,
    residualOverflow: false,
    residualUnderflow: true,
    hasStatus: true,
    status: 0,
    dataSegmentLength: 1,
    lun: 0n,
    initiatorTaskTag: 0x2a,
    targetTransferTag: 0xffffffff,
    statSN: 0x111,
    expCmdSN: 0x112,
    maxCmdSN: 0x113,
    dataSN: 6,
    bufferOffset: 2056,
    residualCount: 2039,
  },
  'logout-response': {
    response: 0,
    initiatorTaskTag: 0x32,
    statSN: 0x114,
    expCmdSN: 0x115,
    maxCmdSN: 0x116,
    time2Wait: 2,
    time2Retain: 20,
  },
  r2t: {
    lun: LUN_1,
    initiatorTaskTag: 0x2b,
    targetTransferTag: 0x55,
    statSN: 0x117,
    expCmdSN: 0x118,
    maxCmdSN: 0x119,
    r2tSN: 1,
    bufferOffset: 65536,
    desiredDataTransferLength: 65536,
  },
  'async-message': {
    dataSegmentLength: 0,
    lun: 0n,
    statSN: 0x11a,
    expCmdSN: 0x11b,
    maxCmdSN: 0x11c,
    asyncEvent: 2,
    asyncVCode: 0,
    parameter1: 5,
    parameter2: 2,
    parameter3: 20,
  },
  reject: {
    reason: 4,
    dataSegmentLength: 48,
    statSN: 0x11d,
    expCmdSN: 0x11e,
    maxCmdSN: 0x11f,
    dataSN: 6,
  },
}

test('every fixture has its values here', () => {
  assert.deepEqual(Object.keys(expected).toSorted(), fixtures.map(({ name }) => name).toSorted())
})

for (const { name, header } of fixtures) {
  test(`fixture ${name} decodes to the values in its comments`, () => {
    const view = viewOf(header)
    assert.deepEqual(codecOf(opcodeOf(view, 0)).decode(view, 0), expected[name])
  })
}

for (const { name, header, data, wire } of fixtures.filter(({ isLogin }) => !isLogin)) {
  test(`fixture ${name}: the digests that we compute are those on the wire`, () => {
    const full = viewOf(wire(true, true))
    const headerDigest = headerDigestOf(header, 0, header.length)
    assert.equal(headerDigest, digestAt(full, header.length))
    if (data.length > 0) {
      assert.equal(dataDigestOf([data]), digestAt(full, full.byteLength - 4))
      assert.equal(dataDigestOfRange(data, 0, data.length), digestAt(full, full.byteLength - 4))
      assert.equal(dataDigestOf([data.subarray(0, 1), data.subarray(1)]), digestAt(full, full.byteLength - 4))
    }
  })
}

test('a digest is put on the wire least significant byte first', () => {
  const { header, wire } = fixture('r2t')
  const slab = new Uint8Array(52)
  slab.set(header)
  putDigest(viewOf(slab), 48, headerDigestOf(slab, 0, 48))
  assert.deepEqual(slab, wire(true, true))
})
