import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { serialAdd } from '../../packages/cygnet/src/base/serial32.ts'
import { LogoutReason, SnackType, TaskManagementFunction } from '../../packages/cygnet/src/pdu/codes.ts'
import { decodeDataIn, decodeR2T, type R2T } from '../../packages/cygnet/src/pdu/data.ts'
import { Opcode } from '../../packages/cygnet/src/pdu/opcodes.ts'
import { encodeSnackRequest } from '../../packages/cygnet/src/pdu/snack.ts'
import {
  FakeOpcode,
  fakeCdb,
  pattern,
} from '../../packages/cygnet/src/session/target-role/fake-target.test-helper.ts'
import { PeerSession } from '../../packages/cygnet/src/session/target-role/peer-session.test-helper.ts'
import type { TestPeer } from '../../packages/cygnet/src/session/target-role/peer.test-helper.ts'
import type { Answer } from '../../packages/cygnet/src/session/wire.test-helper.ts'

/*
 * Whatever the connections of one session do, to themselves and to each other, at any ErrorRecoveryLevel: nothing is thrown, what
 * the target sends keeps the rules that the peer checks, and when every connection is gone and every time over, nothing is left.
 * What is sent is mostly about tasks that are there, and mostly almost right.
 */

const CONNECTIONS = 3
const NONE = 0xffff_ffff
const { taskReassign, abortTask } = TaskManagementFunction

/** A session, and what the target has said in it. */
class Scene {
  readonly session: PeerSession
  /** Tags of commands, and where they were sent. */
  readonly commands: { readonly tag: number; readonly cid: number }[] = []
  readonly r2ts: R2T[] = []
  readonly ackTags: number[] = []

  constructor(session: PeerSession) {
    this.session = session
  }

  note(answers: readonly Answer[]): void {
    for (const { opcode, view } of answers) {
      if (opcode === Opcode.r2t) this.r2ts.push(decodeR2T(view, 0))
      if (opcode === Opcode.dataIn) {
        const { acknowledge, targetTransferTag } = decodeDataIn(view, 0)
        if (acknowledge) this.ackTags.push(targetTransferTag)
      }
    }
  }

  /** Tag of one of the last commands, or of none. */
  tag(back: number): number {
    return this.commands.at(-1 - back)?.tag ?? 9
  }

  /** The connection of a command, or any other. */
  peerOf(tag: number, otherwise: TestPeer): TestPeer {
    const command = this.commands.findLast((one) => one.tag === tag)
    return command ? this.session.at(command.cid) : otherwise
  }
}

interface Turn {
  readonly cid: number
  /** On the connection with that CID. */
  run(scene: Scene, peer: TestPeer): readonly Answer[] | undefined
}

/** A step on one of the connections, which a counterexample shows as these values. */
const step = <T extends object>(
  name: string,
  values: fc.Arbitrary<T>,
  run: (value: T, scene: Scene, peer: TestPeer, cid: number) => readonly Answer[] | undefined,
): fc.Arbitrary<Turn> =>
  fc.tuple(fc.integer({ min: 1, max: CONNECTIONS }), values).map(([cid, value]) => ({
    cid,
    run: (scene: Scene, peer: TestPeer) => run(value, scene, peer, cid),
    [fc.toStringMethod]: () => `${name} on ${cid} ${fc.stringify(value)}`,
  }))

const back = fc.nat({ max: 3 })
const small = fc.nat({ max: 5 })
const rarely = fc.nat({ max: 9 }).map((value) => value === 0)
const lengthBytes = fc.constantFrom(4, 512, 1000, 4096)
/** Of ExpStatSN from what would be right: nothing new acknowledged, something of the future, or right. */
const statDistance = fc.constantFrom(0, 0, 0, -1, -2, -5, 1, 0x7fff_ffff)

