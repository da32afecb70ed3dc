import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { ReserveOutAction } from '../scsi/persistent-reservation.ts'
import { encodeTransportId } from '../scsi/transport-id.ts'
import { nexusNamed } from './disk.test-helper.ts'
import { outCdb, resultOf, SharedDisk, throughPort } from './reservations.test-helper.ts'

const { clear, preempt, register, registerAndIgnoreExistingKey, release, reserve } = ReserveOutAction
const SPEC_I_PT = 8
const ALL_TG_PT = 4
const WE = 1
const EA = 3
const WE_RO = 5
const EA_RO = 6
const WE_AR = 7
const EA_AR = 8
const TYPES = [WE, EA, WE_RO, EA_RO, WE_AR, EA_AR]
const PREEMPTED = '2a03'
const RELEASED = '2a04'
const REGISTRATION_GONE = '2a05'

describe('REGISTER', () => {
  it('adds, changes and removes a key, and counts PRGENERATION', () => {
    const disk = new SharedDisk()
    assert.equal(disk.keys(), '')
    assert.equal(disk.generation(), 0)
    assert.equal(disk.register(disk.a, 1), 'good')
    assert.equal(disk.register(disk.b, 2), 'good')
    assert.equal(disk.keys(disk.c), '1 2', 'anybody may read the keys')
    assert.equal(disk.register(disk.a, 3, { key: 1 }), 'good')
    assert.equal(disk.keys(), '3 2')
    assert.equal(disk.register(disk.a, 0, { key: 3 }), 'good')
    assert.equal(disk.keys(), '2')
    assert.equal(disk.generation(), 4)
  })

  it('conflicts where the key is not that of the nexus', () => {
    const disk = new SharedDisk()
    assert.equal(disk.register(disk.a, 1, { key: 9 }), 'conflict')
    disk.register(disk.a, 1)
    assert.equal(disk.register(disk.a, 2), 'conflict')
    assert.equal(disk.register(disk.a, 0, { key: 2 }), 'conflict')
    assert.equal(disk.keys(), '1')
    assert.equal(disk.generation(), 1, 'what conflicts does not count')
  })

  it('does nothing for a nexus that is not registered and gives no key', () => {
    const disk = new SharedDisk()
    assert.equal(disk.register(disk.a, 0), 'good')
    assert.equal(disk.keys(), '')
  })

  it('with IGNORE EXISTING KEY does not look at the key', () => {
    const disk = new SharedDisk()
    const ignore = (actionKey: number) =>
      disk.out(disk.a, registerAndIgnoreExistingKey, { key: 77, actionKey })
    assert.equal(ignore(0), 'good')
    assert.equal(ignore(5), 'good')
    assert.equal(ignore(6), 'good')
    assert.equal(disk.keys(), '6')
    assert.equal(ignore(0), 'good')
    assert.equal(disk.keys(), '')
  })

  it('keeps one registration for each I_T nexus: the same port through another target port is another', () => {
    const disk = new SharedDisk()
    disk.register(disk.a, 1)
    assert.equal(disk.register(disk.a2, 2), 'good')
    assert.deepEqual(
      disk.full().map(({ key, port, initiator }) => [key, port, initiator]),
      [
        [1, 1, disk.a.initiatorPortName],
        [2, 2, disk.a.initiatorPortName],
      ],
    )
  })

  it('survives the loss of the nexus, a reset, and finds the port that comes back', () => {
    const disk = new SharedDisk()
    disk.register(disk.a, 1)
    disk.reserve(disk.a, 1, EA)
    disk.disk.unit.detachNexus(disk.a, 'nexus-loss')
    disk.disk.unit.reset(() => undefined)
    assert.equal(disk.run(disk.b, '00'), '6/2903')
    assert.equal(disk.run(disk.b, '28 00 00000000 00 0001 00'), 'conflict')
    const again = { ...disk.a }
    disk.disk.attach(again)
    assert.equal(disk.run(again, '28 00 00000000 00 0001 00'), 'good')
    assert.equal(disk.keys(again), '1')
  })

  it('takes no more registrations than there is room for', () => {
    const disk = new SharedDisk()
    const ids = Array.from({ length: 1023 }, (_, i) =>
      encodeTransportId(nexusNamed(`n${i}`).initiatorPortName),
    )
    assert.equal(disk.register(disk.a, 1, { flags: 8, transportIds: ids }), 'good')
    assert.equal(disk.register(disk.b, 2), '5/5504')
    assert.equal(disk.register(disk.a, 0, { key: 1 }), 'good')
    assert.equal(disk.register(disk.b, 2), 'good')
  })

  it('refuses the longest list without making everybody wait for it', () => {
    const disk = new SharedDisk()
    const transportIds = Array.from({ length: 9000 }, (_, i) => encodeTransportId(`iqn.a:${i},i,0x00`))
    const flags = SPEC_I_PT | ALL_TG_PT
    const began = performance.now()
    assert.equal(disk.register(disk.a, 1, { flags, transportIds }), '5/5504')
    assert.ok(performance.now() - began < 500, 'it is no more work than the limit')
    // Fewer names, but too many with every port.
    assert.equal(disk.register(disk.a, 1, { flags, transportIds: transportIds.slice(0, 600) }), '5/5504')
    assert.equal(disk.keys(), '')
  })
})

