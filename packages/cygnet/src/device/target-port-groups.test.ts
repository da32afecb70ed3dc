import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { hex } from '../base/bytes.ts'
import { inquiryCdb } from '../scsi/cdb.ts'
import { decodeInquiry } from '../scsi/inquiry.ts'
import type { AccessState } from '../scsi/target-port-groups.ts'
import type { Nexus } from '../scsi/task.ts'
import { cdbOf, nexusNamed, TestDisk } from './disk.test-helper.ts'
import { resultOf, throughPort } from './reservations.test-helper.ts'
import { TargetPortGroups } from './target-port-groups.ts'

const RTPG = 'a3 0a 00000000 00000100 00 00'
const READ = '28 00 00000000 00 0001 00'
const CHANGED = '6/2a06'

/** A target with two portal groups, two units, and a nexus through each group to the first. */
class TwoPaths {
  readonly portGroups: TargetPortGroups
  readonly disk: TestDisk
  readonly other: TestDisk
  readonly first: Nexus
  readonly second: Nexus

  constructor(...states: readonly AccessState[]) {
    this.portGroups = new TargetPortGroups(states.map((state, i) => [i + 1, state]))
    this.disk = new TestDisk(64, { portGroups: this.portGroups })
    this.other = new TestDisk(64, { portGroups: this.portGroups })
    this.first = this.disk.nexus
    this.second = throughPort(nexusNamed('second'), 2)
    this.disk.attach(this.second)
  }

  run(nexus: Nexus, text: string, dataOut: Uint8Array = new Uint8Array(0)): string {
    return resultOf(this.disk.run(cdbOf(text), { dataOut }, nexus))
  }

  /** SET TARGET PORT GROUPS with descriptors in hexadecimal. */
  set(nexus: Nexus, descriptors: string): string {
    const dataOut = cdbOf(`00000000 ${descriptors}`)
    return this.run(nexus, `a4 0a 00000000 ${dataOut.length.toString(16).padStart(8, '0')} 00 00`, dataOut)
  }

  states(): AccessState[] {
    return [this.portGroups.stateOf(1), this.portGroups.stateOf(2)]
  }
}

describe('REPORT TARGET PORT GROUPS', () => {
  it('tells the state of each group, what brought it about, and its port', () => {
    const target = new TwoPaths('optimized', 'standby')
    const report = (text: string): string => hex(target.disk.run(cdbOf(text)).data)
    const groups = '008f00010000000100000001028f00020000000100000002'
    assert.equal(report(RTPG), `00000018${groups}`)
    assert.equal(report('a3 2a 00000000 00000100 00 00'), `0000001c10000000${groups}`)
    assert.equal(report('a3 0a 00000000 00000006 00 00'), '00000018008f')
    assert.equal(target.run(target.first, 'a3 4a 00000000 00000100 00 00'), '5/2400 cdb 1.7')
    target.portGroups.set(new Map([[2, 'non-optimized']]))
    target.run(target.first, READ)
    assert.equal(report(RTPG).slice(32, 44), '018f00020002')
    target.set(target.first, '00000002')
    assert.equal(report(RTPG).slice(32, 44), '008f00020001')
  })

  it('INQUIRY says that there is such a thing, and in which group the port is', () => {
    const target = new TwoPaths('optimized', 'optimized')
    const inquiry = decodeInquiry(target.disk.run(inquiryCdb(255)).data)
    assert.deepEqual([inquiry?.tpgs, inquiry?.multiPort], [3, true])
    const page = hex(target.disk.run(inquiryCdb(1024, 0x83), {}, target.second).data)
    assert.match(page, /5194000400000002/, 'relative target port')
    assert.match(page, /5195000400000002/, 'target port group')
    const alone = decodeInquiry(new TestDisk(8).run(inquiryCdb(255)).data)
    assert.deepEqual([alone?.tpgs, alone?.multiPort], [3, false])
  })
})

