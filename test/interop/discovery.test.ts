/** SendTargets through several portals and in every form, and where targets have moved to. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Configuration, startConfigured } from '../support/configured.ts'
import { peerPath, requirePeers } from '../support/peer.ts'
import { decodeTextPairs, NO_TAG, Op, RawInitiator, type ReceivedPdu } from '../support/raw-initiator.ts'
import { encodePairs, identity, RawLogin, Stage, statusOf } from '../support/raw-login.ts'
import { freePort, run, runOk, Scratch } from '../support/scratch.ts'

const name = (suffix: string): string => `iqn.2026-11.dev.example:${suffix}`
const DISK = { luns: { 0: { memory: '16M' } } }
const F = 0x80
const C = 0x40

/** A text request and its response, by flags and tags. */
async function text(
  initiator: RawInitiator,
  pairs: Parameters<typeof encodePairs>[0],
  fields: { flags?: number; itt: number; ttt?: number },
): Promise<ReceivedPdu> {
  const { flags = F, itt, ttt = NO_TAG } = fields
  initiator.send(initiator.bhs(Op.text, { flags, itt, word20: ttt }), encodePairs(pairs))
  return initiator.receive()
}

test('a discovery session with a few portals', async (t) => {
  const scratch = new Scratch(t)
  const portals = [
    { listen: '127.0.0.1:0', group: 1 },
    { listen: '[::1]:0', group: 1 },
    { listen: '127.0.0.1:0', group: 2, advertise: 'san.example.com:3260' },
    { listen: '0.0.0.0:0', group: 3 },
    { listen: '[::]:0', group: 4 },
  ]
  const { subject, ports } = await startConfigured(scratch, {
    portals,
    targets: {
      [name('everywhere')]: DISK,
      [name('group-1')]: { ...DISK, groups: [1] },
      [name('group-2')]: { ...DISK, groups: [2] },
      [name('wildcards')]: { ...DISK, groups: [3, 4] },
    },
  })
  const [first = 0, ipv6 = 0, behindNat = 0, wildcard4 = 0, wildcard6 = 0] = ports
  const discover = async (port: number, host?: string): Promise<RawInitiator> => {
    const initiator = await RawInitiator.connect(port, host)
    assert.equal((await initiator.login()).statusClass, 0)
    return initiator
  }
  /** Addresses by target. */
  const records = (pairs: readonly [string, string][]): Record<string, string[]> => {
    const found: Record<string, string[]> = {}
    let last: string[] = []
    for (const [key, value] of pairs) {
      if (key === 'TargetName') found[value] = last = []
      else if (key === 'TargetAddress') last.push(value)
      else assert.fail(`${key}=${value}`)
    }
    return found
  }
  const group1 = [`127.0.0.1:${first},1`, `[::1]:${ipv6},1`]
  const group2 = ['san.example.com:3260,2']

  await t.test('All: every target with the portals of its groups, and their tags', async () => {
    const initiator = await discover(first)
    const wildcards = [`127.0.0.1:${wildcard4},3`, `127.0.0.1:${wildcard6},4`]
    assert.deepEqual(records(await initiator.sendTargets()), {
      [name('everywhere')]: [...group1, ...group2, ...wildcards],
      [name('group-1')]: group1,
      [name('group-2')]: group2,
      [name('wildcards')]: wildcards,
    })
    await initiator.logout()
  })

  await t.test('by name: this target alone, whatever the case of its letters', async () => {
    const initiator = await discover(behindNat)
    assert.deepEqual(records(await initiator.sendTargets(name('group-1'))), { [name('group-1')]: group1 })
    assert.deepEqual(await initiator.sendTargets(name('GROUP-2').toUpperCase()), [
      ['TargetName', name('group-2')],
      ['TargetAddress', group2[0]],
    ])
    assert.deepEqual(await initiator.sendTargets(name('nowhere')), [])
    await initiator.logout()
  })

  await t.test(
    'an address for every network is reported as the one that the initiator has reached',
    async () => {
      for (const [port, host, seen] of [
        [wildcard4, '127.0.0.2', '127.0.0.2'],
        [wildcard6, '::1', '[::1]'],
        [wildcard6, '127.0.0.3', '127.0.0.3'],
      ] as const) {
        const initiator = await discover(port, host)
        const expected = [`${seen}:${wildcard4},3`, `${seen}:${wildcard6},4`]
        assert.deepEqual(records(await initiator.sendTargets(name('wildcards'))), {
          [name('wildcards')]: expected,
        })
        await initiator.logout()
      }
    },
  )

  await t.test('empty: the target of a normal session; and All is for discovery sessions only', async () => {
    const initiator = await RawInitiator.open(first, { target: name('group-1') })
    const own = { [name('group-1')]: group1 }
    assert.deepEqual(records(await initiator.sendTargets('')), own)
    assert.deepEqual(records(await initiator.sendTargets(name('group-1'))), own)
    assert.deepEqual(await initiator.sendTargets('All'), [['SendTargets', 'Reject']])
    assert.equal((await initiator.command([0xa0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0], { read: 256 })).status, 0)
    await initiator.logout()
  })

  await t.test('a login tells the tag of its portal group, a discovery without a target none', async () => {
    for (const [port, host, target, group] of [
      [first, '127.0.0.1', name('everywhere'), '1'],
      [ipv6, '::1', name('everywhere'), '1'],
      [behindNat, '127.0.0.1', name('everywhere'), '2'],
      [behindNat, '127.0.0.1', undefined, undefined],
    ] as const) {
      const initiator = await RawInitiator.connect(port, host)
      const { keys } = await initiator.login(target === undefined ? {} : { target })
      assert.equal(keys.get('TargetPortalGroupTag'), group)
      initiator.close()
    }
  })

  await t.test('a portal that does not serve a target does not have it: 0203', async () => {
    const initiator = await RawInitiator.connect(first)
    const { statusClass, statusDetail } = await initiator.login({ target: name('group-2') })
    assert.deepEqual([statusClass, statusDetail], [2, 3])
    initiator.close()
  })

  await t.test('libiscsi and QEMU find and use a target through IPv6', async (st) => {
    if (!requirePeers(st, 'iscsi-ls', 'qemu-io')) return
    const { stdout } = await runOk(peerPath('iscsi-ls'), [`iscsi://[::1]:${ipv6}`])
    assert.match(stdout, new RegExp(`^Target:${name('group-1')} Portal:.*\\[::1\\]:${ipv6},1`, 'm'))
    const url = `iscsi://[::1]:${ipv6}/${name('group-1')}/0`
    const commands = ['-c', 'write -P 0x61 1M 64k', '-c', 'read -P 0x61 1M 64k']
    await runOk(peerPath('qemu-io'), ['-f', 'raw', ...commands, url])
    assert.ok(subject.isRunning)
  })
})

