import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { AdditionalSense } from '../scsi/additional-sense.ts'
import { ReserveOutAction } from '../scsi/persistent-reservation.ts'
import { TaskAttribute } from '../scsi/task.ts'
import { cdbOf } from './disk.test-helper.ts'
import { reserveOut, resultOf, SharedDisk } from './reservations.test-helper.ts'

const RESERVE_6 = '16 00 00 00 00 00'
const RELEASE_6 = '17 00 00 00 00 00'
const RESERVE_10 = '56 00 00 00 00 00 00 00 00 00'
const RELEASE_10 = '57 00 00 00 00 00 00 00 00 00'
const READ_KEYS = '5e 00 0000000000 ffff 00'
const READ = '28 00 00000000 00 0001 00'
const TEST_UNIT_READY = '00 00 00 00 00 00'
const WE = 1
const EA = 3
const WE_RO = 5
const EA_RO = 6
const WE_AR = 7
const EA_AR = 8

/** Commands of every kind, by what keeps them out (SPC-5 §5.13.1, SBC-4 §4.17): with data where they have some. */
const COMMANDS = {
  nothing: [
    '12 00 00 0024 00',
    '03 00 0000 fc 00',
    'a0 00 00 000000 00000100 00 00',
    '25 00 00000000 0000 00 00',
    '9e 10 0000000000000000 00000020 00 00',
    '1b 00 00 00 01 00',
    'a3 0a 00000000 00000100 00 00',
  ],
  reserve: [TEST_UNIT_READY],
  read: [
    READ,
    '08 00 0000 01 00',
    '88 00 0000000000000000 00000001 00 00',
    '1a 00 3f 00 ff 00',
    '5a 00 3f 00 000000 00ff 00',
    '2f 00 00000000 00 0001 00',
    '34 00 00000000 00 0001 00',
    '9e 12 0000000000000000 00000100 00 00',
    'a3 0c 00 00 0000 00000100 00 00',
    'a3 0d 00000000 00000100 00 00',
  ],
  write: [
    '2a 00 00000000 00 0001 00',
    '8a 00 0000000000000000 00000001 00 00',
    '15 10 0000 00 00',
    '35 00 00000000 00 0000 00',
    '41 00 00000000 00 0001 00',
    '42 00 00000000 00 0000 00',
    '2e 00 00000000 00 0001 00',
    '89 00 0000000000000000 000000 01 00 00',
    '8b 00 0000000000000000 00000001 00 00',
    '1b 00 00 00 00 00',
    'a4 0a 00000000 00000000 00 00',
  ],
} as const
type Kind = keyof typeof COMMANDS

/** Whether each command of a kind conflicts, where all of them must do the same. */
function conflicts(disk: SharedDisk, nexus: SharedDisk['a'], kind: Kind): boolean {
  const results = COMMANDS[kind].map((text) => {
    const outcome = disk.disk.run(cdbOf(text), { dataOut: new Uint8Array(1024) }, nexus)
    return [text, outcome.status === 0x18] as const
  })
  const first = results[0]?.[1] ?? false
  for (const [text, isConflict] of results) assert.equal(isConflict, first, text)
  return first
}

/** The kinds that conflict for a nexus. */
function keptOut(disk: SharedDisk, nexus: SharedDisk['a']): Kind[] {
  const kinds = (['nothing', 'reserve', 'read', 'write'] as const).filter((kind) =>
    conflicts(disk, nexus, kind),
  )
  disk.run(nexus, '1b 00 00 00 01 00')
  return kinds
}