describe('the state of a path', () => {
  const commands = {
    any: ['12 00 00 0024 00', '03 00 0000 fc 00', 'a0 00 00 000000 00000100 00 00', RTPG],
    unavailable: ['a4 0a 00000000 00000000 00 00'],
    standby: [
      '1a 00 3f 00 ff 00',
      '5a 00 3f 00 000000 00ff 00',
      '15 10 0000 00 00',
      '5e 00 0000000000 ffff 00',
      '5f 03 00 0000 00000018 00',
    ],
    active: [
      READ,
      '2a 00 00000000 00 0001 00',
      '00 00 00 00 00 00',
      '25 00 00000000 0000 00 00',
      '16 00 00 00 00 00',
      '1b 00 00 00 01 00',
    ],
  } as const
  const refusals: readonly (readonly [
    AccessState,
    string | undefined,
    readonly (keyof typeof commands)[],
  ])[] = [
    ['optimized', undefined, ['any', 'unavailable', 'standby', 'active']],
    ['non-optimized', undefined, ['any', 'unavailable', 'standby', 'active']],
    ['standby', '2/040b', ['any', 'unavailable', 'standby']],
    ['unavailable', '2/040c', ['any', 'unavailable']],
    ['transitioning', '2/040a', ['any']],
  ]
  for (const [state, refusal, works] of refusals) {
    it(`${state}: what works, and what the rest ends with`, () => {
      const target = new TwoPaths('optimized', state)
      for (const [kind, list] of Object.entries(commands)) {
        for (const text of list) {
          const isRefused = target.run(target.second, text, new Uint8Array(512)) === refusal
          assert.equal(isRefused, !works.includes(kind as keyof typeof commands), `${kind}: ${text}`)
          assert.notEqual(target.run(target.first, text, new Uint8Array(512)), refusal ?? 'nothing', text)
          target.run(target.second, '17 00 00 00 00 00')
        }
      }
    })
  }

  it('changed by the target, is news to every nexus of every unit', () => {
    const target = new TwoPaths('optimized', 'optimized')
    target.portGroups.set(new Map([[2, 'standby']]))
    assert.equal(target.run(target.first, READ), CHANGED)
    assert.equal(target.run(target.second, READ), CHANGED)
    assert.equal(resultOf(target.other.run(cdbOf(READ))), CHANGED)
    assert.equal(target.run(target.second, READ), '2/040b')
    target.portGroups.set(new Map([[2, 'standby']]))
    assert.equal(target.run(target.first, READ), 'good', 'nothing has changed')
    assert.throws(() => target.portGroups.set(new Map([[3, 'standby']])), RangeError)
  })
})

describe('SET TARGET PORT GROUPS', () => {
  it('changes groups, and is news to everybody else', () => {
    const target = new TwoPaths('optimized', 'standby')
    assert.equal(target.set(target.first, '02000001 00000002'), 'good')
    assert.deepEqual(target.states(), ['standby', 'optimized'])
    assert.equal(target.run(target.first, READ), '2/040b', 'who asked for it is not told')
    assert.equal(target.run(target.second, READ), CHANGED)
    assert.equal(target.run(target.second, READ), 'good')
    assert.equal(target.set(target.first, '00000001'), 'good', 'a path that is not active can be made so')
  })

  it('changes nothing where something is wrong', () => {
    const target = new TwoPaths('optimized', 'standby')
    assert.equal(target.set(target.first, '02000001 0f000002'), '5/2600 parameters 8.3')
    assert.equal(target.set(target.first, '04000001'), '5/2600 parameters 4.3')
    assert.equal(target.set(target.first, '0e000001'), '5/2600 parameters 4.3')
    assert.equal(target.set(target.first, '02000001 02000009'), '5/2600 parameters 10')
    assert.equal(target.set(target.first, '0200'), '5/1a00')
    assert.equal(target.run(target.first, 'a4 0a 00000000 00000100 00 00', new Uint8Array(256)), '5/1a00')
    assert.equal(target.run(target.first, 'a4 0a 00000000 00000008 00 00', new Uint8Array(4)), '5/1a00')
    assert.equal(target.run(target.first, 'a4 0a 00000000 00000000 00 00'), 'good')
    assert.deepEqual(target.states(), ['optimized', 'standby'])
    assert.equal(target.run(target.first, READ), 'good')
  })

  it('is not for who may only read', () => {
    const target = new TwoPaths('optimized', 'standby')
    const reader = { ...nexusNamed('reader'), readOnly: true }
    target.disk.attach(reader)
    assert.equal(target.set(reader, '02000001'), '7/2700')
  })
})
