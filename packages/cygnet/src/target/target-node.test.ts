import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { LogicalUnit, NexusLoss } from '../device/logical-unit.ts'
import { TaskManagementFunction, TaskManagementResponseCode } from '../pdu/codes.ts'
import { LoginStatus } from '../pdu/login-status.ts'
import { parseText } from '../pdu/text.ts'
import type { Nexus, ScsiTask } from '../scsi/task.ts'
import type { Pair } from '../session/negotiator.ts'
import { INITIATOR_NAME, TestPeer } from '../session/target-role/peer.test-helper.ts'
import type { TargetHost } from '../session/target-role/target-host.ts'
import { asLogin, asScsi, asTask, names } from '../session/wire.test-helper.ts'
import { IscsiTarget } from './iscsi-target.ts'
import { TargetNode } from './target-node.ts'

const DISK = 'iqn.2026-11.test:disk'
const OTHER = 'iqn.2026-11.test:other'
const CDB = new Uint8Array(16)

/** Notes who comes and goes; keeps tasks until told otherwise. */
class RecordingUnit implements LogicalUnit {
  readonly log: string[] = []
  readonly tasks = new Set<ScsiTask>()
  hold = false

  attachNexus(nexus: Nexus): void {
    this.log.push(`attach ${nexus.initiatorPortName} ${nexus.targetPortName}`)
  }
  detachNexus(nexus: Nexus, loss: NexusLoss): void {
    this.log.push(`detach ${loss}`)
    this.#abortAll((task) => task.nexus === nexus)
  }
  commandsClearedByProtocol(): void {
    this.log.push('cleared')
  }
  submit(task: ScsiTask): void {
    if (this.hold) this.tasks.add(task)
    else task.finish()
  }
  resume(task: ScsiTask): void {
    task.finish()
  }
  abort(task: ScsiTask): void {
    this.#abortAll((other) => other === task)
  }
  abortTaskSet(nexus: Nexus, everyNexus: boolean, done: () => void): void {
    this.log.push(everyNexus ? 'clear task set' : 'abort task set')
    this.#abortAll((task) => everyNexus || task.nexus === nexus)
    done()
  }
  clearAca(_nexus: Nexus, done: () => void): void {
    this.log.push('clear ACA')
    done()
  }
  hasTasks(): boolean {
    return this.tasks.size > 0
  }
  holds(task: ScsiTask): boolean {
    return this.tasks.has(task)
  }
  whenTasksEnd(done: () => void): void {
    done()
  }
  pendingEvent(): undefined {}
  attentionFor(): void {}
  clearAttention(): void {}
  reset(done: () => void): void {
    this.log.push('reset')
    this.#abortAll(() => true)
    done()
  }
  close(done: () => void): void {
    done()
  }

  #abortAll(isAffected: (task: ScsiTask) => boolean): void {
    for (const task of [...this.tasks]) {
      if (!isAffected(task)) continue
      this.tasks.delete(task)
      task.aborted = true
      task.finish()
    }
  }
}

interface Fixture {
  readonly unit: RecordingUnit
  readonly node: TargetNode
  readonly portal: TargetHost
}

function setUp(): Fixture {
  const unit = new RecordingUnit()
  const access = [{}]
  const node = new TargetNode({
    clock: { now: () => 0 },
    targets: [
      new IscsiTarget({ name: DISK, units: new Map([[0, unit]]), access }),
      new IscsiTarget({ name: OTHER, units: new Map(), access }),
    ],
  })
  return { unit, node, portal: node.addPortal({ group: 1, endpoint: () => '0.0.0.0:3260' }) }
}

function connect({ portal }: Fixture, options: { localAddress?: string } = {}): TestPeer {
  return new TestPeer({ host: portal, ...options })
}

const normal: readonly Pair[] = [
  ['InitiatorName', INITIATOR_NAME],
  ['TargetName', DISK],
]
const discovery: readonly Pair[] = [
  ['InitiatorName', INITIATOR_NAME],
  ['SessionType', 'Discovery'],
]

/** TSIH of a login that went well. */
function logIn(
  peer: TestPeer,
  pairs: readonly Pair[] = normal,
  more: Parameters<TestPeer['login']>[1] = {},
): number {
  const response = asLogin(peer.login(pairs, more)[0])
  assert.deepEqual([response.statusClass, response.transit], [0, true], peer.lastReason)
  return response.tsih
}

function assertRefused(peer: TestPeer, more: Parameters<TestPeer['login']>[1], status: LoginStatus): void {
  const response = asLogin(peer.login(normal, more)[0])
  assert.deepEqual(
    [response.statusClass, response.statusDetail],
    [status.statusClass, status.statusDetail],
    peer.lastReason,
  )
  assert.equal(peer.state, 'closed')
}

