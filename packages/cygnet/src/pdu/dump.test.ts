import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { viewOf } from '../base/bytes.ts'
import { encodeAsyncMessage } from './async-message.ts'
import { BHS_BYTES, RESERVED_TAG } from './bhs.ts'
import { codecs } from './codecs.test-helper.ts'
import { dumpPdu } from './dump.ts'
import { fieldLabel } from './dump-names.ts'
import { fixture } from './fixtures.test-helper.ts'
import { encodeLoginResponse } from './login.ts'
import { opcodeName } from './opcodes.ts'

function dumpFixture(name: string): string {
  const { header, data } = fixture(name)
  return dumpPdu(viewOf(header), 0, data.length === 0 ? [] : [data.subarray(0, 1), data.subarray(1)])
}

/** Without the columns: runs of spaces as one. */
const linesOf = (dump: string): string[] => dump.split('\n').map((text) => text.trim().replaceAll(/ +/g, ' '))

test('a SCSI Command with AHS', () => {
  assert.equal(
    dumpFixture('scsi-command-ahs'),
    `\
SCSI Command (0x01), immediate, final, read, write
  Attribute                          4 (ACA)
  TotalAHSLength                     4
  DataSegmentLength                  0
  LUN                                0x0000000000000000 (0)
  Initiator Task Tag                 0x0000002c
  Expected Data Transfer Length      2048
  CmdSN                              10
  ExpStatSN                          11
  CDB                                7f 00 00 00 00 00 00 0b 00 09 00 00 00 00 00 01
  AHS, extended CDB                  a1 a2 a3
  AHS, bidirectional read length     1024`,
  )
})

test('a Login Response with its status and keys', () => {
  assert.equal(
    dumpFixture('login-response'),
    `\
Login Response (0x23), transit
  CSG                                1 (login operational negotiation)
  NSG                                3 (full feature phase)
  Version-max                        0
  Version-active                     0
  DataSegmentLength                  38
  ISID                               40 00 01 37 00 02
  TSIH                               3
  Initiator Task Tag                 0x00000001
  StatSN                             32
  ExpCmdSN                           16
  MaxCmdSN                           79
  Status-Class                       0
  Status-Detail                      0
  Status                             Success: Login is proceeding.
  data, 38 bytes
    HeaderDigest=CRC32C
    DataDigest=CRC32C`,
  )
})

test('a Reject with the header that it rejects', () => {
  assert.equal(
    dumpFixture('reject'),
    `\
Reject (0x3f)
  Reason                             4 (protocol error)
  DataSegmentLength                  48
  StatSN                             285
  ExpCmdSN                           286
  MaxCmdSN                           287
  DataSN                             6
  data, 48 bytes
    header of the bad PDU: SNACK Request (0x10)
      Type                               0 (data or R2T)
      LUN                                0x0001000000000000 (1)
      Initiator Task Tag                 0x0000002a
      Target Transfer Tag                none (0xffffffff)
      ExpStatSN                          22
      BegRun                             3
      RunLength                          4`,
  )
})

/** Lines that say more than a number. */
const telling: Readonly<Record<string, readonly string[]>> = {
  'nop-out': ['NOP-Out (0x00), immediate', 'data, 5 bytes', '0000 70 69 6e 67 21 ping!'],
  'scsi-command-read': [
    'SCSI Command (0x01), final, read',
    'Attribute 1 (simple)',
    'LUN 0x0001000000000000 (1)',
  ],
  'scsi-command-write': ['SCSI Command (0x01), write', 'LUN 0x0102000000000000', 'Attribute 2 (ordered)'],
  'task-management-request': ['Function 1 (abort task)', 'Referenced Task Tag 0x0000002a'],
  'login-request': ['Login Request (0x03), transit', 'HeaderDigest=CRC32C,None', 'DataDigest=CRC32C,None'],
  'text-request': ['Text Request (0x04), final', 'SendTargets=All', 'Target Transfer Tag none (0xffffffff)'],
  'data-out': ['SCSI Data-Out (0x05), final', 'Buffer Offset 65536', 'data, 7 bytes'],
  'logout-request': ['Logout Request (0x06), immediate', 'Reason Code 1 (close connection)'],
  'snack-request': ['Type 0 (data or R2T)'],
  'nop-in': ['NOP-In (0x20)', 'Initiator Task Tag none (0xffffffff)', 'Target Transfer Tag 0x00000077'],
  'scsi-response': [
    'SCSI Response (0x21), residual underflow',
    'Response 0 (command completed)',
    'Status 2 (CHECK CONDITION)',
    'Residual Count 4096',
    'sense data, SenseLength 18',
    '0000 70 00 05 00 00 00 00 0a 00 00 00 00 21 00 00 00 p...........!...',
  ],
  'scsi-response-bidirectional': ['SCSI Response (0x21), bidirectional read overflow, residual overflow'],
  'task-management-response': ['Response 1 (task does not exist)'],
  'text-response': ['Text Response (0x24), continue', 'TargetName=iqn.a'],
  'data-in': ['SCSI Data-In (0x25), acknowledge'],
  'data-in-status': [
    'SCSI Data-In (0x25), final, residual underflow, has status',
    'Status 0 (GOOD)',
    'data, 1 byte',
  ],
  'logout-response': ['Response 0 (closed)', 'Time2Wait 2', 'Time2Retain 20'],
  r2t: ['Ready To Transfer (0x31)', 'Desired Data Transfer Length 65536'],
  'async-message': ['AsyncEvent 2 (connection drop)', 'Parameter1 5'],
}
for (const [name, lines] of Object.entries(telling)) {
  test(`${name} is told in words`, () => {
    const dumped = linesOf(dumpFixture(name))
    for (const text of lines) assert.ok(dumped.includes(text), `${text} in\n${dumped.join('\n')}`)
  })
}

