/** RFC 7143 §4.2 and §11: what holds for the PDUs of an initiator in the full feature phase, and what it does about a target's. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { serialAdd } from '../../packages/cygnet/src/base/serial32.ts'
import { SnackType, TaskManagementFunction } from '../../packages/cygnet/src/pdu/codes.ts'
import { Opcode } from '../../packages/cygnet/src/pdu/opcodes.ts'
import { pattern } from '../../packages/cygnet/src/session/target-role/fake-target.test-helper.ts'
import { RawTarget } from '../../packages/cygnet/src/session/initiator-role/raw-target.test-helper.ts'
import {
  RESERVED,
  open,
  openAt,
  commandsOf,
  dataOutsOf,
  snacksOf,
  theCommand,
  read,
  codeOf,
  R2T_FIRST,
} from './initiator.test-helper.ts'

describe('§4.2.2 numbering', () => {
  test('§4.2.2.1 CmdSN counts commands over all connections, across its end, and goes up on each', () => {
    const target = openAt(0, 4, { cmdSN: 0xffff_fffc })
    for (let index = 0; index < 8; index++) target.execute()
    const requests = target.poll().filter(({ opcode }) => opcode === Opcode.scsiCommand)
    assert.ok(new Set(requests.map(({ cid }) => cid)).size > 1)
    const numbers = commandsOf(requests).map(({ cmdSN }) => cmdSN)
    const expected = Array.from({ length: 8 }, (_, index) => serialAdd(0xffff_fffc, index))
    assert.deepEqual(new Set(numbers), new Set(expected))
    for (let cid = 1; cid <= 4; cid++) {
      const own = commandsOf(requests.filter((request) => request.cid === cid)).map(({ cmdSN }) => cmdSN)
      assert.deepEqual(
        own,
        own.toSorted((a, b) => (a - b) | 0),
        `connection ${cid}`,
      )
    }
    target.finish()
  })

  test('§4.2.2.1 the CmdSN of an immediate request is the next one, and stays so', () => {
    const target = open()
    target.execute()
    target.session.manage(TaskManagementFunction.logicalUnitReset, 0, () => {})
    target.session.ping(() => {})
    target.execute()
    const requests = target.poll()
    const numbers = requests.map(({ view }) => [(view.getUint8(0) & 0x40) !== 0, view.getUint32(24)])
    assert.deepEqual(numbers, [
      [false, 1],
      [true, 2],
      [true, 2],
      [false, 2],
    ])
    target.finish()
  })

  test('§4.2.2.1 nothing is sent beyond MaxCmdSN until that moves', () => {
    const target = new RawTarget()
    target.depth = 2
    target.open()
    for (let index = 0; index < 4; index++) target.execute()
    assert.equal(commandsOf(target.poll()).length, 2)
    assert.equal(commandsOf(target.nopIn(1)).length, 2)
    target.finish()
  })

  test('§4.2.2.2 responses are acknowledged by the next PDU', () => {
    const target = open()
    const [, command] = read(target, 0)
    const { statSN } = target.line()
    target.respond(1, { initiatorTaskTag: command.initiatorTaskTag })
    assert.equal(read(target, 0)[1].expStatSN, serialAdd(statSN, 1))
    target.finish()
  })
})

describe('§4.2.5.2, §11.3 commands and unsolicited data', () => {
  test('the first burst is immediate data and Data-Out up to FirstBurstLength, in the order of commands', () => {
    const target = open({
      keys: [
        ['InitialR2T', 'No'],
        ['FirstBurstLength', '2048'],
        ['MaxBurstLength', '4096'],
        ['MaxRecvDataSegmentLength', '512'],
      ],
    })
    for (let index = 0; index < 2; index++) target.execute({ dataOut: [pattern(5000)] })
    const requests = target.poll()
    const commands = commandsOf(requests)
    assert.deepEqual(
      commands.map(({ final, write, dataSegmentLength }) => [final, write, dataSegmentLength]),
      [
        [false, true, 512],
        [false, true, 512],
      ],
    )
    for (const { initiatorTaskTag } of commands) {
      const burst = dataOutsOf(requests).filter((data) => data.initiatorTaskTag === initiatorTaskTag)
      assert.deepEqual(
        burst.map(({ final, dataSN, bufferOffset, dataSegmentLength }) => [
          final,
          dataSN,
          bufferOffset,
          dataSegmentLength,
        ]),
        [
          [false, 0, 512, 512],
          [false, 1, 1024, 512],
          [true, 2, 1536, 512],
        ],
      )
      assert.ok(burst.every(({ targetTransferTag }) => targetTransferTag === RESERVED))
    }
    const order = dataOutsOf(requests).map(({ initiatorTaskTag }) => initiatorTaskTag)
    assert.deepEqual(
      order,
      order.toSorted((a, b) => a - b),
    )
    target.finish()
  })

  test('without InitialR2T=No there is no Data-Out before an R2T, and F is set', () => {
    const target = open({ keys: [['InitialR2T', 'Yes']] })
    target.execute({ dataOut: [pattern(300_000)] })
    const requests = target.poll()
    assert.equal(theCommand(requests).final, true)
    assert.deepEqual(dataOutsOf(requests), [])
    target.finish()
  })

  test('F, R and W say what is to come', () => {
    const target = open()
    for (const [options, flags] of [
      [{}, [true, false, false, 0]],
      [{ dataIn: new Uint8Array(512) }, [true, true, false, 512]],
      [{ dataOut: [pattern(512)] }, [true, false, true, 512]],
    ] as const) {
      target.execute(options)
      const { final, read: isRead, write, expectedDataTransferLength } = theCommand(target.poll())
      assert.deepEqual([final, isRead, write, expectedDataTransferLength], flags)
    }
    target.finish()
  })
})

describe('§11.8 R2Ts', () => {
  test('are answered in full and in order, on the connection of the command, F at the end', () => {
    const target = openAt(0, 3, {
      keys: [...R2T_FIRST, ['MaxOutstandingR2T', '2'], ['MaxRecvDataSegmentLength', '512']],
    })
    const executed = target.execute({ dataOut: [pattern(3000)], lun: 5 })
    const { initiatorTaskTag, cid, lun } = theCommand(target.poll())
    const requests = [
      ...target.r2t(cid, { initiatorTaskTag, lun, targetTransferTag: 8, desiredDataTransferLength: 1200 }),
      ...target.r2t(cid, {
        initiatorTaskTag,
        lun,
        targetTransferTag: 9,
        r2tSN: 1,
        bufferOffset: 1200,
        desiredDataTransferLength: 1800,
      }),
    ]
    assert.ok(requests.every((request) => request.cid === cid))
    assert.deepEqual(
      dataOutsOf(requests).map((data) => [
        data.targetTransferTag,
        data.dataSN,
        data.bufferOffset,
        data.dataSegmentLength,
        data.final,
      ]),
      [
        [8, 0, 0, 512, false],
        [8, 1, 512, 512, false],
        [8, 2, 1024, 176, true],
        [9, 0, 1200, 512, false],
        [9, 1, 1712, 512, false],
        [9, 2, 2224, 512, false],
        [9, 3, 2736, 264, true],
      ],
    )
    for (const data of dataOutsOf(requests)) assert.equal(data.lun, lun)
    assert.deepEqual(new Uint8Array(Buffer.concat(requests.map(({ data }) => data))), pattern(3000))
    target.respond(cid, { initiatorTaskTag })
    assert.equal(codeOf(executed), 'status')
    target.finish()
  })

  for (const [what, edit] of [
    ['for more than there is', { desiredDataTransferLength: 4000 }],
    ['from beyond the end', { bufferOffset: 0xffff_fff0, desiredDataTransferLength: 512 }],
    ['for nothing', { desiredDataTransferLength: 0 }],
    ['without a transfer tag', { targetTransferTag: RESERVED }],
    ['for another unit', { lun: 3n << 48n }],
    ['with a gap in R2TSN', { r2tSN: 1 }],
    ['for a task that is not there', { initiatorTaskTag: 0x7777 }],
  ] as const) {
    test(`§7.7 an R2T ${what} ends the connection, and sends nothing`, () => {
      const target = openAt(0, 1, { keys: R2T_FIRST })
      const executed = target.execute({ dataOut: [pattern(3000)] })
      const { initiatorTaskTag } = theCommand(target.poll())
      const requests = target.r2t(1, { initiatorTaskTag, ...edit })
      assert.deepEqual(dataOutsOf(requests), [])
      assert.equal(target.line().connection.state, 'closed')
      assert.notEqual(codeOf(executed), 'status')
      assert.notEqual(executed.result, undefined)
      target.finish()
    })
  }

  test('§4.2.5.1 an R2T on another connection than the command sends nothing', () => {
    const target = openAt(0, 2, { keys: R2T_FIRST })
    target.execute({ dataOut: [pattern(3000)] })
    const { initiatorTaskTag, cid } = theCommand(target.poll())
    const other = 3 - cid
    assert.deepEqual(dataOutsOf(target.r2t(other, { initiatorTaskTag })), [])
    assert.equal(target.line(other).connection.state, 'closed')
    target.finish()
  })
})

describe('§11.7 Data-In', () => {
  test('fills the buffer; its status ends the command', () => {
    const target = open()
    const [executed, { initiatorTaskTag }] = read(target, 1024)
    target.dataIn(1, { initiatorTaskTag }, pattern(512))
    target.dataIn(
      1,
      { initiatorTaskTag, dataSN: 1, bufferOffset: 512, hasStatus: true, final: true },
      pattern(512, 512),
    )
    assert.equal(codeOf(executed), 'status')
    assert.deepEqual(executed.request.dataIn, pattern(1024))
    target.finish()
  })

  test('§11.7.7 without data is taken', () => {
    const target = open()
    const [executed, { initiatorTaskTag }] = read(target, 512)
    target.dataIn(1, { initiatorTaskTag }, new Uint8Array(0))
    target.dataIn(1, { initiatorTaskTag, dataSN: 1, hasStatus: true, final: true }, pattern(512))
    assert.equal(codeOf(executed), 'status')
    assert.deepEqual(executed.request.dataIn, pattern(512))
    target.finish()
  })

  test('§11.7.2 an A bit is ignored at ErrorRecoveryLevel 0, and answered with DataACK above', () => {
    for (const level of [0, 1, 2] as const) {
      const target = openAt(level)
      const [, { initiatorTaskTag }] = read(target, 1024)
      const lun = 0n
      const more = { initiatorTaskTag, acknowledge: true, targetTransferTag: 77, final: true, lun }
      const [snack] = snacksOf(target.dataIn(1, more, pattern(512)))
      if (level === 0) assert.equal(snack, undefined)
      else {
        assert.ok(snack)
        const { type, targetTransferTag, begRun, runLength } = snack
        assert.deepEqual([type, targetTransferTag, begRun, runLength], [SnackType.dataAck, 77, 1, 0])
        assert.equal(snack.initiatorTaskTag, RESERVED, '§11.16.4')
      }
      target.finish()
    }
  })

  for (const [what, edit, lengthBytes] of [
    ['beyond the buffer', { bufferOffset: 1000 }, 512],
    ['far beyond it', { bufferOffset: 0xffff_fff0 }, 512],
    ['more than fits', {}, 4096],
    ['with a gap in DataSN', { dataSN: 1 }, 512],
    ['for a task that is not there', { initiatorTaskTag: 0x7777 }, 512],
  ] as const) {
    test(`§7.7 Data-In ${what} ends the connection`, () => {
      const target = openAt(0)
      const [executed, { initiatorTaskTag }] = read(target, 1024)
      target.dataIn(1, { initiatorTaskTag, ...edit }, pattern(lengthBytes))
      assert.equal(target.line().connection.state, 'closed')
      assert.equal(executed.result?.kind, 'failed')
      target.finish()
    })
  }

  test('§7.7 Data-In for a command that reads nothing ends the connection', () => {
    const target = openAt(0)
    const executed = target.execute()
    const { initiatorTaskTag } = theCommand(target.poll())
    target.dataIn(1, { initiatorTaskTag }, pattern(4))
    assert.equal(target.line().connection.state, 'closed')
    assert.equal(executed.result?.kind, 'failed')
    target.finish()
  })
})

describe('§11.4 SCSI Response', () => {
  test('§11.4.3 where the target could not carry out the command, its status does not count', () => {
    const target = open()
    const [executed, { initiatorTaskTag }] = read(target, 0)
    target.respond(1, { initiatorTaskTag, response: 1, status: 0 })
    assert.equal(codeOf(executed), 'TARGET_FAILURE')
    target.finish()
  })

  test('§11.4.7 sense data that is longer than its segment ends the connection', () => {
    const target = openAt(0)
    const [executed, { initiatorTaskTag }] = read(target, 0)
    target.respond(1, { initiatorTaskTag, status: 2 }, new Uint8Array([0, 40, 0x70, 0]))
    assert.equal(target.line().connection.state, 'closed')
    assert.equal(executed.result?.kind, 'failed')
    target.finish()
  })

  for (const level of [0, 1, 2] as const) {
    test(`§11.4.8 an ExpDataSN beyond all reason ends the connection, at ErrorRecoveryLevel ${level}`, () => {
      const target = openAt(level)
      const [executed, { initiatorTaskTag }] = read(target, 512)
      target.respond(1, { initiatorTaskTag, expDataSN: RESERVED })
      assert.equal(target.line().connection.state, 'closed')
      assert.equal(executed.result?.kind, 'failed')
      target.finish()
    })
  }

  test('§4.2.5.1 on another connection than the command it does not end the command', () => {
    const target = openAt(2, 2)
    const [executed, { initiatorTaskTag, cid }] = read(target, 0)
    target.respond(3 - cid, { initiatorTaskTag })
    assert.equal(executed.result, undefined)
    target.respond(cid, { initiatorTaskTag })
    assert.equal(codeOf(executed), 'status')
    target.finish()
  })
})
