import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import * as fc from 'fast-check'
import { MmcOpcode } from '../scsi/mmc-opcodes.ts'
import { Opcode } from '../scsi/opcodes.ts'
import { ScsiStatus } from '../scsi/status.ts'
import type { ScsiTask } from '../scsi/task.ts'
import { TaskAttribute } from '../scsi/task.ts'
import { nexusNamed, pattern, senseOf } from './disk.test-helper.ts'
import { CD_BLOCKS } from './optical-disc.ts'
import { DiscStore, LargeDiscStore, TestDrive } from './optical.test-helper.ts'

/** Key, and additional code where that matters: what MMC and SPC let a drive that only reads report. */
const ALLOWED = new Set([
  ...['2/3a00', '3/1100', '5/1a00', '5/2000', '5/2100', '5/2400', '5/2600', '5/2604', '5/2c00', '5/3002'],
  ...['5/3900', '5/4900', '5/5302', '5/5504', '5/6400', '6/2800', '6/2900', '6/2903', '6/2907', '6/2a03'],
  ...['6/2a04', '6/2a05', '6/2a06', '6/2f00', '2/040a', '2/040b', '2/040c'],
])

const opcode = fc.oneof(
  fc.constantFrom<number>(...Object.values(MmcOpcode)),
  fc.constantFrom<number>(...Object.values(Opcode)),
  fc.nat(255),
)
/** Mostly zeroes: otherwise nearly every CDB would fail at its first reserved bit. */
const cdb = fc
  .tuple(
    opcode,
    fc.uint8Array({ minLength: 15, maxLength: 15 }),
    fc.uint8Array({ minLength: 15, maxLength: 15 }),
  )
  .map(([first, rest, mask]) =>
    Uint8Array.of(first, ...rest.map((byte, i) => ((mask[i] ?? 0) < 190 ? 0 : byte))),
  )
/** What a host sends to a drive, with few bits set. */
const likely = fc
  .tuple(
    fc.constantFrom<number>(
      ...Object.values(MmcOpcode),
      Opcode.startStopUnit,
      Opcode.preventAllowMediumRemoval,
      Opcode.modeSense10,
      Opcode.read10,
      Opcode.read12,
    ),
    fc.array(fc.tuple(fc.integer({ min: 1, max: 11 }), fc.constantFrom(1, 2, 3, 8, 16, 255)), {
      maxLength: 4,
    }),
  )
  .map(([first, bytes]) => {
    const built = new Uint8Array(16)
    built[0] = first
    for (const [at, value] of bytes) built[at] = value
    return built
  })

const event = fc.oneof(
  {
    weight: 12,
    arbitrary: fc.record({
      kind: fc.constant('submit' as const),
      cdb: fc.oneof(cdb, likely),
      attribute: fc.constantFrom(...Object.values(TaskAttribute)),
      dataBytes: fc.constantFrom(0, 1, 4, 8, 24, 28, 36, 108, 2048),
      limitBytes: fc.constantFrom(0, 1, 8, 2048, 5000, 1 << 20),
      nexus: fc.nat(1),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constantFrom('reset' as const, 'detach' as const, 'fail' as const) }),
  },
)

describe('any CDBs to a drive', () => {
  it('end with a status and with sense data that a drive may have, and change nothing', () => {
    fc.assert(
      fc.property(fc.boolean(), fc.array(event, { maxLength: 60 }), (isDvd, events) => {
        const store = isDvd ? new LargeDiscStore(CD_BLOCKS + 1) : new DiscStore(64)
        const drive = new TestDrive(store)
        const before = Uint8Array.from(store.bytes)
        const other = nexusNamed('two')
        drive.unit.attachNexus(other)
        const submitted: ScsiTask[] = []
        for (const one of events) {
          if (one.kind === 'submit') {
            const dataOut = pattern(one.dataBytes, one.cdb[0])
            const options = { attribute: one.attribute, dataOut, dataInLimitBytes: one.limitBytes }
            submitted.push(drive.submit(one.cdb, options, one.nexus === 0 ? drive.nexus : other))
          } else if (one.kind === 'reset') drive.unit.reset(() => undefined)
          else if (one.kind === 'fail') store.failNext = { call: 'read', error: { failure: 'medium' } }
          else {
            drive.unit.detachNexus(other, 'nexus-loss')
            drive.unit.attachNexus(other)
          }
        }
        // What an ACA condition holds back.
        for (const nexus of [drive.nexus, other]) drive.unit.clearAca(nexus, () => undefined)
        drive.unit.reset(() => undefined)
        assert.equal(drive.unit.taskCount, 0)
        for (const task of submitted) {
          const outcome = drive.transport.outcome(task)
          assert.ok(outcome.data.length <= Math.min(task.dataInLengthBytes, task.dataInLimitBytes))
          if (outcome.aborted) continue
          assert.ok((Object.values(ScsiStatus) as number[]).includes(outcome.status))
          const isFailed = outcome.status === ScsiStatus.checkCondition
          assert.equal(outcome.sense !== undefined, isFailed)
          if (isFailed) assert.ok(ALLOWED.has(senseOf(outcome)), `${senseOf(outcome)} of ${task.cdb[0]}`)
        }
        assert.ok(Buffer.compare(store.bytes, before) === 0)
        assert.ok(store.calls.every((call) => call.startsWith('read') || call === 'flush'))
        assert.equal(drive.pool.inUse, 0)
      }),
      { numRuns: 200 },
    )
  })
})