describe('§6.3.1 new and existing sessions', () => {
  test('a session has its nexus, and a TSIH that no other session has', () => {
    const fixture = setUp()
    const first = connect(fixture)
    const second = connect(fixture)
    second.isid = new Uint8Array([0x80, 0, 0, 0, 0, 9])
    assert.notEqual(logIn(first), logIn(second))
    assert.deepEqual(fixture.unit.log, [
      `attach ${INITIATOR_NAME},i,0x800102030405 ${DISK},t,0x0001`,
      `attach ${INITIATOR_NAME},i,0x800000000009 ${DISK},t,0x0001`,
    ])
    first.finish()
    second.finish()
    assert.deepEqual([...fixture.node.sessions()], [])
  })

  test('§6.3.5 the same initiator port with TSIH 0 reinstates its session: old tasks end without a word', () => {
    const fixture = setUp()
    const old = connect(fixture)
    const oldTsih = logIn(old)
    fixture.unit.hold = true
    old.command(CDB)
    const fresh = connect(fixture)
    assert.notEqual(logIn(fresh), oldTsih)
    assert.equal(old.state, 'closed')
    assert.deepEqual(old.poll(), [])
    assert.match(old.lastReason, /session reinstatement/)
    assert.equal(fixture.unit.tasks.size, 0)
    assert.deepEqual(
      fixture.unit.log.map((line) => line.split(' ')[0]),
      ['attach', 'detach', 'attach'],
    )
    assert.equal([...fixture.node.sessions()].length, 1)
    old.assertAtRest()
    fresh.finish()
  })

  test('the same initiator port at another target is another session', () => {
    const fixture = setUp()
    const first = connect(fixture)
    const second = connect(fixture)
    logIn(first)
    logIn(second, [
      ['InitiatorName', INITIATOR_NAME],
      ['TargetName', OTHER],
    ])
    assert.equal(first.state, 'full-feature')
    first.finish()
    second.finish()
  })

  test('a TSIH that the session does not have, or no session has, does not exist', () => {
    const fixture = setUp()
    assertRefused(connect(fixture), { tsih: 5 }, LoginStatus.sessionDoesNotExist)
    const peer = connect(fixture)
    const tsih = logIn(peer)
    assertRefused(connect(fixture), { tsih: tsih + 1 }, LoginStatus.sessionDoesNotExist)
    assert.equal(peer.state, 'full-feature', 'the session goes on')
    peer.finish()
  })

  test('another connection is one too many', () => {
    const fixture = setUp()
    const peer = connect(fixture)
    const tsih = logIn(peer)
    assertRefused(connect(fixture), { tsih, cid: 2 }, LoginStatus.tooManyConnections)
    assert.equal(peer.state, 'full-feature', 'the session goes on')
    peer.finish()
  })

  test('§6.3.4 the same CID takes the place of the old connection: the session goes on, its tasks end', () => {
    const fixture = setUp()
    const old = connect(fixture)
    const tsih = logIn(old)
    fixture.unit.hold = true
    old.command(CDB)
    const fresh = connect(fixture)
    fresh.cmdSN = old.cmdSN
    assert.equal(logIn(fresh, normal, { tsih }), tsih)
    assert.equal(old.state, 'closed')
    assert.equal(fixture.unit.tasks.size, 0)
    assert.ok(!fixture.unit.log.includes('detach nexus-loss'))
    fixture.unit.hold = false
    assert.equal(asScsi(fresh.command(CDB)[0]).status, 0)
    assert.equal([...fixture.node.sessions()].length, 1)
    fresh.finish()
    assert.deepEqual([...fixture.node.sessions()], [])
  })

  test('§6.3.4 a task management function of the old connection is forgotten with it', () => {
    const fixture = setUp()
    const old = connect(fixture)
    const tsih = logIn(old)
    old.cmdSN = 5
    const request = { function: TaskManagementFunction.abortTaskSet, initiatorTaskTag: 70 }
    assert.deepEqual(old.taskManagement(request), [], 'it waits for commands')
    const fresh = connect(fixture)
    logIn(fresh, normal, { tsih, cmdSN: 1 })
    const abort = { function: TaskManagementFunction.abortTask, referencedTaskTag: 70, cmdSN: 1, refCmdSN: 0 }
    assert.equal(asTask(fresh.taskManagement(abort)[0]).response, TaskManagementResponseCode.taskDoesNotExist)
    fresh.finish()
  })

  test('§6.3.5.1 the units hear whether a session was logged out or lost', () => {
    const fixture = setUp()
    const first = connect(fixture)
    logIn(first)
    first.logout()
    const second = connect(fixture)
    logIn(second)
    second.finish()
    assert.deepEqual(
      fixture.unit.log.filter((line) => line.startsWith('detach')),
      ['detach logout', 'detach nexus-loss'],
    )
  })
})

describe('§7.4.2 discovery sessions', () => {
  test('one of the same initiator port at the same portal reinstates the old one', () => {
    const fixture = setUp()
    const old = connect(fixture)
    logIn(old, discovery)
    const fresh = connect(fixture)
    logIn(fresh, discovery)
    assert.equal(old.state, 'closed')
    assert.equal([...fixture.node.sessions()].length, 1)
    fresh.finish()
  })

  test('one at another portal address is independent, and so is a normal session', () => {
    const fixture = setUp()
    const peers = [connect(fixture), connect(fixture, { localAddress: '10.0.0.1:3260' })]
    for (const peer of peers) logIn(peer, discovery)
    const other = connect(fixture)
    logIn(other)
    for (const peer of [...peers, other]) {
      assert.equal(peer.state, 'full-feature')
      peer.finish()
    }
  })

  test('it never reaches a logical unit', () => {
    const fixture = setUp()
    const peer = connect(fixture)
    logIn(peer, [...discovery, ['TargetName', DISK]])
    assert.deepEqual(names(peer.command(CDB)), ['Reject'])
    peer.finish()
    assert.ok(fixture.unit.log.every((line) => !line.startsWith('attach')))
  })
})

