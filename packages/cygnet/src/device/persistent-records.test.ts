import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { ReserveOutAction } from '../scsi/persistent-reservation.ts'
import type { SharedDisk as Disk } from './reservations.test-helper.ts'
import { reserveOut, resultOf, SharedDisk, TestRecords } from './reservations.test-helper.ts'

const APTPL = 1
const WE = 1
const EA = 3
const WE_AR = 7
const NAME = 'reservations'
const newDisk = (): { records: TestRecords; disk: Disk } => {
  const records = new TestRecords()
  return { records, disk: new SharedDisk({ records }) }
}

describe('APTPL', () => {
  it('brings registrations and the reservation back after power loss', () => {
    for (const type of [WE, EA, WE_AR]) {
      const { records, disk } = newDisk()
      assert.equal(disk.capabilities().slice(4, 8), '1dc0')
      disk.register(disk.a, 1, { flags: APTPL })
      assert.equal(disk.capabilities().slice(4, 8), '1dc1')
      disk.register(disk.b, 2, { flags: APTPL })
      disk.reserve(disk.a, 1, type)
      const again = new SharedDisk({ records })
      assert.equal(again.keys(), '1 2')
      assert.deepEqual(again.full(), disk.full())
      assert.equal(again.held(), disk.held())
      assert.equal(again.generation(), 0, 'PRGENERATION begins anew')
      assert.equal(again.capabilities().slice(4, 8), '1dc1')
      assert.equal(again.run(again.c, '2a 00 00000000 00 0001 00'), 'conflict')
      assert.equal(again.register(again.a, 0, { key: 1 }), 'good')
    }
  })

  it('without it, or with 0 in the last registration, everything ends with power', () => {
    const { records, disk } = newDisk()
    disk.register(disk.a, 1)
    assert.deepEqual(records.calls, [], 'nothing to save')
    disk.register(disk.b, 2, { flags: APTPL })
    assert.equal(new SharedDisk({ records }).keys(), '1 2', 'it holds for all registrations')
    disk.register(disk.a, 3, { key: 1 })
    assert.equal(records.saved.get(NAME), undefined)
    assert.equal(new SharedDisk({ records }).keys(), '')
    assert.equal(disk.keys(), '3 2')
  })

  it('in REGISTER AND MOVE is byte 17', () => {
    const { records, disk } = newDisk()
    disk.register(disk.a, 1)
    disk.reserve(disk.a, 1, EA)
    assert.equal(disk.move(disk.a, 1, 4, disk.b, false, true), 'good')
    assert.equal(new SharedDisk({ records }).held(), `4/${EA}`)
    assert.equal(disk.move(disk.b, 4, 1, disk.a), 'good')
    assert.equal(new SharedDisk({ records }).held(), '')
  })

  it('other service actions keep to what was said last', () => {
    const { records, disk } = newDisk()
    disk.register(disk.a, 1, { flags: APTPL })
    disk.reserve(disk.a, 1, EA)
    disk.out(disk.a, ReserveOutAction.release, { key: 1, type: EA })
    assert.equal(new SharedDisk({ records }).held(), '')
    disk.out(disk.a, ReserveOutAction.clear, { key: 1 })
    const again = new SharedDisk({ records })
    assert.equal(again.keys(), '')
    assert.equal(again.capabilities().slice(4, 8), '1dc1')
  })

  it('a record that cannot be understood is not overlooked', () => {
    const registrations = [{ initiatorPortName: 'a', relativeTargetPortId: 1, key: '0000000000000001' }]
    const [registration] = registrations
    for (const record of [
      null,
      7,
      {},
      { registrations: [{}], reservation: null },
      { registrations: [{ ...registration, key: '1' }], reservation: null },
      { registrations },
      { registrations, reservation: { type: 2, holder: registration } },
      { registrations, reservation: { type: 1, holder: null } },
      { registrations, reservation: { type: 1, holder: { ...registration, relativeTargetPortId: 2 } } },
      { registrations: [], reservation: { type: 7, holder: null } },
    ]) {
      const records = new TestRecords()
      records.saved.set(NAME, record)
      assert.throws(() => new SharedDisk({ records }), { code: 'STATE_INVALID' }, JSON.stringify(record))
    }
  })
})