test('300 targets with long names, for an initiator that takes little at a time', async (t) => {
  const scratch = new Scratch(t)
  const names = Array.from({ length: 300 }, (_, index) => {
    const head = `${name('many')}.${String(index).padStart(3, '0')}.`
    return head.padEnd(223, 'abcdefghij')
  })
  const portals = [
    { listen: '127.0.0.1:0', group: 1 },
    { listen: '[::1]:0', group: 2 },
  ]
  const targets = Object.fromEntries(names.map((target) => [target, DISK]))
  const { subject, ports } = await startConfigured(scratch, { portals, targets })

  for (const segmentBytes of [512, 8192]) {
    await t.test(`${segmentBytes} bytes: Text Responses that are taken with empty requests`, async () => {
      const keys = { MaxRecvDataSegmentLength: String(segmentBytes) }
      const initiator = await RawInitiator.open(subject.port, { keys })
      const itt = initiator.allocateItt()
      const parts: Buffer[] = []
      let pdu = await text(initiator, [['SendTargets', 'All']], { itt })
      for (; !pdu.final; pdu = await text(initiator, [], { itt, ttt: pdu.ttt })) {
        assert.equal(pdu.flags & (F | C), C)
        assert.notEqual(pdu.ttt, NO_TAG)
        assert.equal(pdu.itt, itt)
        assert.equal(pdu.data.length, segmentBytes)
        parts.push(pdu.data)
      }
      assert.equal(pdu.flags & (F | C), F)
      assert.equal(pdu.ttt, NO_TAG)
      parts.push(pdu.data)
      const expected = names.flatMap((target) => [
        ['TargetName', target],
        ['TargetAddress', `127.0.0.1:${ports[0]},1`],
        ['TargetAddress', `[::1]:${ports[1]},2`],
      ])
      assert.deepEqual(decodeTextPairs(Buffer.concat(parts)), expected)
      t.diagnostic(`${parts.length} responses of ${segmentBytes} bytes`)
      await initiator.logout()
    })
  }

  await t.test('iscsi-ls lists them all', async (st) => {
    if (!requirePeers(st, 'iscsi-ls')) return
    const { stdout } = await runOk(peerPath('iscsi-ls'), [`iscsi://${subject.portal}`])
    assert.equal(stdout.match(/^Target:/gm)?.length, 600, 'with each portal')
  })

  await t.test('a list that is not taken is given up for a new one', async () => {
    const initiator = await RawInitiator.open(subject.port, { keys: { MaxRecvDataSegmentLength: '512' } })
    const itt = initiator.allocateItt()
    const first = await text(initiator, [['SendTargets', 'All']], { itt })
    assert.equal(first.flags & C, C)
    const again = await text(initiator, [['SendTargets', names[7] ?? '']], { itt })
    assert.deepEqual([again.flags & (F | C), again.text.get('TargetName')], [F, names[7]])
    const stale = await text(initiator, [], { itt, ttt: first.ttt })
    assert.equal(stale.opcode, Op.reject)
    await initiator.logout()
  })
})