describe('RESERVE and RELEASE (6) and (10)', () => {
  for (const [reserve, release] of [
    [RESERVE_6, RELEASE_6],
    [RESERVE_10, RELEASE_10],
    [RESERVE_6, RELEASE_10],
  ] as const) {
    it(`${reserve.slice(0, 2)} keeps everybody else out until ${release.slice(0, 2)}`, () => {
      const disk = new SharedDisk()
      assert.equal(disk.run(disk.a, reserve), 'good')
      assert.equal(disk.run(disk.a, reserve), 'good')
      assert.equal(disk.run(disk.b, reserve), 'conflict')
      assert.deepEqual(keptOut(disk, disk.b), ['reserve', 'read', 'write'])
      assert.deepEqual(keptOut(disk, disk.a2), ['reserve', 'read', 'write'], 'another target port')
      assert.deepEqual(keptOut(disk, disk.a), [])
      assert.equal(disk.run(disk.b, release), 'good')
      assert.equal(disk.run(disk.b, READ), 'conflict', 'who does not hold it releases nothing')
      assert.equal(disk.run(disk.a, release), 'good')
      assert.equal(disk.run(disk.b, READ), 'good')
      assert.equal(disk.run(disk.b, reserve), 'good')
    })
  }

  it('end with the nexus, and with a reset', () => {
    const disk = new SharedDisk()
    for (const loss of ['logout', 'nexus-loss'] as const) {
      const nexus = { ...disk.c }
      disk.disk.attach(nexus)
      disk.run(nexus, RESERVE_6)
      assert.equal(disk.run(disk.b, READ), 'conflict')
      disk.disk.unit.detachNexus(nexus, loss)
      assert.equal(disk.run(disk.b, READ), 'good')
    }
    disk.run(disk.a, RESERVE_6)
    disk.disk.unit.reset(() => undefined)
    disk.attentions(disk.b)
    assert.equal(disk.run(disk.b, READ), 'good')
  })

  it('have no third parties and no extents, and ignore what belongs to these', () => {
    const disk = new SharedDisk()
    assert.equal(disk.run(disk.a, '16 10 00 00 00 00'), '5/2400 cdb 1.4')
    assert.equal(disk.run(disk.a, '56 01 00 00 00 00 00 00 00 00'), '5/2400 cdb 1.0')
    assert.equal(disk.run(disk.a, '56 00 07 08 00 00 00 00 08 00'), 'good')
    assert.equal(disk.run(disk.a, '17 00 07 00 00 00'), 'good')
  })

  it('are not for who may only read', () => {
    const disk = new SharedDisk()
    const reader = { ...disk.c, readOnly: true }
    disk.disk.attach(reader)
    assert.equal(disk.run(reader, RESERVE_6), '7/2700')
    assert.equal(disk.register(reader, 1), '7/2700')
    assert.equal(disk.run(reader, RELEASE_6), 'good')
  })
})

describe('the two kinds of reservations', () => {
  it('exclude each other: PERSISTENT RESERVE IN and OUT conflict with RESERVE, whoever sent it', () => {
    const disk = new SharedDisk()
    disk.run(disk.a, RESERVE_6)
    for (const nexus of [disk.a, disk.b]) {
      assert.equal(disk.run(nexus, READ_KEYS), 'conflict')
      assert.equal(disk.register(nexus, 1), 'conflict')
    }
    disk.run(disk.a, RELEASE_6)
    assert.equal(disk.register(disk.b, 1), 'good')
  })

  it('RESERVE and RELEASE conflict with any registration', () => {
    const disk = new SharedDisk()
    disk.register(disk.b, 2)
    for (const nexus of [disk.a, disk.b]) {
      assert.equal(disk.run(nexus, RESERVE_6), 'conflict')
      assert.equal(disk.run(nexus, RELEASE_10), 'conflict')
    }
    disk.register(disk.b, 0, { key: 2 })
    assert.equal(disk.run(disk.a, RESERVE_6), 'good')
  })

  it('CRH: RESERVE and RELEASE are good and do nothing for who has access by a persistent one', () => {
    for (const type of [WE, EA, WE_RO, EA_RO, WE_AR, EA_AR]) {
      const disk = new SharedDisk()
      disk.register(disk.a, 1)
      disk.register(disk.b, 2)
      disk.reserve(disk.a, 1, type)
      const held = disk.held()
      const ofRegistrants = type >= WE_RO
      for (const cdb of [RESERVE_6, RELEASE_6, RESERVE_10, RELEASE_10]) {
        assert.equal(disk.run(disk.a, cdb), 'good')
        assert.equal(disk.run(disk.b, cdb), ofRegistrants ? 'good' : 'conflict')
        assert.equal(disk.run(disk.c, cdb), 'conflict')
      }
      assert.equal(disk.held(), held)
      assert.equal(disk.run(disk.b, READ_KEYS), 'good', 'the unit is not reserved')
    }
  })

  it('a request whose data was on its way when somebody else reserved the unit conflicts', () => {
    const disk = new SharedDisk()
    const { transport } = disk.disk
    transport.holdData = true
    const { cdb, dataOut } = reserveOut(ReserveOutAction.register, { actionKey: 1 })
    const task = disk.disk.submit(cdb, { dataOut }, disk.b)
    assert.equal(disk.run(disk.a, RESERVE_6), 'good')
    transport.supply(task)
    assert.equal(resultOf(transport.outcome(task)), 'conflict')
  })
})