describe('a change that is being made durable', () => {
  const started = () => {
    const { records, disk } = newDisk()
    disk.register(disk.a, 1, { flags: APTPL })
    disk.register(disk.b, 2, { flags: APTPL })
    records.deferred = true
    const submit = (nexus: Disk['a'], action: number, options: Parameters<typeof reserveOut>[1]) => {
      const { cdb, dataOut } = reserveOut(action, options)
      return disk.disk.submit(cdb, { dataOut }, nexus)
    }
    const result = (task: ReturnType<typeof submit>) => resultOf(disk.disk.transport.outcome(task))
    return { records, disk, submit, result }
  }

  it('takes effect, and is told, when it is', () => {
    const { records, disk, submit, result } = started()
    const task = submit(disk.a, ReserveOutAction.clear, { key: 1 })
    assert.equal(task.isDone, false)
    assert.equal(disk.keys(), '1 2')
    assert.deepEqual(disk.attentions(disk.b), [])
    records.release()
    assert.equal(result(task), 'good')
    assert.equal(disk.keys(), '')
    assert.deepEqual(disk.attentions(disk.b), ['2a03'])
  })

  it('lets other requests wait, which then find the new state', () => {
    const { records, disk, submit, result } = started()
    const first = submit(disk.a, ReserveOutAction.reserve, { key: 1, type: EA })
    const second = submit(disk.b, ReserveOutAction.reserve, { key: 2, type: EA })
    const third = submit(disk.b, ReserveOutAction.preempt, { key: 2, actionKey: 1, type: WE })
    assert.equal(records.waiting, 1)
    records.release()
    assert.equal(result(first), 'good')
    assert.equal(result(second), 'conflict')
    assert.equal(third.isDone, false)
    records.release()
    assert.equal(result(third), 'good')
    assert.equal(disk.held(), `2/${WE}`)
  })

  it('lets RESERVE wait too', () => {
    const { records, disk, submit, result } = started()
    const clear = submit(disk.a, ReserveOutAction.clear, { key: 1 })
    const reserve = disk.disk.submit(Uint8Array.of(0x16), {}, disk.c)
    assert.equal(reserve.isDone, false)
    records.release()
    assert.equal(result(clear), 'good')
    assert.equal(result(reserve), 'good')
  })

  it('takes effect although its task is aborted; a waiting one that is aborted does not', () => {
    const { records, disk, submit } = started()
    const first = submit(disk.a, ReserveOutAction.reserve, { key: 1, type: EA })
    const second = submit(disk.b, ReserveOutAction.clear, { key: 2 })
    disk.disk.unit.abort(first)
    disk.disk.unit.abort(second)
    assert.deepEqual([first.isDone, second.isDone], [false, true])
    records.release()
    assert.equal(disk.disk.transport.outcome(first).aborted, true)
    assert.equal(records.waiting, 0)
    assert.equal(disk.held(), `1/${EA}`)
    assert.equal(disk.keys(), '1 2')
  })

  it('does not take effect where it cannot be saved, and the next change is saved whatever it is', () => {
    const { records, disk } = newDisk()
    disk.register(disk.a, 1)
    records.failNext = { failure: 'no-space' }
    assert.equal(disk.register(disk.b, 2, { flags: APTPL }), '4/4400')
    assert.equal(disk.keys(), '1')
    assert.equal(disk.register(disk.c, 3), 'good')
    assert.deepEqual(records.calls.at(-1), undefined, 'the record may be there, and must not come back')
    assert.equal(records.calls.length, 2)
    assert.equal(disk.register(disk.c, 4, { key: 3 }), 'good')
    assert.equal(records.calls.length, 2)
  })
})
