/** RFC 7143 §4.2, §7 and §11: what holds for the PDUs of an initiator in the full feature phase, and what it does about a target's. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { serialAdd } from '../../packages/cygnet/src/base/serial32.ts'
import { LogoutReason, SnackType, TaskManagementFunction } from '../../packages/cygnet/src/pdu/codes.ts'
import { type DataOut, decodeDataOut } from '../../packages/cygnet/src/pdu/data.ts'
import { decodeLogoutRequest } from '../../packages/cygnet/src/pdu/logout.ts'
import { decodeNopOut } from '../../packages/cygnet/src/pdu/nop.ts'
import { Opcode } from '../../packages/cygnet/src/pdu/opcodes.ts'
import { decodeScsiCommand, type ScsiCommand } from '../../packages/cygnet/src/pdu/scsi-command.ts'
import { encodeReject } from '../../packages/cygnet/src/pdu/reject.ts'
import { encodeScsiResponse } from '../../packages/cygnet/src/pdu/scsi-response.ts'
import { decodeSnackRequest, type SnackRequest } from '../../packages/cygnet/src/pdu/snack.ts'
import {
  decodeTaskManagementRequest,
  type TaskManagementRequest,
} from '../../packages/cygnet/src/pdu/task-management.ts'
import { pattern } from '../../packages/cygnet/src/session/fake-target.test-helper.ts'
import type { Pair } from '../../packages/cygnet/src/session/negotiator.ts'
import {
  type Executed,
  RawTarget,
  type RawTargetOptions,
  type Request,
} from '../../packages/cygnet/src/session/raw-target.test-helper.ts'
import { SessionPair } from '../../packages/cygnet/src/session/session-pair.test-helper.ts'

const RESERVED = 0xffff_ffff
const { abortTaskSet, abortTask, logicalUnitReset, taskReassign } = TaskManagementFunction

const open = (options: RawTargetOptions = {}): RawTarget => new RawTarget(options).open()

/** At this ErrorRecoveryLevel, with so many connections. */
const openAt = (errorRecoveryLevel: 0 | 1 | 2, connections = 1, more: RawTargetOptions = {}): RawTarget =>
  open({
    ...more,
    policy: { errorRecoveryLevel, connections, taskReporting: ['RFC3720'], ...more.policy },
    keys: [
      ...(errorRecoveryLevel > 0 ? [['MaxOutstandingR2T', '1'] as const] : []),
      ['DefaultTime2Wait', '2'],
      ['DefaultTime2Retain', '20'],
      ...(more.keys ?? []),
    ],
  })

function only<T>(
  requests: readonly Request[],
  opcode: number,
  decode: (view: DataView, at: number) => T,
): T[] {
  return requests.filter((request) => request.opcode === opcode).map(({ view }) => decode(view, 0))
}

const commandsOf = (requests: readonly Request[]): ScsiCommand[] =>
  only(requests, Opcode.scsiCommand, decodeScsiCommand)
const dataOutsOf = (requests: readonly Request[]): DataOut[] => only(requests, Opcode.dataOut, decodeDataOut)
const snacksOf = (requests: readonly Request[]): SnackRequest[] =>
  only(requests, Opcode.snackRequest, decodeSnackRequest)
const managementOf = (requests: readonly Request[]): TaskManagementRequest[] =>
  only(requests, Opcode.taskManagementRequest, decodeTaskManagementRequest)

/** The one command that was sent now. */
function theCommand(requests: readonly Request[]): ScsiCommand & { readonly cid: number } {
  const [command] = commandsOf(requests)
  const cid = requests.find(({ opcode }) => opcode === Opcode.scsiCommand)?.cid
  assert.ok(command && cid !== undefined)
  return { ...command, cid }
}

const read = (target: RawTarget, lengthBytes: number): [Executed, ScsiCommand & { cid: number }] => {
  const executed = target.execute({ dataIn: new Uint8Array(lengthBytes) })
  return [executed, theCommand(target.poll())]
}

const codeOf = ({ result }: Executed): string | undefined =>
  result?.kind === 'failed' ? result.code : result?.kind

const goodResponse = {
  bidirectionalReadOverflow: false,
  bidirectionalReadUnderflow: false,
  residualOverflow: false,
  residualUnderflow: false,
  response: 0,
  status: 0,
  dataSegmentLength: 0,
  snackTag: 0,
  expDataSN: 0,
  bidirectionalReadResidualCount: 0,
  residualCount: 0,
}

/** No unsolicited data beyond what is immediate. */
const R2T_FIRST: readonly Pair[] = [
  ['InitialR2T', 'Yes'],
  ['ImmediateData', 'No'],
]

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
    target.session.manage(logicalUnitReset, 0, () => {})
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