describe('the parameter list of PERSISTENT RESERVE OUT', () => {
  it('has its length', () => {
    const disk = new SharedDisk()
    for (const lengthBytes of [0, 23, 25, 28, 0x7fff_ffff]) {
      assert.equal(disk.register(disk.a, 1, { lengthBytes }), '5/1a00', String(lengthBytes))
    }
    const cut = disk.disk.run(outCdb(register, 0, 24), { dataOut: new Uint8Array(20) })
    assert.equal(resultOf(cut), '5/1a00')
    assert.equal(disk.keys(), '')
  })

  it('names a type and the scope of the unit, where the service action looks at them', () => {
    const disk = new SharedDisk()
    assert.equal(disk.register(disk.a, 1, { type: 0xff }), 'good')
    for (const action of [reserve, release, preempt]) {
      assert.equal(disk.out(disk.a, action, { key: 1, type: 0x11 }), '5/2400 cdb 2.7')
      for (const type of [0, 2, 4, 9, 15]) {
        assert.equal(disk.out(disk.a, action, { key: 1, type }), '5/2400 cdb 2.3')
      }
    }
    assert.equal(disk.out(disk.a, clear, { key: 1, type: 0xff }), 'good')
  })

  it('can ask for persistence only where there is some', () => {
    const disk = new SharedDisk()
    assert.equal(disk.register(disk.a, 1, { flags: 1 }), '5/2600 parameters 20.0')
    assert.equal(disk.capabilities(), '00081cc0ea010000')
  })

  it('refuses service actions that do not exist', () => {
    const disk = new SharedDisk()
    assert.equal(disk.out(disk.a, 8), '5/2400 cdb 1.4')
    assert.equal(disk.run(disk.a, '5e 04 0000000000 ffff 00'), '5/2400 cdb 1.4')
  })
})

