/** A session of our two roles with several connections at error recovery level 2, read by tshark while things go wrong. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { connectDisk } from '../../packages/cygnet/src/initiator/connect.ts'
import { Initiator } from '../../packages/cygnet/src/initiator/initiator.ts'
import { nodeInitiatorRuntime } from '../../packages/cygnet/src/runtime/initiator-runtime.ts'
import { DiskLoad } from '../support/disk-load.ts'
import { FaultProxy } from '../support/fault-proxy.ts'
import { requirePeers } from '../support/peer.ts'
import { Op } from '../support/raw-pdu.ts'
import { Scratch } from '../support/scratch.ts'
import { Seeded } from '../support/seeded.ts'
import { startCygnet, until } from '../support/subject.ts'
import { judgeCapture, startCapture } from '../support/wire-capture.ts'

const CONNECTIONS = 3

test('tshark finds nothing wrong in a session of three connections at level 2', {
  timeout: 120_000,
}, async (t) => {
  if (!requirePeers(t, 'tshark')) return
  const scratch = new Scratch(t)
  const random = new Seeded()
  t.diagnostic(`CYGNET_SEED=${random.seed}`)
  const subject = await startCygnet(scratch, { images: [scratch.path('disk')], size: '16M' })
  const capture = await startCapture(t, scratch, subject.port)
  if (capture === undefined) return
  // The capture is on the target's side: what the proxy spoils on its way to the initiator is whole there.
  const proxy = await FaultProxy.start(scratch, subject.port, { random })
  const runtime = nodeInitiatorRuntime()
  const { disk, session } = await connectDisk(runtime, new Initiator(runtime), {
    host: '127.0.0.1',
    port: proxy.port,
    target: subject.iqn,
    lun: 0,
    connections: CONNECTIONS,
    errorRecoveryLevel: 2,
    headerDigest: ['CRC32C'],
    dataDigest: ['CRC32C'],
    limits: { maxRecvDataSegmentLength: 8192, maxBurstLength: 16_384, firstBurstLength: 8192 },
  })
  assert.ok(await until(() => session.connectionCount === CONNECTIONS, 10_000))
  const { counters } = session

  const load = new DiskLoad(disk, random, { workers: 6, partBytes: 256 << 10, mostBytes: 64 << 10 })
  const count = (): number => load.reads + load.writes
  // Each fault when so many requests are done.
  const faults: [number, () => void][] = [
    ...[20, 40, 60].map((at, index): [number, () => void] => [
      at,
      () => proxy.links[index]?.corrupt({ region: 'data', direction: 'to-initiator', opcode: Op.dataIn }),
    ]),
    [80, () => proxy.links[0]?.cut('reset')],
    [160, () => proxy.links[1]?.cut('fin')],
  ]
  await load.run(() => {
    if (faults[0] !== undefined && count() >= faults[0][0]) faults.shift()?.[1]()
    return count() >= 300 && faults.length === 0
  })
  assert.ok(await until(() => session.connectionCount === CONNECTIONS, 15_000))
  await load.verify()
  await disk.close()
  await capture.stop()

  assert.equal(counters.sessionLost, 0)
  assert.equal(counters.digestErrorData, 3)
  assert.ok(counters.dataSnack + counters.rDataSnack >= 1 && counters.connectionRecovery >= 2)
  const streams = await judgeCapture(capture.file, subject.port, { isFaulty: true })
  assert.ok(streams.length >= 2, `${streams.length} connections`)
  const seen = new Set(streams.flatMap(({ opcodes }) => [...opcodes]))
  const expected = [
    Op.scsiCommand,
    Op.scsiResponse,
    Op.dataIn,
    Op.dataOut,
    Op.r2t,
    Op.snack,
    Op.logout,
    Op.logoutResponse,
  ]
  for (const opcode of expected) assert.ok(seen.has(opcode), `opcode 0x${opcode.toString(16)} was seen`)
  t.diagnostic(streams.map(({ stream, pdus }) => `connection ${stream}: ${pdus} PDUs`).join(', '))
  const said = Object.entries(counters).filter(([, number]) => typeof number === 'number' && number > 0)
  t.diagnostic(JSON.stringify(Object.fromEntries(said)))
})
