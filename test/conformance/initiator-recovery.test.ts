/** RFC 7143 §4.2.3, §7, §11.5 and §11.14: task management, logout and recovery of an initiator. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { serialAdd } from '../../packages/cygnet/src/base/serial32.ts'
import { LogoutReason, SnackType, TaskManagementFunction } from '../../packages/cygnet/src/pdu/codes.ts'
import { decodeLogoutRequest } from '../../packages/cygnet/src/pdu/logout.ts'
import { decodeNopOut } from '../../packages/cygnet/src/pdu/nop.ts'
import { Opcode } from '../../packages/cygnet/src/pdu/opcodes.ts'
import { encodeReject } from '../../packages/cygnet/src/pdu/reject.ts'
import { encodeScsiResponse } from '../../packages/cygnet/src/pdu/scsi-response.ts'
import { pattern } from '../../packages/cygnet/src/session/target-role/fake-target.test-helper.ts'
import type { Pair } from '../../packages/cygnet/src/session/negotiator.ts'
import { SessionPair } from '../../packages/cygnet/src/session/session-pair.test-helper.ts'
import {
  RESERVED,
  open,
  openAt,
  only,
  dataOutsOf,
  snacksOf,
  managementOf,
  theCommand,
  read,
  codeOf,
  R2T_FIRST,
} from './initiator.test-helper.ts'

const { abortTaskSet, abortTask, logicalUnitReset, taskReassign } = TaskManagementFunction

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