describe('SPEC_I_PT', () => {
  const idOf = (name: string) => encodeTransportId(nexusNamed(name).initiatorPortName)
  const deviceId = (name: string) => {
    const id = encodeTransportId(`iqn.2026-11.test:${name}`)
    id[0] = 0x05
    return id
  }

  it('registers the nexus and the ports of the list with one key', () => {
    const disk = new SharedDisk()
    const transportIds = [idOf('b'), idOf('absent')]
    assert.equal(disk.register(disk.a, 7, { flags: 8, transportIds }), 'good')
    assert.deepEqual(
      disk.full().map(({ initiator }) => initiator),
      [disk.a.initiatorPortName, disk.b.initiatorPortName, nexusNamed('absent').initiatorPortName],
    )
    assert.equal(disk.reserve(disk.b, 7, WE), 'good')
    assert.equal(disk.generation(), 1)
  })

  it('registers every known port of a device that is named without one', () => {
    const disk = new SharedDisk()
    const other = { ...disk.b, initiatorPortName: disk.b.initiatorPortName.replace(/0$/, '1') }
    disk.disk.attach(other)
    assert.equal(disk.register(disk.a, 7, { flags: 8, transportIds: [deviceId('b')] }), 'good')
    assert.equal(disk.keys(), '7 7 7')
    assert.equal(disk.register(disk.c, 8, { flags: 8, transportIds: [deviceId('nobody')] }), 'good')
    assert.equal(disk.keys(), '7 7 7 8')
  })

  it('registers nobody where one of them is registered, or the list is wrong', () => {
    const disk = new SharedDisk()
    disk.register(disk.b, 2)
    const refused = (transportIds: readonly Uint8Array[], options = {}) =>
      disk.register(disk.a, 7, { flags: 8, transportIds, ...options })
    assert.equal(refused([idOf('c'), idOf('b')]), '5/2600 parameters 28')
    const id = idOf('c')
    assert.equal(refused([id.subarray(0, id.length - 4)]), '5/1a00')
    assert.equal(refused([id], { lengthBytes: 60 }), '5/1a00')
    assert.equal(refused([id.with(0, 0x46)]), '5/2600 parameters 28', 'another protocol')
    assert.equal(refused([id.with(0, 0x85)]), '5/2600 parameters 28', 'a reserved format')
    assert.equal(refused([encodeTransportId('not a name,i,0x00023d000000')]), '5/2600 parameters 28')
    assert.equal(disk.keys(), '2')
  })

  it('is for REGISTER by a nexus that is not registered', () => {
    const disk = new SharedDisk()
    disk.register(disk.a, 1)
    const options = { flags: 8, transportIds: [idOf('c')] }
    assert.equal(disk.register(disk.a, 2, { key: 1, ...options }), '5/2600 parameters 20.3')
    assert.equal(disk.register(disk.a, 0, { key: 1, ...options }), '5/2600 parameters 20.3')
    assert.equal(disk.register(disk.a, 2, { key: 3, ...options }), 'conflict')
    const ignored = disk.out(disk.b, registerAndIgnoreExistingKey, { actionKey: 2, ...options })
    assert.equal(ignored, '5/2600 parameters 20.3')
    assert.equal(disk.out(disk.a, reserve, { key: 1, type: WE, ...options }), '5/2600 parameters 20.3')
    assert.equal(disk.keys(), '1')
  })
})

