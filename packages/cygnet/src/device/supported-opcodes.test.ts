import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { get16, get32, set32 } from '../scsi/fields.ts'
import { cdbLength, Opcode, ServiceAction } from '../scsi/opcodes.ts'
import type { Done } from '../store/backing-store.ts'
import type { DurableRecords } from '../store/durable-records.ts'
import { CopyUnits } from './copy-units.ts'
import { cdbOf, senseOf, TestDisk } from './disk.test-helper.ts'

const ALL = 0
const OPCODE = 1
const SERVICE_ACTION = 2
const EITHER = 3

const WITH_SERVICE_ACTIONS: ReadonlySet<number> = new Set([
  Opcode.serviceActionIn16,
  Opcode.maintenanceIn,
  Opcode.maintenanceOut,
  Opcode.persistentReserveIn,
  Opcode.persistentReserveOut,
  Opcode.sanitize,
  Opcode.thirdPartyCopyIn,
  Opcode.thirdPartyCopyOut,
])

function rsocCdb(option: number, opcode = 0, serviceAction = 0, rctd = false): Uint8Array {
  const cdb = cdbOf('a3 0c 00 00 0000 00004000 00 00')
  cdb[2] = option | (rctd ? 0x80 : 0)
  cdb[3] = opcode
  cdb[4] = serviceAction >>> 8
  cdb[5] = serviceAction
  return cdb
}

/** Opcode, service action, flags and CDB length of each descriptor. */
function listed(data: Uint8Array, descriptorBytes: number): number[][] {
  assert.equal(get32(data, 0), data.length - 4)
  const list: number[][] = []
  for (let at = 4; at < data.length; at += descriptorBytes) {
    list.push([data[at] ?? 0, get16(data, at + 2), data[at + 5] ?? 0, get16(data, at + 6)])
  }
  return list
}

/** With a place for records, there is WRITE ATOMIC. */
class NoRecords implements DurableRecords {
  get(): unknown {
    return undefined
  }
  set(_name: string, _value: unknown, done: Done): void {
    done(undefined)
  }
}

/** A disk that has every command there is. */
const fullDisk = (): TestDisk =>
  new TestDisk(64, {
    removable: true,
    records: new NoRecords(),
    copyUnits: new CopyUnits((lengthBytes) => new Uint8Array(lengthBytes)),
  })