describe('§7 recovery within a command and a connection', () => {
  test('§7.9 Data-In that is missing is asked for, and the status not acknowledged until it is here', () => {
    const target = openAt(1)
    const [executed, { initiatorTaskTag }] = read(target, 1536)
    const expStatSN = target.line().statSN
    target.dataIn(1, { initiatorTaskTag }, pattern(512))
    const last = { initiatorTaskTag, dataSN: 2, bufferOffset: 1024, hasStatus: true, final: true }
    const [snack] = snacksOf(target.dataIn(1, last, pattern(512, 1024)))
    assert.ok(snack)
    assert.deepEqual(
      [snack.type, snack.initiatorTaskTag, snack.targetTransferTag, snack.begRun, snack.runLength],
      [SnackType.dataOrR2T, initiatorTaskTag, RESERVED, 1, 1],
    )
    assert.equal(snack.expStatSN, expStatSN)
    assert.equal(read(target, 0)[1].expStatSN, expStatSN, 'not acknowledged')
    assert.equal(executed.result, undefined)
    target.dataIn(1, { initiatorTaskTag, dataSN: 1, bufferOffset: 512 }, pattern(512, 512))
    assert.equal(codeOf(executed), 'status')
    assert.deepEqual(executed.request.dataIn, pattern(1536))
    assert.equal(read(target, 0)[1].expStatSN, serialAdd(expStatSN, 1))
    target.finish()
  })

  test('§7.8 a command whose SNACK is rejected waits for its status, and fails', () => {
    const target = openAt(1)
    const [executed, { initiatorTaskTag }] = read(target, 1024)
    const [snack] = target.dataIn(1, { initiatorTaskTag, dataSN: 1, bufferOffset: 512 }, pattern(512, 512))
    assert.ok(snack?.opcode === Opcode.snackRequest)
    const header = new Uint8Array(snack.view.buffer.slice(0, 48))
    const pdu = { reason: 3, dataSN: 0, dataSegmentLength: 48, ...target.numbers(1) }
    target.send(1, (view, at) => encodeReject(view, at, pdu), header)
    assert.equal(codeOf(executed), undefined)
    target.respond(1, { initiatorTaskTag, status: 2, expDataSN: 2 }, new Uint8Array([0, 0]))
    assert.equal(executed.result?.kind === 'status' && executed.result.status, 2)
    target.finish()
  })

  test('§7.9 repeated Data-In and R2Ts are discarded', () => {
    const target = openAt(1, 1, { keys: R2T_FIRST })
    const [executed, { initiatorTaskTag }] = read(target, 1024)
    target.dataIn(1, { initiatorTaskTag }, pattern(512))
    target.dataIn(1, { initiatorTaskTag }, pattern(512).fill(0xee))
    const last = { initiatorTaskTag, dataSN: 1, bufferOffset: 512, hasStatus: true, final: true }
    target.dataIn(1, last, pattern(512, 512))
    assert.deepEqual(executed.request.dataIn, pattern(1024))
    target.execute({ dataOut: [pattern(512)] })
    const { initiatorTaskTag: tag } = theCommand(target.poll())
    assert.equal(dataOutsOf(target.r2t(1, { initiatorTaskTag: tag })).length, 1)
    assert.deepEqual(target.r2t(1, { initiatorTaskTag: tag }), [])
    target.finish()
  })

  test('§7.9 a response that is missing is asked for', () => {
    const target = openAt(1)
    const [first, { initiatorTaskTag: lost }] = read(target, 0)
    const [second, { initiatorTaskTag }] = read(target, 0)
    const { statSN } = target.numbers(1)
    const [snack] = snacksOf(target.respond(1, { initiatorTaskTag }))
    assert.ok(snack)
    assert.deepEqual([snack.type, snack.begRun, snack.runLength], [SnackType.status, statSN, 1])
    assert.deepEqual([snack.initiatorTaskTag, snack.targetTransferTag], [RESERVED, RESERVED], '§11.16.4')
    target.respond(1, { initiatorTaskTag: lost, statSN })
    assert.deepEqual([codeOf(first), codeOf(second)], ['status', 'status'])
    target.finish()
  })
})

test('§7.8 a header digest error ends the connection', () => {
  const pair = new SessionPair({ digests: { header: ['CRC32C'], data: ['None'] } }).open()
  const pending = pair.execute({ cdb: new Uint8Array(16) })
  pair.fate = ({ fromTarget, bytes }) => {
    if (fromTarget) bytes[3] = 1
    return 'pass'
  }
  pair.run()
  assert.equal(pair.session.counters.digestErrorHeader, 1)
  assert.deepEqual(pair.session.connections, [])
  assert.equal(pending.result?.kind, 'failed')
})