/** The status of a login to a target and the address that comes with it. */
async function redirection(port: number, target: string): Promise<(string | undefined)[]> {
  const initiator = await RawInitiator.connect(port)
  const login = new RawLogin(initiator)
  const pdu = await login.request(identity(target), { stage: Stage.operational, next: Stage.fullFeature })
  assert.equal(pdu.flags, 0, 'no stage goes with it')
  assert.ok(await initiator.closesWithin(2000), 'the connection ends')
  return [statusOf(pdu), pdu.text.get('TargetAddress')]
}

test('targets that have moved', async (t) => {
  const scratch = new Scratch(t)
  const here = await startConfigured(scratch, { targets: { [name('disk')]: DISK, [name('late')]: DISK } })
  const to = here.subject.portal
  const [portalPort, looping] = [await freePort(), await freePort()]
  const configuration: Configuration = {
    portals: [
      { listen: '127.0.0.1:0', group: 1 },
      { listen: `127.0.0.1:${portalPort}`, group: 2, moved: { to } },
      { listen: `127.0.0.1:${looping}`, group: 3, moved: { to: `127.0.0.1:${looping}`, permanent: true } },
    ],
    targets: {
      [name('disk')]: { moved: { to }, groups: [1, 3] },
      [name('gone')]: { moved: { to: '[fd00::9]:3261', permanent: true }, groups: [1] },
      [name('late')]: { ...DISK, groups: [2, 3] },
    },
  }
  const { subject } = await startConfigured(scratch, configuration)

  await t.test('temporarily: 0101 with the address, without a portal group tag', async () => {
    assert.deepEqual(await redirection(subject.port, name('disk')), ['0101', to])
  })

  await t.test('permanently: 0102', async () => {
    assert.deepEqual(await redirection(subject.port, name('gone')), ['0102', '[fd00::9]:3261'])
  })

  await t.test('a portal that has moved sends on what it served', async () => {
    assert.deepEqual(await redirection(portalPort, name('late')), ['0101', to])
    const status = (await redirection(portalPort, name('disk')))[0]
    assert.equal(status, '0203', 'and nothing else')
  })

  await t.test('a target that has moved is found by discovery all the same', async () => {
    const initiator = await RawInitiator.open(subject.port, {})
    const names = (await initiator.sendTargets()).filter(([key]) => key === 'TargetName')
    assert.deepEqual(
      names.map(([, value]) => value),
      [name('disk'), name('gone'), name('late')],
    )
    await initiator.logout()
  })

  await t.test('libiscsi and QEMU follow, and read what is there', async (st) => {
    if (!requirePeers(st, 'iscsi-inq', 'qemu-io', 'qemu-img')) return
    const direct = `iscsi://${to}/${name('disk')}/0`
    await runOk(peerPath('qemu-io'), ['-f', 'raw', '-c', 'write -P 0x77 2M 64k', direct])
    const moved = `iscsi://${subject.portal}/${name('disk')}/0`
    await runOk(peerPath('qemu-io'), ['-f', 'raw', '-c', 'read -P 0x77 2M 64k', moved])
    assert.match((await runOk(peerPath('qemu-img'), ['info', moved])).stdout, /virtual size: 16 MiB/)
    const throughPortal = `iscsi://127.0.0.1:${portalPort}/${name('late')}/0`
    assert.match(
      (await runOk(peerPath('iscsi-inq'), [throughPortal])).stdout,
      /^Peripheral Qualifier:CONNECTED/m,
    )
  })

  await t.test(
    'a target that has moved to where it is costs an initiator its patience, and us nothing',
    async (st) => {
      if (!requirePeers(st, 'iscsi-inq')) return
      const url = `iscsi://127.0.0.1:${looping}/${name('late')}/0`
      const { code } = await run(peerPath('iscsi-inq'), [url], { timeoutMs: 2000 })
      assert.notEqual(code, 0)
      await (await RawInitiator.open(subject.port, {})).logout()
      assert.ok(subject.isRunning)
    },
  )
})