const command = step(
  'command',
  fc.record({
    opcode: fc.constantFrom(FakeOpcode.none, FakeOpcode.read, FakeOpcode.write, FakeOpcode.fail),
    lengthBytes,
    immediateBytes: fc.constantFrom(0, 0, 512, 4096),
    immediate: rarely,
    unsolicited: rarely,
    again: rarely,
    gap: rarely,
    statDistance,
  }),
  (c, scene, peer, cid) => {
    const { session } = scene
    const read = c.opcode === FakeOpcode.read
    const write = c.opcode === FakeOpcode.write
    const tag = c.again ? scene.tag(0) : peer.tag++
    scene.commands.push({ tag, cid })
    return peer.command(
      fakeCdb(c.opcode, write ? c.lengthBytes : 0, read ? c.lengthBytes : 0),
      {
        initiatorTaskTag: tag,
        expectedDataTransferLength: read || write ? c.lengthBytes : 0,
        immediate: c.immediate,
        final: !(write && c.unsolicited),
        read,
        write,
        expStatSN: serialAdd(peer.expStatSN ?? 0, c.statDistance),
        ...(c.gap && { cmdSN: serialAdd(session.cmdSN, 1) }),
      },
      new Uint8Array(write ? Math.min(c.immediateBytes, c.lengthBytes) : 0),
    )
  },
)

const dataOut = step(
  'data-out',
  fc.record({
    back,
    shift: fc.constantFrom(0, 0, 0, 0, 4, -4),
    dataSN: rarely,
    open: rarely,
    spoil: rarely,
    elsewhere: rarely,
  }),
  (d, scene, other) => {
    const r2t = scene.r2ts.at(-1 - d.back)
    if (!r2t) return undefined
    const { initiatorTaskTag, targetTransferTag, bufferOffset, desiredDataTransferLength } = r2t
    const peer = d.elsewhere ? other : scene.peerOf(initiatorTaskTag, other)
    return peer.dataOut(
      {
        initiatorTaskTag,
        targetTransferTag,
        bufferOffset: Math.max(0, bufferOffset + d.shift),
        dataSN: d.dataSN ? 1 : 0,
        final: !d.open,
      },
      pattern(desiredDataTransferLength, bufferOffset),
      d.spoil,
    )
  },
)

const snack = step(
  'SNACK',
  fc.record({
    type: fc.oneof(
      { weight: 9, arbitrary: fc.constantFrom(...Object.values(SnackType)) },
      { weight: 1, arbitrary: fc.nat({ max: 15 }) },
    ),
    back,
    begRun: fc.oneof({ weight: 9, arbitrary: small }, { weight: 1, arbitrary: fc.nat({ max: NONE }) }),
    runLength: fc.oneof({ weight: 9, arbitrary: small }, { weight: 1, arbitrary: fc.nat({ max: NONE }) }),
    statDistance,
    elsewhere: rarely,
  }),
  (s, scene, other) => {
    const tag = scene.tag(s.back)
    const peer = s.elsewhere ? other : scene.peerOf(tag, other)
    const expStatSN = serialAdd(peer.expStatSN ?? 0, s.statDistance)
    const isTagged = s.type === SnackType.dataOrR2T || s.type === SnackType.rData
    const targetTransferTag = s.type === SnackType.dataAck ? (scene.ackTags.at(-1 - s.back) ?? 5) : s.begRun
    const isWhole = s.type === SnackType.rData
    return peer.exchange(
      peer.wire((view, at) =>
        encodeSnackRequest(view, at, {
          type: s.type,
          lun: 0n,
          initiatorTaskTag: isTagged ? tag : NONE,
          targetTransferTag: s.type === SnackType.status ? NONE : targetTransferTag,
          expStatSN,
          begRun: s.type === SnackType.status ? serialAdd(expStatSN, s.begRun - 1) : isWhole ? 0 : s.begRun,
          runLength: isWhole || s.type === SnackType.dataAck ? 0 : s.runLength,
        }),
      ),
    )
  },
)

const manage = step(
  'task management',
  fc.record({
    code: fc.oneof(
      { weight: 3, arbitrary: fc.constant(taskReassign) },
      { weight: 1, arbitrary: fc.constant(abortTask) },
      { weight: 1, arbitrary: fc.constantFrom(...Object.values(TaskManagementFunction)) },
    ),
    back,
    refDistance: small,
    expDataSN: fc.constantFrom(0, 0, 1, 2, 9),
  }),
  (f, scene, peer) =>
    peer.taskManagement({
      function: f.code,
      referencedTaskTag: scene.tag(f.back),
      refCmdSN: serialAdd(scene.session.cmdSN, -f.refDistance),
      expDataSN: f.expDataSN,
    }),
)

