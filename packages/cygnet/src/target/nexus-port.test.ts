import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { LogicalUnit } from '../device/logical-unit.ts'
import { NoUnit } from '../device/no-unit.ts'
import { TaskManagementFunction, TaskManagementResponseCode } from '../pdu/codes.ts'
import type { PendingEvent } from '../scsi/pending-event.ts'
import type { Nexus } from '../scsi/task.ts'
import { NexusPort } from './nexus-port.ts'

const Response = TaskManagementResponseCode
const { functionComplete, functionAuthorizationFailed, lunDoesNotExist } = Response

/** A unit that remembers what was done to it. */
class FakeUnit extends NoUnit {
  readonly calls: string[] = []
  pending: PendingEvent | undefined
  override reset(done: () => void, cause = 'reset'): void {
    this.calls.push(cause)
    done()
  }
  override clearAca(_nexus: Nexus, done: () => void): void {
    this.calls.push('clear ACA')
    done()
  }
  override hasTasks(): boolean {
    return this.calls.length > 0
  }
  override pendingEvent(): PendingEvent | undefined {
    return this.pending
  }
  override abortTaskSet(_nexus: Nexus, everyNexus: boolean, done: () => void): void {
    this.calls.push(everyNexus ? 'clear task set' : 'abort task set')
    done()
  }
}

interface Setup {
  readonly port: NexusPort
  readonly response: (taskManagementFunction: number, lun?: number) => number
  readonly units: readonly [FakeUnit, FakeUnit]
  readonly dropped: string[]
}

/** `seen`: LUNs of the target's two units that the initiator sees. */
function setUp(readOnly: boolean, seen: readonly (0 | 1)[]): Setup {
  const units = [new FakeUnit(), new FakeUnit()] as const
  const dropped: string[] = []
  const nexus: Nexus = {
    initiatorPortName: 'i',
    targetPortName: 't',
    relativeTargetPortId: 1,
    readOnly,
    reportLuns: () => seen,
  }
  const domain = {
    unitCount: units.length,
    dropAllSessions: (reason: string) => dropped.push(`all: ${reason}`),
    dropSession: (one: Nexus, reason: string) => dropped.push(`${one.initiatorPortName}: ${reason}`),
  }
  const port = new NexusPort(
    domain,
    nexus,
    new Map<number, LogicalUnit>(seen.map((lun) => [lun, units[lun]])),
  )
  const response = (taskManagementFunction: number, lun = 0): number => {
    const responses: number[] = []
    port.manage(taskManagementFunction, lun, (code) => responses.push(code))
    assert.equal(responses.length, 1)
    return responses[0] ?? -1
  }
  return { port, response, units, dropped }
}

describe('task management through a nexus', () => {
  test('reaches the unit that the LUN means for it', () => {
    const { response, units } = setUp(false, [0, 1])
    assert.equal(response(TaskManagementFunction.logicalUnitReset, 1), functionComplete)
    assert.equal(response(TaskManagementFunction.clearTaskSet, 0), functionComplete)
    assert.deepEqual([units[0].calls, units[1].calls], [['clear task set'], ['reset']])
    assert.equal(response(TaskManagementFunction.logicalUnitReset, 2), lunDoesNotExist)
  })

  test('a cold reset resets all units and then drops every session', () => {
    const { response, units, dropped } = setUp(false, [0, 1])
    assert.equal(response(TaskManagementFunction.targetColdReset), functionComplete)
    assert.deepEqual(
      [units[0].calls, units[1].calls, dropped],
      [['power-on'], ['power-on'], ['all: TARGET COLD RESET']],
    )
  })

  test('who sees a part of the target resets that part, and does not drop the sessions of all', () => {
    const { response, units, dropped } = setUp(false, [1])
    assert.equal(response(TaskManagementFunction.targetColdReset), functionAuthorizationFailed)
    assert.equal(response(TaskManagementFunction.targetWarmReset), functionComplete)
    assert.deepEqual([units[0].calls, units[1].calls, dropped], [[], ['reset'], []])
  })

  test('who may only read ends its own tasks, and nobody else’s', () => {
    const { response, units, dropped } = setUp(true, [0, 1])
    assert.equal(response(TaskManagementFunction.abortTaskSet), functionComplete)
    for (const name of ['clearTaskSet', 'logicalUnitReset', 'targetWarmReset', 'targetColdReset'] as const) {
      assert.equal(response(TaskManagementFunction[name]), functionAuthorizationFailed, name)
    }
    assert.deepEqual([units[0].calls, units[1].calls, dropped], [['abort task set'], [], []])
    assert.equal(response(TaskManagementFunction.clearAca), functionComplete)
    assert.equal(response(TaskManagementFunction.queryTaskSet), Response.functionSucceeded)
    assert.equal(response(TaskManagementFunction.queryAsynchronousEvent), functionComplete)
    assert.equal(response(TaskManagementFunction.itNexusReset), functionComplete)
    assert.deepEqual(dropped, ['i: I_T NEXUS RESET'])
  })

  test('CLEAR ACA reaches the unit', () => {
    const { response, units } = setUp(false, [0, 1])
    assert.equal(response(TaskManagementFunction.clearAca, 1), functionComplete)
    assert.deepEqual([units[0].calls, units[1].calls], [[], ['clear ACA']])
    assert.equal(response(TaskManagementFunction.clearAca, 5), lunDoesNotExist)
  })

  test('RFC 7144 §6.4.2 QUERY TASK SET says whether the unit has tasks', () => {
    const { response, units } = setUp(false, [0, 1])
    assert.equal(response(TaskManagementFunction.queryTaskSet), functionComplete)
    units[0].calls.push('a task')
    assert.equal(response(TaskManagementFunction.queryTaskSet), Response.functionSucceeded)
    assert.equal(response(TaskManagementFunction.queryTaskSet, 1), functionComplete)
    assert.equal(response(TaskManagementFunction.queryTaskSet, 2), lunDoesNotExist)
  })

  test('RFC 7144 §6.4.2 QUERY ASYNCHRONOUS EVENT says what is pending', () => {
    const { port, units } = setUp(false, [0])
    const answers: unknown[] = []
    const query = (): void =>
      port.manage(TaskManagementFunction.queryAsynchronousEvent, 0, (...answer) => answers.push(answer))
    query()
    units[0].pending = { sense: { key: 6, additional: 0x2903 }, hasMore: false }
    query()
    assert.deepEqual(answers, [[functionComplete], [Response.functionSucceeded, 0x16_2903]])
  })

  test('RFC 7144 §6.3 I_T NEXUS RESET ends the tasks of the nexus at every unit, then its session', () => {
    const { response, units, dropped } = setUp(false, [0, 1])
    assert.equal(response(TaskManagementFunction.itNexusReset), functionComplete)
    assert.deepEqual(
      [units[0].calls, units[1].calls, dropped],
      [['abort task set'], ['abort task set'], ['i: I_T NEXUS RESET']],
    )
  })

  test('what the port does not have is not supported', () => {
    assert.equal(
      setUp(false, [0]).response(TaskManagementFunction.taskReassign),
      Response.functionNotSupported,
    )
  })
})