describe('RESERVE and RELEASE', () => {
  it('are for registrants with their key', () => {
    const disk = new SharedDisk()
    assert.equal(disk.reserve(disk.a, 0, WE), 'conflict')
    disk.register(disk.a, 1)
    assert.equal(disk.reserve(disk.a, 2, WE), 'conflict')
    assert.equal(disk.out(disk.a, release, { key: 2, type: WE }), 'conflict')
    assert.equal(disk.out(disk.b, release, { type: WE }), 'conflict')
    assert.equal(disk.held(), '')
  })

  for (const type of TYPES) {
    it(`type ${type}: the holder may repeat it, nobody may change it, and it is released by its type`, () => {
      const disk = new SharedDisk()
      const isForAll = type === WE_AR || type === EA_AR
      disk.register(disk.a, 1)
      disk.register(disk.b, 2)
      assert.equal(disk.reserve(disk.a, 1, type), 'good')
      assert.equal(disk.held(), `${isForAll ? 0 : 1}/${type}`)
      assert.deepEqual(
        disk.full().map((entry) => [entry.isHolder, entry.type]),
        [[true, type], isForAll ? [true, type] : [false, 0]],
      )
      assert.equal(disk.reserve(disk.a, 1, type), 'good')
      assert.equal(disk.reserve(disk.a, 1, type === WE ? EA : WE), 'conflict')
      assert.equal(disk.reserve(disk.b, 2, type), isForAll ? 'good' : 'conflict')
      assert.equal(disk.generation(), 2)
      assert.equal(disk.out(disk.a, release, { key: 1, type: type === WE ? EA : WE }), '5/2604')
      assert.equal(disk.out(disk.b, release, { key: 2, type }), 'good')
      assert.equal(disk.held(), isForAll ? '' : `1/${type}`, 'who does not hold it releases nothing')
      assert.deepEqual(disk.attentions(disk.a), isForAll ? [RELEASED] : [])
      if (isForAll) return
      assert.equal(disk.out(disk.a, release, { key: 1, type }), 'good')
      assert.equal(disk.held(), '')
      const heard = type === WE_RO || type === EA_RO ? [RELEASED] : []
      assert.deepEqual(disk.attentions(disk.b), heard)
      assert.deepEqual(disk.attentions(disk.a), [])
      assert.deepEqual(disk.attentions(disk.c), [], 'who is not registered hears nothing')
      assert.equal(disk.out(disk.a, release, { key: 1, type }), 'good', 'nothing to release')
    })

    it(`type ${type}: ends with the registration of its last holder`, () => {
      const disk = new SharedDisk()
      disk.register(disk.a, 1)
      disk.register(disk.b, 2)
      disk.reserve(disk.a, 1, type)
      disk.register(disk.a, 0, { key: 1 })
      const isForAll = type === WE_AR || type === EA_AR
      assert.equal(disk.held(), isForAll ? `0/${type}` : '')
      assert.deepEqual(disk.attentions(disk.b), type === WE_RO || type === EA_RO ? [RELEASED] : [])
      disk.register(disk.b, 0, { key: 2 })
      assert.equal(disk.held(), '')
    })
  }

  it('keep the reservation when its holder changes its key', () => {
    const disk = new SharedDisk()
    disk.register(disk.a, 1)
    disk.reserve(disk.a, 1, EA)
    disk.register(disk.a, 9, { key: 1 })
    assert.equal(disk.held(), `9/${EA}`)
  })
})

describe('CLEAR', () => {
  it('removes everything, and the other registrants hear of it', () => {
    const disk = new SharedDisk()
    disk.register(disk.a, 1)
    disk.register(disk.b, 2)
    disk.reserve(disk.a, 1, EA)
    assert.equal(disk.out(disk.c, clear), 'conflict')
    assert.equal(disk.out(disk.b, clear, { key: 1 }), 'conflict')
    assert.equal(disk.out(disk.b, clear, { key: 2 }), 'good')
    assert.equal(disk.keys(), '')
    assert.equal(disk.held(), '')
    assert.deepEqual(
      [disk.a, disk.b, disk.c].map((nexus) => disk.attentions(nexus)),
      [[PREEMPTED], [], []],
    )
    assert.equal(disk.generation(), 3)
  })
})

describe('ALL_TG_PT', () => {
  const twoPorts = () => {
    const disk = new SharedDisk()
    return { disk, third: throughPort(disk.a, 3) }
  }

  it('registers through every target port', () => {
    const { disk } = twoPorts()
    assert.equal(disk.register(disk.a, 1, { flags: 4 }), 'good')
    assert.deepEqual(
      disk.full().map(({ port }) => port),
      [1, 2],
    )
    assert.equal(disk.reserve(disk.a2, 1, EA), 'good')
    assert.equal(disk.register(disk.a, 0, { key: 1, flags: 4 }), 'good')
    assert.equal(disk.keys(), '')
    assert.equal(disk.held(), '')
  })

  it('does so at all ports or at none', () => {
    const { disk } = twoPorts()
    disk.register(disk.a2, 5)
    assert.equal(disk.register(disk.a, 1, { flags: 4 }), 'conflict')
    assert.equal(disk.keys(), '5')
    const ignore = disk.out(disk.a, registerAndIgnoreExistingKey, { actionKey: 1, flags: 4 })
    assert.equal(ignore, 'good')
    assert.equal(disk.keys(), '1 1')
  })

  it('goes together with SPEC_I_PT', () => {
    const { disk } = twoPorts()
    const transportIds = [encodeTransportId(disk.b.initiatorPortName)]
    assert.equal(disk.register(disk.a, 1, { flags: 12, transportIds }), 'good')
    assert.deepEqual(
      disk.full().map(({ initiator, port }) => `${initiator.slice(17, 20)} ${port}`),
      ['one 1', 'one 2', 'b,i 1', 'b,i 2'],
    )
  })
})

