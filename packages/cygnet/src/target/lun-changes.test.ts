/** The LUNs of an initiator that is logged in change. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Outcome, pattern, senseOf, TestDisk, TestTransport } from '../device/disk.test-helper.ts'
import type { LogicalUnit } from '../device/logical-unit.ts'
import { TaskManagementFunction, TaskManagementResponseCode } from '../pdu/codes.ts'
import { blockCdb, testUnitReadyCdb } from '../scsi/cdb.ts'
import { Opcode } from '../scsi/opcodes.ts'
import { AdditionalSense } from '../scsi/additional-sense.ts'
import { type Nexus, ScsiTask, TaskAttribute } from '../scsi/task.ts'
import { NexusPort } from './nexus-port.ts'

const POWER_ON = '6/2900'
const LUNS_CHANGED = '6/3f0e'
const INQUIRY_CHANGED = '6/3f03'
const NO_UNIT = '5/2500'
const GOOD = 'status 0'

type Units = readonly (readonly [lun: number, disk: TestDisk])[]

class Initiator {
  readonly port: NexusPort
  readonly transport: TestTransport

  constructor(units: Units, name = 'i') {
    const nexus: Nexus = {
      initiatorPortName: name,
      targetPortName: 't',
      relativeTargetPortId: 1,
      reportLuns: () => this.port.reportLuns(),
      lunsChangeHeard: () => this.port.clearAttention(AdditionalSense.reportedLunsDataChanged),
    }
    const domain = { unitCount: 9, dropAllSessions: () => undefined, dropSession: () => undefined }
    this.port = new NexusPort(domain, nexus, unitsOf(units))
    // Whatever asks for data gets it by way of the port.
    this.transport = new TestTransport(this.port as unknown as LogicalUnit)
    this.port.attach()
  }

  see(units: Units): void {
    this.port.setUnits(unitsOf(units))
  }

  submit(lun: number, cdb: Uint8Array, dataOut: Uint8Array = new Uint8Array(0)): ScsiTask {
    const made = this.transport.task(this.port.nexus, cdb, { dataOut })
    const { simple } = TaskAttribute
    const task = new ScsiTask(
      this.transport,
      this.port.nexus,
      lun,
      made.tag,
      simple,
      made.cdb,
      4096,
      dataOut.length,
    )
    this.port.submit(task)
    return task
  }

  outcome(task: ScsiTask): Outcome {
    return this.transport.outcome(task)
  }

  ready(lun: number): string {
    return senseOf(this.outcome(this.submit(lun, testUnitReadyCdb())))
  }

  /** Everything that a LUN has to say. */
  heard(lun: number): string[] {
    const said: string[] = []
    for (let answer = this.ready(lun); answer.startsWith('6/'); answer = this.ready(lun)) said.push(answer)
    return said
  }
}

const unitsOf = (units: Units): Map<number, LogicalUnit> =>
  new Map(units.map(([lun, { unit }]) => [lun, unit]))

const reportLunsCdb = Uint8Array.of(Opcode.reportLuns, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0)

/** An initiator that has heard of power on at its LUNs 0 and 1, of `disks`. */
function setUp(name?: string, disks = [new TestDisk(), new TestDisk(), new TestDisk()] as const) {
  const [a, b, c] = disks
  const initiator = new Initiator(
    [
      [0, a],
      [1, b],
    ],
    name,
  )
  for (const lun of [0, 1]) assert.deepEqual(initiator.heard(lun), [POWER_ON])
  return { initiator, a, b, c }
}

test('a LUN that comes is heard of once, from whichever unit is asked first', () => {
  for (const first of [0, 1, 2]) {
    const { initiator, a, b, c } = setUp()
    initiator.see([
      [0, a],
      [1, b],
      [2, c],
    ])
    assert.deepEqual(initiator.port.reportLuns(), [0, 1, 2])
    assert.deepEqual(initiator.heard(first), [...(first === 2 ? [POWER_ON] : []), LUNS_CHANGED])
    for (const lun of [0, 1, 2]) {
      assert.deepEqual(initiator.heard(lun), lun === 2 && first !== 2 ? [POWER_ON] : [], `${first}, ${lun}`)
    }
  }
})

test('REPORT LUNS says it, too', () => {
  const { initiator, a, b, c } = setUp()
  initiator.see([
    [0, a],
    [1, b],
    [2, c],
  ])
  const { data } = initiator.outcome(initiator.submit(0, reportLunsCdb))
  assert.deepEqual([data[3], data[9], data[17], data[25]], [24, 0, 1, 2])
  for (const lun of [0, 1]) assert.deepEqual(initiator.heard(lun), [])
})