describe('§11.5 task management', () => {
  test('§11.5.4 a function for many tasks has no referenced task tag, and its unit', () => {
    const target = open()
    target.session.manage(logicalUnitReset, 5, () => {})
    const [request] = managementOf(target.poll())
    assert.ok(request)
    assert.deepEqual([request.referencedTaskTag, request.lun], [RESERVED, 5n << 48n])
    target.finish()
  })

  test('§11.5.5 ABORT TASK has the RefCmdSN of its task, and goes over the connection of that', () => {
    const target = openAt(0, 3)
    target.execute()
    target.execute()
    const executed = target.execute()
    const sent = target.poll().filter(({ opcode }) => opcode === Opcode.scsiCommand)
    const last = sent.findLast(({ view }) => view.getUint32(24) === 3)
    assert.ok(last)
    target.session.abort(executed.request)
    const requests = target.poll()
    const [request] = managementOf(requests)
    assert.ok(request)
    assert.deepEqual(
      [request.function, request.refCmdSN, request.referencedTaskTag, requests[0]?.cid],
      [abortTask, 3, last.view.getUint32(16), last.cid],
    )
    target.managed(last.cid, request.initiatorTaskTag)
    assert.equal(codeOf(executed), 'TASK_ABORTED')
    target.finish()
  })

  test('§4.2.3.3 R2Ts are answered after ABORT TASK SET; its response ends the tasks, and theirs count no more', () => {
    const target = openAt(0, 1, { keys: R2T_FIRST })
    const executed = target.execute({ dataOut: [pattern(1024)] })
    const { initiatorTaskTag } = theCommand(target.poll())
    let response: number | undefined
    target.session.manage(abortTaskSet, 0, (code) => {
      response = code
    })
    const [request] = managementOf(target.poll())
    assert.ok(request)
    assert.equal(dataOutsOf(target.r2t(1, { initiatorTaskTag })).length, 1)
    assert.equal(executed.result, undefined)
    target.managed(1, request.initiatorTaskTag)
    assert.equal(response, 0)
    assert.equal(codeOf(executed), 'TASK_ABORTED')
    target.finish()
  })
})

describe('RFC 7144 below iSCSIProtocolLevel 2', () => {
  const keys: readonly Pair[] = [['iSCSIProtocolLevel', '1']]

  test('RFC 7144 §5.1.1, §6.3 below level 2 no priority and none of the new functions is sent', () => {
    const target = open({ keys })
    target.execute({ priority: 5 })
    const [command] = target.poll()
    assert.equal(command?.view.getUint8(2), 0)
    const failures: unknown[] = []
    for (const code of [10, 11, 12])
      target.session.manage(code, 0, (_response, failure) => failures.push(failure))
    assert.deepEqual(managementOf(target.poll()), [])
    assert.equal(failures.filter((failure) => failure !== undefined).length, 3)
    target.finish()
  })

  test('RFC 7144 §5.2.1 below level 2 a status qualifier is ignored', () => {
    for (const [level, expected] of [
      ['1', 0],
      ['2', 0x1234],
    ] as const) {
      const target = open({ keys: [['iSCSIProtocolLevel', level]] })
      const [executed, { initiatorTaskTag }] = read(target, 0)
      const numbers = target.numbers(1)
      target.send(1, (view, at) => {
        encodeScsiResponse(view, at, { ...goodResponse, ...numbers, initiatorTaskTag, status: 8 })
        view.setUint16(at + 8, 0x1234)
      })
      assert.equal(executed.result?.kind === 'status' && executed.result.statusQualifier, expected)
      target.finish()
    }
  })
})

describe('§4.2.3.4 FastAbort', () => {
  const policy = { taskReporting: ['FastAbort', 'ResponseFence', 'RFC3720'] } as const

  test('no Data-Out follows the request; Async Message 5 is answered with a NOP-Out', () => {
    const target = open({ policy, keys: R2T_FIRST })
    const executed = target.execute({ dataOut: [pattern(1024)] })
    const { initiatorTaskTag } = theCommand(target.poll())
    target.session.manage(abortTaskSet, 0, () => {})
    const [request] = managementOf(target.poll())
    assert.ok(request)
    assert.deepEqual(dataOutsOf(target.r2t(1, { initiatorTaskTag })), [])
    const { statSN } = target.line()
    const answers = target.asyncMessage(1, { asyncEvent: 5, lun: 5n << 48n })
    const [nop] = only(answers, Opcode.nopOut, decodeNopOut)
    assert.ok(nop)
    assert.deepEqual(
      [nop.initiatorTaskTag, nop.immediate, nop.lun, nop.expStatSN],
      [RESERVED, true, 5n << 48n, serialAdd(statSN, 1)],
      '§11.9.1',
    )
    target.managed(1, request.initiatorTaskTag)
    assert.equal(codeOf(executed), 'TASK_ABORTED')
    target.finish()
  })
})