describe('REGISTER AND MOVE', () => {
  it('moves the reservation to a nexus that it registers, which need not be here', () => {
    const disk = new SharedDisk()
    disk.register(disk.a, 1)
    disk.reserve(disk.a, 1, WE_RO)
    const absent = nexusNamed('absent')
    assert.equal(disk.move(disk.a, 1, 4, absent), 'good')
    assert.equal(disk.keys(), '1 4')
    assert.equal(disk.held(), `4/${WE_RO}`)
    disk.disk.attach(absent)
    assert.equal(disk.move(absent, 4, 6, disk.a, true), 'good')
    assert.equal(disk.keys(), '6')
    assert.equal(disk.held(), `6/${WE_RO}`)
    assert.deepEqual(
      [disk.a, absent].map((nexus) => disk.attentions(nexus)),
      [[], []],
    )
    assert.equal(disk.generation(), 3)
  })

  it('is for the one holder', () => {
    const disk = new SharedDisk()
    assert.equal(disk.move(disk.a, 0, 4, disk.b), 'conflict')
    disk.register(disk.a, 1)
    disk.register(disk.b, 2)
    assert.equal(disk.move(disk.a, 1, 4, disk.c), '5/2400 cdb 1.4', 'there is no reservation')
    disk.reserve(disk.a, 1, EA)
    assert.equal(disk.move(disk.a, 9, 4, disk.c), 'conflict')
    assert.equal(disk.move(disk.b, 2, 4, disk.c), 'conflict')
    disk.out(disk.a, release, { key: 1, type: EA })
    disk.reserve(disk.a, 1, EA_AR)
    assert.equal(disk.move(disk.a, 1, 4, disk.c), 'conflict')
  })

  it('needs a key, another initiator port, and a target port that there is', () => {
    const disk = new SharedDisk()
    disk.register(disk.a, 1)
    disk.reserve(disk.a, 1, EA)
    assert.equal(disk.move(disk.a, 1, 0, disk.b), '5/2600 parameters 8')
    assert.equal(disk.move(disk.a, 1, 4, disk.a2), '5/2600 parameters 24')
    assert.equal(disk.move(disk.a, 1, 4, throughPort(disk.b, 9)), '5/2600 parameters 18')
    assert.equal(disk.move(disk.a, 1, 4, disk.b, false, true), '5/2600 parameters 17.0')
    assert.equal(disk.held(), `1/${EA}`)
  })
})