describe('Appendix C SendTargets', () => {
  function sendTargets(peer: TestPeer, value: string): readonly (readonly [string, string])[] {
    const [answer] = peer.text([['SendTargets', value]])
    const parsed = parseText([answer?.data ?? new Uint8Array()])
    assert.ok(parsed.ok)
    return parsed.pairs
  }
  const record = (name: string): Pair[] => [
    ['TargetName', name],
    ['TargetAddress', '127.0.0.1:3260,1'],
  ]

  test('All in a discovery session names every target with its address', () => {
    const peer = connect(setUp())
    logIn(peer, discovery)
    assert.deepEqual(sendTargets(peer, 'All'), [...record(DISK), ...record(OTHER)])
    assert.deepEqual(sendTargets(peer, OTHER), record(OTHER))
    assert.deepEqual(sendTargets(peer, 'iqn.2026-11.test:none'), [])
    assert.deepEqual(sendTargets(peer, ''), [['SendTargets', 'Reject']])
    peer.finish()
  })

  test('a normal session is told of its own target, and All is not allowed', () => {
    const peer = connect(setUp())
    logIn(peer)
    assert.deepEqual(sendTargets(peer, ''), record(DISK))
    assert.deepEqual(sendTargets(peer, DISK), record(DISK))
    assert.deepEqual(sendTargets(peer, OTHER), [], 'it is told of no other')
    assert.deepEqual(sendTargets(peer, 'All'), [['SendTargets', 'Reject']])
    peer.finish()
  })

  test('what is neither All nor a name nor nothing is rejected', () => {
    for (const keys of [discovery, undefined]) {
      const peer = connect(setUp())
      logIn(peer, keys)
      for (const value of ['Alle', 'A', 'all', 'iqn'])
        assert.deepEqual(sendTargets(peer, value), [['SendTargets', 'Reject']], value)
      peer.finish()
    }
  })
})

describe('§11.5.1 task management reaches the units', () => {
  const Function = TaskManagementFunction

  function manage(peer: TestPeer, code: number, lun = 0n): number {
    const answers = peer.taskManagement({ function: code, lun })
    return asTask(answers.find(({ name }) => name !== 'Asynchronous Message')).response
  }

  test('each function does what it says, to its unit', () => {
    const fixture = setUp()
    const peer = connect(fixture)
    logIn(peer)
    for (const code of [Function.abortTaskSet, Function.clearTaskSet, Function.logicalUnitReset]) {
      assert.equal(manage(peer, code), TaskManagementResponseCode.functionComplete)
      assert.equal(manage(peer, code, 1n << 48n), TaskManagementResponseCode.lunDoesNotExist)
    }
    assert.equal(manage(peer, Function.targetWarmReset), TaskManagementResponseCode.functionComplete)
    assert.deepEqual(fixture.unit.log.slice(1), ['abort task set', 'clear task set', 'reset', 'reset'])
    peer.finish()
  })

  test('a reset ends the tasks of other sessions without a response, and their places are free', () => {
    const fixture = setUp()
    const peer = connect(fixture)
    const other = connect(fixture)
    other.isid = new Uint8Array([0x80, 0, 0, 0, 0, 9])
    logIn(peer)
    logIn(other)
    fixture.unit.hold = true
    other.command(CDB)
    manage(peer, Function.logicalUnitReset)
    assert.deepEqual(names(other.poll()), ['NOP-In'], '§11.4.11 MaxCmdSN has changed')
    fixture.unit.hold = false
    assert.equal(asScsi(other.command(CDB)[0]).status, 0)
    peer.finish()
    other.finish()
  })

  test('TARGET COLD RESET closes every session of the target, after the response', () => {
    const fixture = setUp()
    const peer = connect(fixture)
    const other = connect(fixture)
    other.isid = new Uint8Array([0x80, 0, 0, 0, 0, 9])
    logIn(peer)
    logIn(other)
    assert.equal(manage(peer, Function.targetColdReset), TaskManagementResponseCode.functionComplete)
    other.poll()
    assert.deepEqual([peer.state, other.state], ['closed', 'closed'])
    assert.deepEqual([...fixture.node.sessions()], [])
  })

  test('a LUN that nobody has is answered by no unit: CHECK CONDITION, and INQUIRY says so', () => {
    const fixture = setUp()
    const peer = connect(fixture)
    logIn(peer)
    for (const lun of [7n << 48n, 0x1234_5678_0000_0000n]) {
      assert.equal(asScsi(peer.command(CDB, { lun })[0]).status, 2)
    }
    peer.finish()
  })
})