describe('§11.14 logout', () => {
  test('§11.14 nothing is sent on any connection after the logout of the session', () => {
    const target = openAt(0, 3)
    const early = target.execute()
    target.poll()
    target.session.logOut()
    const late = target.execute()
    const requests = target.poll()
    const [logout] = only(requests, Opcode.logoutRequest, decodeLogoutRequest)
    assert.equal(logout?.reasonCode, LogoutReason.closeSession)
    assert.equal(requests.length, 1)
    target.loggedOut(requests[0]?.cid ?? 0, logout?.initiatorTaskTag ?? 0)
    assert.deepEqual([codeOf(early), codeOf(late)], ['SESSION_CLOSED', 'SESSION_CLOSED'])
    for (const cid of [1, 2, 3]) assert.equal(target.line(cid).connection.state, 'closed', '§11.15')
    target.finish()
  })

  test('§11.9.1 a connection that the target wants logged out takes no new commands', () => {
    const target = openAt(0, 2)
    const requests = target.asyncMessage(1, { asyncEvent: 1, parameter3: 5 })
    for (let index = 0; index < 4; index++) target.execute()
    requests.push(...target.poll())
    for (const { cid } of requests.filter(({ opcode }) => opcode === Opcode.scsiCommand)) assert.equal(cid, 2)
    const [logout] = only(requests, Opcode.logoutRequest, decodeLogoutRequest)
    assert.deepEqual([logout?.reasonCode, logout?.cid], [LogoutReason.closeConnection, 1])
    target.finish()
  })
})

describe('§7.1.4.3 connection recovery', () => {
  test('after Time2Wait the connection is logged out for recovery, then its tasks are reassigned', () => {
    const target = openAt(2, 2)
    const [executed, { initiatorTaskTag, cid }] = read(target, 1024)
    target.dataIn(cid, { initiatorTaskTag }, pattern(512))
    const requests = target.lose(cid)
    requests.push(...target.advance(1900))
    const early = requests.filter(({ opcode }) => opcode !== Opcode.nopOut)
    assert.deepEqual(early, [], '§7.5 Time2Wait')
    const [sent] = target.advance(200)
    assert.ok(sent)
    const other = 3 - cid
    const logout = decodeLogoutRequest(sent.view, 0)
    assert.deepEqual(
      [sent.cid, logout.reasonCode, logout.cid],
      [other, LogoutReason.removeConnectionForRecovery, cid],
    )
    const answers = target.loggedOut(other, logout.initiatorTaskTag)
    const [request] = managementOf(answers)
    assert.ok(request)
    assert.deepEqual(
      [request.function, request.immediate, request.referencedTaskTag, request.expDataSN],
      [taskReassign, true, initiatorTaskTag, 1],
    )
    target.managed(other, request.initiatorTaskTag)
    const last = { initiatorTaskTag, dataSN: 1, bufferOffset: 512, hasStatus: true, final: true }
    target.dataIn(other, last, pattern(512, 512))
    assert.equal(codeOf(executed), 'status')
    assert.deepEqual(executed.request.dataIn, pattern(1024))
    target.finish()
  })

  test('§7.14 the announced drop of a connection is its loss, and that of all comes before any other recovery', () => {
    const target = openAt(2, 2, { policy: { reopenLimitMs: 60_000 } })
    target.asyncMessage(1, { asyncEvent: 2, parameter1: 2, parameter2: 1, parameter3: 5 })
    assert.ok(target.kinds.includes('connection-lost'))
    target.asyncMessage(1, { asyncEvent: 3, parameter2: 1, parameter3: 5 })
    assert.ok(target.kinds.includes('session-lost'))
    target.finish()
  })
})

test('§7.7 a PDU against the rules ends every connection of the session, whatever the ErrorRecoveryLevel', () => {
  for (const level of [0, 1, 2] as const) {
    const target = openAt(level, 3)
    const [, { initiatorTaskTag, cid }] = read(target, 512)
    target.dataIn(cid, { initiatorTaskTag }, pattern(4096))
    for (const one of [1, 2, 3]) assert.equal(target.line(one).connection.state, 'closed')
    target.finish()
  }
})

describe('§7.1.4.4 session recovery', () => {
  test('§7.15 the session is opened again with the same ISID and TSIH 0', () => {
    const target = openAt(0, 1, { policy: { reopenLimitMs: 60_000 } })
    const executed = target.execute({ replay: 'safe' })
    target.poll()
    target.lose(1)
    const requests = target.advance(5000)
    assert.equal(target.logins.length, 2)
    const [first, second] = target.logins
    assert.deepEqual([second?.isid, second?.tsih], [first?.isid, 0])
    const { initiatorTaskTag } = theCommand(requests)
    target.respond(1, { initiatorTaskTag })
    assert.equal(codeOf(executed), 'status')
    target.finish()
  })
})