describe('PREEMPT', () => {
  it('takes over the reservation of the holder that the key names', () => {
    for (const type of [WE, EA, WE_RO, EA_RO]) {
      const disk = new SharedDisk()
      disk.register(disk.a, 1)
      disk.register(disk.b, 2)
      disk.register(disk.c, 3)
      disk.reserve(disk.a, 1, type)
      assert.equal(disk.out(disk.b, preempt, { key: 2, actionKey: 1, type }), 'good')
      assert.equal(disk.keys(), '2 3')
      assert.equal(disk.held(), `2/${type}`)
      const heard = [disk.a, disk.b, disk.c].map((nexus) => disk.attentions(nexus))
      assert.deepEqual(heard, [[REGISTRATION_GONE], [], []])
    }
  })

  it('tells the registrants that stay when the type changes', () => {
    const disk = new SharedDisk()
    disk.register(disk.a, 1)
    disk.register(disk.b, 2)
    disk.register(disk.c, 3)
    disk.reserve(disk.a, 1, WE)
    assert.equal(disk.out(disk.b, preempt, { key: 2, actionKey: 1, type: EA_RO }), 'good')
    assert.equal(disk.held(), `2/${EA_RO}`)
    assert.deepEqual(disk.attentions(disk.c), [RELEASED])
  })

  it('lets the holder change its own reservation', () => {
    const disk = new SharedDisk()
    disk.register(disk.a, 1)
    disk.reserve(disk.a, 1, WE)
    assert.equal(disk.out(disk.a, preempt, { key: 1, actionKey: 1, type: EA_AR }), 'good')
    assert.equal(disk.held(), `0/${EA_AR}`)
    assert.equal(disk.keys(), '1')
    assert.deepEqual(disk.attentions(disk.a), [])
  })

  it('only removes registrations where the key names no holder', () => {
    const disk = new SharedDisk()
    disk.register(disk.a, 1)
    disk.register(disk.b, 2)
    disk.register(disk.c, 2)
    disk.reserve(disk.a, 1, WE)
    assert.equal(disk.out(disk.a, preempt, { key: 1, actionKey: 2, type: EA }), 'good')
    assert.equal(disk.keys(), '1')
    assert.equal(disk.held(), `1/${WE}`)
    assert.deepEqual(disk.attentions(disk.b), [REGISTRATION_GONE])
    assert.deepEqual(disk.attentions(disk.c), [REGISTRATION_GONE])
  })

  it('removes its own registration too where it names that, and hears nothing of it', () => {
    const disk = new SharedDisk()
    disk.register(disk.a, 1)
    disk.register(disk.b, 1)
    assert.equal(disk.out(disk.a, preempt, { key: 1, actionKey: 1, type: WE }), 'good')
    assert.equal(disk.keys(), '')
    assert.deepEqual(
      [disk.a, disk.b].map((nexus) => disk.attentions(nexus)),
      [[], [REGISTRATION_GONE]],
    )
  })

  it('of all registrants takes over with key zero, and removes registrations with another', () => {
    for (const type of [WE_AR, EA_AR]) {
      const disk = new SharedDisk()
      disk.register(disk.a, 1)
      disk.register(disk.b, 2)
      disk.register(disk.c, 3)
      disk.reserve(disk.a, 1, type)
      assert.equal(disk.out(disk.b, preempt, { key: 2, actionKey: 3, type: WE }), 'good')
      assert.equal(disk.keys(), '1 2')
      assert.equal(disk.held(), `0/${type}`)
      assert.equal(disk.out(disk.b, preempt, { key: 2, actionKey: 0, type: WE }), 'good')
      assert.equal(disk.keys(), '2')
      assert.equal(disk.held(), `2/${WE}`)
      assert.deepEqual(disk.attentions(disk.a), [REGISTRATION_GONE])
    }
  })

  it('conflicts where the key names nobody, and needs one where there is one holder or none', () => {
    const disk = new SharedDisk()
    disk.register(disk.a, 1)
    assert.equal(disk.out(disk.b, preempt, { actionKey: 1, type: WE }), 'conflict')
    assert.equal(disk.out(disk.a, preempt, { key: 1, actionKey: 9, type: WE }), 'conflict')
    assert.equal(disk.out(disk.a, preempt, { key: 1, actionKey: 0, type: WE }), '5/2600 parameters 8')
    disk.reserve(disk.a, 1, WE)
    assert.equal(disk.out(disk.a, preempt, { key: 1, actionKey: 0, type: WE }), '5/2600 parameters 8')
    assert.equal(disk.generation(), 1)
  })
})