const turns = fc.oneof(
  { weight: 8, arbitrary: command },
  { weight: 8, arbitrary: dataOut },
  { weight: 6, arbitrary: snack },
  { weight: 3, arbitrary: manage },
  {
    weight: 2,
    arbitrary: step('ping', fc.record({ immediate: fc.boolean(), statDistance }), (n, _scene, peer) =>
      peer.nopOut({
        immediate: n.immediate,
        expStatSN: serialAdd(peer.expStatSN ?? 0, n.statDistance),
      }),
    ),
  },
  {
    weight: 1,
    arbitrary: step(
      'logout',
      fc.record({
        reasonCode: fc.constantFrom(...Object.values(LogoutReason).slice(1), 5),
        other: fc.integer({ min: 1, max: CONNECTIONS + 1 }),
      }),
      (l, _scene, peer) => peer.logout({ reasonCode: l.reasonCode, cid: l.other }),
    ),
  },
  {
    weight: 1,
    arbitrary: step('loss', fc.record({}), (_none, { session }, _peer, cid) => {
      session.lose(cid)
      return undefined
    }),
  },
  {
    // Its tasks may be reassigned at level 2.
    weight: 1,
    arbitrary: step('loss and cleanup', fc.record({}), (_none, { session }, _peer, cid) => {
      session.lose(cid)
      const other = session.at((cid % CONNECTIONS) + 1)
      return other.logout({ reasonCode: LogoutReason.removeConnectionForRecovery, cid })
    }),
  },
  {
    weight: 5,
    arbitrary: step('login', fc.record({}), (_none, { session }, peer, cid) =>
      // Mostly where it is missing.
      peer.state === 'closed' ? session.join(cid) : undefined,
    ),
  },
  {
    weight: 1,
    arbitrary: step('reinstatement', fc.record({}), (_none, { session }, _peer, cid) => session.join(cid)),
  },
  {
    weight: 3,
    arbitrary: step('hold', fc.record({ hold: fc.boolean() }), ({ hold }, { session }) => {
      session.target.hold = hold
      session.target.finishHeld()
      return undefined
    }),
  },
  {
    weight: 2,
    arbitrary: step('time', fc.record({ ms: fc.nat({ max: 4000 }) }), ({ ms }, { session }) =>
      session.advance(ms),
    ),
  },
)

const taskReporting = fc.constantFrom('RFC3720', 'ResponseFence', 'FastAbort')

for (const level of [0, 1, 2] as const) {
  test(`connections that do anything to each other, at ErrorRecoveryLevel ${level}`, () => {
    fc.assert(
      fc.property(
        fc.array(turns, { maxLength: 60, size: 'max' }),
        fc.boolean(),
        taskReporting,
        (all, digests, reporting) => {
          const scene = new Scene(
            new PeerSession({
              connections: CONNECTIONS,
              level,
              keys: [
                ['MaxBurstLength', '1024'],
                ['FirstBurstLength', '1000'],
                ['InitialR2T', 'No'],
                ['MaxRecvDataSegmentLength', '512'],
                ['MaxOutstandingR2T', '2'],
                ['DefaultTime2Wait', '1'],
                ['DefaultTime2Retain', '3'],
                ['DataDigest', digests ? 'CRC32C' : 'None'],
                ['TaskReporting', reporting],
                ['iSCSIProtocolLevel', '2'],
              ],
              limits: {
                commandDepth: 6,
                immediateDepth: 3,
                time2Wait: 1,
                time2Retain: 3,
                retainedResponses: 8,
                sequenceTimeoutMs: 1000,
              },
            }),
          )
          const { session } = scene
          for (const turn of all) {
            scene.note(turn.run(scene, session.at(turn.cid)) ?? [])
            scene.note(session.poll())
          }
          assert.ok(session.peers.length >= CONNECTIONS)
          session.finish()
        },
      ),
      { numRuns: 1000 },
    )
  })
}