test('each nexus hears of it by itself; one whose LUNs are the same hears nothing', () => {
  const { initiator, a, b, c } = setUp()
  const { initiator: other } = setUp('other', [a, b, c])
  const { initiator: same } = setUp('same', [a, b, c])
  for (const one of [initiator, other])
    one.see([
      [0, a],
      [1, b],
      [2, c],
    ])
  same.see([
    [0, a],
    [1, b],
  ])
  assert.deepEqual(initiator.heard(0), [LUNS_CHANGED])
  assert.deepEqual(other.heard(1), [LUNS_CHANGED])
  assert.deepEqual([same.heard(0), same.heard(1)], [[], []])
})

test('a LUN that goes: what is new finds no unit, what is under way goes on to its end', () => {
  const { initiator, a, b } = setUp()
  const { transport, port } = initiator
  b.store.deferred = true
  transport.holdData = true
  const bytes = pattern(512)
  const [waiting, cut] = [1, 2].map((lba) => initiator.submit(1, blockCdb(Opcode.write10, lba, 1), bytes))
  const reading = initiator.submit(1, blockCdb(Opcode.read10, 0, 1))
  assert.ok(waiting && cut)
  initiator.see([[0, a]])
  assert.equal(initiator.ready(1), NO_UNIT)
  assert.deepEqual(initiator.heard(0), [LUNS_CHANGED])
  const answers: number[] = []
  port.manage(TaskManagementFunction.logicalUnitReset, 1, (code) => answers.push(code))
  assert.deepEqual(answers, [TaskManagementResponseCode.lunDoesNotExist])
  // The data comes, and is written; an ABORT TASK finds its task.
  waiting.dataOut = [bytes]
  port.resume(waiting)
  port.abort(cut)
  assert.equal(initiator.outcome(cut).aborted, true)
  assert.deepEqual([...b.unit.nexuses()].includes(port.nexus), true)
  b.store.releaseAll()
  for (const task of [waiting, reading]) assert.equal(senseOf(initiator.outcome(task)), GOOD)
  assert.deepEqual(b.store.bytes.subarray(512, 1024), bytes)
  assert.deepEqual([...b.unit.nexuses()].includes(port.nexus), false, 'the unit knows the nexus no more')
})

test('a session that ends while a unit leaves it ends its tasks there', () => {
  const { initiator, a } = setUp()
  initiator.transport.holdData = true
  const task = initiator.submit(1, blockCdb(Opcode.write10, 0, 1), pattern(512))
  initiator.see([[0, a]])
  initiator.port.detach('nexus-loss')
  assert.equal(initiator.outcome(task).aborted, true)
})

test('a LUN that comes back while its tasks are still under way is the one that it was', () => {
  const { initiator, a, b } = setUp()
  b.store.deferred = true
  const task = initiator.submit(1, blockCdb(Opcode.read10, 0, 1))
  initiator.see([[0, a]])
  initiator.see([
    [0, a],
    [1, b],
  ])
  b.store.releaseAll()
  assert.equal(senseOf(initiator.outcome(task)), GOOD)
  assert.deepEqual(initiator.heard(1), [LUNS_CHANGED])
  assert.ok([...b.unit.nexuses()].includes(initiator.port.nexus))
})

test('another unit in the place of one: its INQUIRY data has changed, the list of LUNs has not', () => {
  const { initiator, a, c } = setUp()
  initiator.see([
    [0, a],
    [1, c],
  ])
  assert.deepEqual(initiator.heard(0), [])
  assert.deepEqual(initiator.heard(1), [POWER_ON, INQUIRY_CHANGED])
})

test('a unit that is to be closed takes no more tasks, and says when those that it has are done', () => {
  const { initiator, b } = setUp()
  const { initiator: other } = setUp('other', [b, new TestDisk(), b])
  b.store.deferred = true
  const tasks = [
    initiator.submit(1, blockCdb(Opcode.read10, 0, 1)),
    other.submit(0, blockCdb(Opcode.read10, 9, 1)),
  ]
  const done: string[] = []
  b.unit.whenTasksEnd(() => done.push('those of one'), initiator.port.nexus)
  b.unit.retire(() => done.push('all'))
  assert.equal(initiator.ready(1), 'status 8', 'BUSY')
  b.store.release()
  assert.deepEqual(done, ['those of one'])
  b.store.release()
  assert.deepEqual(done, ['those of one', 'all'])
  for (const task of tasks) assert.equal(task.status, 0)
  assert.equal(other.ready(0), 'status 8')
  b.unit.retire(() => done.push('none was there'))
  assert.equal(done.length, 3)
})
