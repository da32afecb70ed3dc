import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { LogicalUnit } from '../device/logical-unit.ts'
import { NoUnit } from '../device/no-unit.ts'
import { TaskManagementFunction, TaskManagementResponseCode } from '../pdu/codes.ts'
import type { Nexus } from '../scsi/task.ts'
import { NexusPort } from './nexus-port.ts'

const { functionComplete, functionAuthorizationFailed, lunDoesNotExist } = TaskManagementResponseCode

/** A unit that remembers what was done to it. */
class FakeUnit extends NoUnit {
  readonly calls: string[] = []
  override reset(done: () => void): void {
    this.calls.push('reset')
    done()
  }
  override abortTaskSet(_nexus: Nexus, everyNexus: boolean, done: () => void): void {
    this.calls.push(everyNexus ? 'clear task set' : 'abort task set')
    done()
  }
}

interface Setup {
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
  return { response, units, dropped }
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
      [['reset'], ['reset'], ['all: TARGET COLD RESET']],
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
  })
})