describe('REPORT SUPPORTED OPERATION CODES', () => {
  it('lists every command once, with its length, and whether it has a service action', () => {
    const disk = fullDisk()
    const list = listed(disk.run(rsocCdb(ALL)).data, 8)
    const known = new Set<number>(Object.values(Opcode).filter((opcode) => opcode !== Opcode.variableLength))
    assert.deepEqual(new Set(list.map(([opcode]) => opcode)), known)
    assert.equal(new Set(list.map(([opcode, action]) => `${opcode}/${action}`)).size, list.length)
    for (const [opcode = 0, action, flags, length] of list) {
      assert.equal(length, cdbLength(opcode))
      const hasAction = WITH_SERVICE_ACTIONS.has(opcode)
      assert.equal(flags, hasAction ? 1 : 0)
      if (!hasAction) assert.equal(action, 0)
    }
  })

  it('adds timeouts with RCTD', () => {
    const disk = new TestDisk(64)
    const { data } = disk.run(rsocCdb(ALL, 0, 0, true))
    const list = listed(data, 20)
    assert.equal(list.length, listed(disk.run(rsocCdb(ALL)).data, 8).length)
    assert.ok(list.every(([, , flags = 0]) => (flags & 2) !== 0))
    assert.equal(get16(data, 12), 10)
    assert.ok(get32(data, 20) > 0)
    const one = disk.run(rsocCdb(OPCODE, Opcode.read10, 0, true)).data
    assert.equal(one[1], 0x83)
    assert.equal(one.length, 4 + 10 + 12)
    assert.equal(get16(one, 14), 10)
  })

  it('gives the usage data of every command, which the command accepts bit by bit', () => {
    const disk = fullDisk()
    const variable = [Opcode.variableLength, ServiceAction.xdWriteRead32, 1]
    for (const [opcode = 0, action = 0, flags] of [...listed(disk.run(rsocCdb(ALL)).data, 8), variable]) {
      const { data } = disk.run(rsocCdb(flags ? SERVICE_ACTION : OPCODE, opcode, action))
      assert.equal(data[1], 3)
      const usage = data.subarray(4)
      assert.equal(usage.length, cdbLength(opcode) || 32)
      assert.equal(usage[0], opcode)
      assert.deepEqual(disk.run(rsocCdb(EITHER, opcode, action)).data, data)
      for (let bit = 8; bit < usage.length * 8; bit++) {
        const at = bit >>> 3
        const mask = 0x80 >>> (bit & 7)
        const isVariable = opcode === Opcode.variableLength
        if (isVariable ? at >= 7 && at <= 9 : flags && at === 1 && mask < 0x20) continue
        const cdb = Uint8Array.from({ length: usage.length }, (_, i) => (i === 0 ? opcode : 0))
        if (isVariable) cdb.set(usage.subarray(7, 10), 7)
        else if (flags) cdb[1] = action
        cdb[at] = (cdb[at] ?? 0) | mask
        const pointsThere = disk.run(cdb).sense?.field?.byte === at && !isIgnored(opcode, at, mask)
        disk.unit.clearAca(disk.nexus, () => undefined)
        if (!((usage[at] ?? 0) & mask))
          assert.ok(pointsThere || isIgnored(opcode, at, mask), `${opcode} bit ${bit}`)
      }
      disk.run(cdbOf('1b 00 00 00 01 00'))
    }
  })

  it('leaves CDBs of more than 16 bytes out of the list, and describes them when asked', () => {
    const disk = new TestDisk(64)
    const list = listed(disk.run(rsocCdb(ALL)).data, 8)
    assert.ok(list.every(([, , , length = 0]) => length <= 16))
    const one = disk.run(rsocCdb(SERVICE_ACTION, 0x7f, 0x0007)).data
    assert.deepEqual([one[1], get16(one, 2), one[4], get16(one, 4 + 8)], [3, 32, 0x7f, 0x0007])
  })

  it('says of unknown commands that they are not supported', () => {
    const disk = new TestDisk(64)
    assert.deepEqual([...disk.run(rsocCdb(OPCODE, 0xc0)).data], [0, 1, 0, 0])
    assert.deepEqual([...disk.run(rsocCdb(SERVICE_ACTION, 0x9e, 0x1f)).data], [0, 1, 0, 0])
    assert.deepEqual([...disk.run(rsocCdb(EITHER, 0x9e, 0x110)).data], [0, 1, 0, 0])
    assert.deepEqual([...disk.run(rsocCdb(EITHER, 0x28, 1)).data], [0, 1, 0, 0])
  })

  it('looks at the requested service action only where the option says so', () => {
    const disk = new TestDisk(64)
    assert.equal(disk.run(rsocCdb(OPCODE, 0x28, 0x105)).data[1], 3)
  })

  it('refuses a question that does not fit the opcode, and unknown options', () => {
    const disk = new TestDisk(64)
    assert.equal(senseOf(disk.run(rsocCdb(OPCODE, 0x9e))), '5/2400')
    assert.equal(senseOf(disk.run(rsocCdb(SERVICE_ACTION, 0x28))), '5/2400')
    assert.deepEqual(disk.run(rsocCdb(4)).sense?.field, { in: 'cdb', byte: 2, bit: 2 })
  })

  it('keeps to the allocation length', () => {
    const disk = new TestDisk(64)
    const cdb = rsocCdb(ALL)
    set32(cdb, 6, 13)
    assert.equal(disk.run(cdb).data.length, 13)
  })
})

/** What means something only together with bits that must be zero; SCOPE and TYPE where the service action has none. */
const IGNORED_BYTES: Readonly<Record<number, readonly number[]>> = {
  [Opcode.reserve6]: [2, 3, 4],
  [Opcode.release6]: [2],
  [Opcode.reserve10]: [2, 3, 7, 8],
  [Opcode.release10]: [2, 3, 7, 8],
  [Opcode.persistentReserveOut]: [2],
  [Opcode.formatUnit]: [2, 3, 4],
}

/** These, FUA_NV and SYNC_NV. */
function isIgnored(opcode: number, at: number, mask: number): boolean {
  const bytes = IGNORED_BYTES[opcode]
  if (opcode === Opcode.formatUnit && at === 1) return (mask & 0x07) !== 0
  if (bytes) return bytes.includes(at)
  return (
    at === (opcode === Opcode.variableLength ? 10 : 1) &&
    (mask === 0x02 || ((opcode === 0x35 || opcode === 0x91) && mask === 0x04))
  )
}