for (const codec of codecs) {
  test(`${opcodeName(codec.opcode)}: every field has its line, and every flag that is set its name`, () => {
    fc.assert(
      fc.property(codec.pdus, (pdu) => {
        const view = new DataView(new ArrayBuffer(BHS_BYTES))
        codec.encode(view, 0, pdu)
        const [title = '', ...lines] = linesOf(dumpPdu(view, 0))
        const flags: string[] = []
        for (const [field, value] of Object.entries(pdu) as [string, unknown][]) {
          const label = fieldLabel(field)
          if (value === true) flags.push(label.toLowerCase())
          if (typeof value === 'boolean') continue
          const text = lines.find((candidate) => candidate.startsWith(`${label} `)) ?? ''
          if (typeof value === 'number' && value !== RESERVED_TAG) {
            const shown = Number(text.slice(label.length + 1).split(' ')[0])
            assert.equal(shown, value, text)
          } else if (typeof value === 'bigint') {
            assert.equal(BigInt(text.split(' ')[1] ?? ''), value)
          } else {
            assert.notEqual(text, '', label)
          }
        }
        const [, ...named] = title.split(', ')
        assert.deepEqual(named.toSorted(), flags.toSorted())
      }),
    )
  })
}

test('a LUN in flat addressing shows its number, one of several levels does not', () => {
  const { header } = fixture('r2t')
  const view = viewOf(header.slice())
  view.setBigUint64(8, 0x4123_0000_0000_0000n)
  assert.ok(linesOf(dumpPdu(view, 0)).includes('LUN 0x4123000000000000 (291)'))
  view.setBigUint64(8, 0x0001_0002_0000_0000n)
  assert.ok(linesOf(dumpPdu(view, 0)).includes('LUN 0x0001000200000000'))
})

test('an unassigned login status is shown by its class', () => {
  const view = new DataView(new ArrayBuffer(BHS_BYTES))
  encodeLoginResponse(view, 0, {
    transit: false,
    continue: false,
    csg: 0,
    nsg: 0,
    versionMax: 0,
    versionActive: 0,
    dataSegmentLength: 0,
    isid: new Uint8Array(6),
    tsih: 0,
    initiatorTaskTag: 0,
    statSN: 0,
    expCmdSN: 0,
    maxCmdSN: 0,
    statusClass: 2,
    statusDetail: 0x7f,
  })
  assert.ok(
    linesOf(dumpPdu(view, 0)).includes('Status Initiator error (0x027f): The status 0x027f is not assigned.'),
  )
})

test('event data follows the sense data', () => {
  const view = new DataView(new ArrayBuffer(BHS_BYTES))
  encodeAsyncMessage(view, 0, {
    dataSegmentLength: 5,
    lun: 0n,
    statSN: 0,
    expCmdSN: 0,
    maxCmdSN: 0,
    asyncEvent: 0,
    asyncVCode: 0,
    parameter1: 0,
    parameter2: 0,
    parameter3: 0,
  })
  const lines = linesOf(dumpPdu(view, 0, [Uint8Array.of(0, 1, 0x72, 0x41, 0x42)]))
  assert.deepEqual(lines.slice(-4), ['sense data, SenseLength 1', '0000 72 r', 'then', '0000 41 42 AB'])
})

test('long data is cut, and the rest counted', () => {
  const { header } = fixture('data-in')
  const lines = linesOf(dumpPdu(viewOf(header), 0, [new Uint8Array(200), new Uint8Array(57)]))
  assert.ok(lines.includes('data, 257 bytes'))
  assert.equal(lines.at(-1), '... and 1 byte more')
})

test('control characters of a peer do not reach the terminal', () => {
  const { header } = fixture('text-request')
  const dumped = dumpPdu(viewOf(header), 0, [new TextEncoder().encode('A=\u001b[2J\nB\0')])
  assert.equal(dumped.split('\n').at(-1), '    A=\ufffd[2J\ufffdB')
})

test('an unknown opcode is shown in hexadecimal', () => {
  const header = new Uint8Array(BHS_BYTES)
  header[0] = 0x5c
  const lines = linesOf(dumpPdu(viewOf(header), 0))
  assert.equal(lines[0], 'vendor-specific opcode 0x1c (0x1c), immediate')
  assert.equal(lines.length, 4)
})

test('an AHS that is malformed or was not received is said to be so', () => {
  const { header } = fixture('scsi-command-ahs')
  assert.ok(linesOf(dumpPdu(viewOf(header.subarray(0, BHS_BYTES)), 0)).includes('AHS 16 bytes, not received'))
  const damaged = header.slice()
  damaged[48] = 0xff
  assert.match(dumpPdu(viewOf(damaged), 0), /AHS +malformed: AHSLength 65284 reaches past TotalAHSLength/)
})

test('no header and no data make it throw', () => {
  const memory = fc.uint8Array({ minLength: BHS_BYTES + 3, maxLength: BHS_BYTES + 60 })
  fc.assert(
    fc.property(memory, fc.uint8Array({ maxLength: 100 }), fc.constantFrom(0, 3), (bytes, data, at) => {
      assert.ok(dumpPdu(viewOf(bytes), at, [data]).length > 0)
    }),
    { numRuns: 1000 },
  )
})