describe('a persistent reservation', () => {
  const all: Kind[] = ['read', 'write']
  for (const [type, excluded] of [
    [WE, ['write']],
    [EA, all],
    [WE_RO, ['write']],
    [EA_RO, all],
    [WE_AR, ['write']],
    [EA_AR, all],
  ] as const) {
    it(`of type ${type} keeps out what it must, and whom`, () => {
      const disk = new SharedDisk()
      disk.register(disk.a, 1)
      disk.register(disk.b, 2)
      disk.reserve(disk.a, 1, type)
      assert.deepEqual(keptOut(disk, disk.a), [])
      assert.deepEqual(keptOut(disk, disk.b), type >= WE_RO ? [] : excluded, 'a registrant')
      assert.deepEqual(keptOut(disk, disk.c), excluded, 'who is not registered')
      assert.deepEqual(keptOut(disk, disk.a2), excluded, 'the holder by another target port')
      disk.register(disk.c, 3)
      assert.deepEqual(keptOut(disk, disk.c), type >= WE_RO ? [] : excluded, 'a new registrant')
    })
  }

  it('comes before every other reason to refuse a command', () => {
    const disk = new SharedDisk()
    disk.register(disk.a, 1)
    disk.reserve(disk.a, 1, EA)
    assert.equal(disk.run(disk.c, '28 07 00000000 00 0001 00'), 'conflict')
    assert.equal(disk.run(disk.c, '28 00 00ffffff 00 0001 00'), 'conflict')
    assert.equal(disk.run(disk.c, 'c0 00 0000 00 00'), '5/2000')
  })

  it('comes after the news of a reset, and before other news (SAM-5 §5.3.3)', () => {
    const disk = new SharedDisk()
    disk.register(disk.a, 1)
    disk.reserve(disk.a, 1, EA)
    disk.disk.unit.attentionFor(disk.c, AdditionalSense.capacityDataChanged)
    assert.equal(disk.run(disk.c, READ), 'conflict')
    assert.equal(disk.run(disk.c, TEST_UNIT_READY), '6/2a09')
    disk.disk.unit.reset(() => undefined)
    assert.equal(disk.run(disk.c, READ), '6/2903')
    assert.equal(disk.run(disk.c, READ), 'conflict')
  })

  it('does not touch commands that were under way when it came', () => {
    const disk = new SharedDisk()
    disk.register(disk.a, 1)
    disk.disk.store.deferred = true
    const task = disk.disk.submit(cdbOf(READ), {}, disk.c)
    disk.disk.store.deferred = false
    disk.reserve(disk.a, 1, EA)
    disk.disk.store.releaseAll()
    assert.equal(disk.disk.transport.outcome(task).status, 0)
  })
})

describe('PREEMPT AND ABORT', () => {
  const abort = ReserveOutAction.preemptAndAbort

  it('ends the commands of those that it preempts, tells them, and is done when they are', () => {
    const disk = new SharedDisk()
    disk.register(disk.a, 1)
    disk.register(disk.b, 2)
    disk.reserve(disk.b, 2, WE_RO)
    const { store, transport } = disk.disk
    store.deferred = true
    const read = disk.disk.submit(cdbOf(READ), {}, disk.b)
    const others = disk.disk.submit(cdbOf(READ), {}, disk.c)
    transport.holdData = true
    const waiting = disk.disk.submit(
      cdbOf('2a 00 00000001 00 0001 00'),
      { dataOut: new Uint8Array(512) },
      disk.b,
    )
    transport.holdData = false
    const { cdb, dataOut } = reserveOut(abort, { key: 1, actionKey: 2, type: EA })
    const preempting = disk.disk.submit(cdb, { dataOut }, disk.a)
    assert.equal(transport.outcome(waiting).aborted, true, 'what waits for data ends at once')
    assert.equal(preempting.isDone, false)
    store.releaseAll()
    store.deferred = false
    assert.equal(transport.outcome(read).aborted, true)
    assert.equal(transport.outcome(others).aborted, false)
    assert.equal(resultOf(transport.outcome(preempting)), 'good')
    assert.equal(disk.held(), `1/${EA}`)
    assert.deepEqual(disk.attentions(disk.b), ['2f00', '2a05'])
    assert.deepEqual(disk.attentions(disk.c), [])
  })

  it('of its own key ends its own other commands, and is not lost itself', () => {
    const disk = new SharedDisk()
    disk.register(disk.a, 1)
    disk.disk.store.deferred = true
    const read = disk.disk.submit(cdbOf(READ), {}, disk.a)
    const { cdb, dataOut } = reserveOut(abort, { key: 1, actionKey: 1, type: EA })
    const preempting = disk.disk.submit(cdb, { dataOut }, disk.a)
    disk.disk.store.releaseAll()
    assert.equal(disk.disk.transport.outcome(read).aborted, true)
    assert.equal(resultOf(disk.disk.transport.outcome(preempting)), 'good')
    assert.equal(disk.keys(), '')
    assert.deepEqual(disk.attentions(disk.a), [])
  })

  it('ends the ACA condition of a nexus that it preempts', () => {
    const disk = new SharedDisk()
    disk.register(disk.a, 1)
    disk.register(disk.b, 2)
    assert.equal(disk.run(disk.b, '28 00 00ffffff 00 0001 04'), '5/2100')
    assert.equal(disk.disk.run(cdbOf(READ), {}, disk.a).status, 8)
    assert.equal(disk.out(disk.a, abort, { key: 1, actionKey: 2, type: EA }), 'good')
    assert.equal(disk.run(disk.a, READ), 'good')
    const stale = disk.disk.run(cdbOf(READ), { attribute: TaskAttribute.aca }, disk.a)
    assert.equal(resultOf(stale), '5/4900')
  })
})
