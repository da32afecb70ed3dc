import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { serialAdd } from '../../packages/cygnet/src/base/serial32.ts'
import { TaskManagementFunction } from '../../packages/cygnet/src/pdu/codes.ts'
import { Opcode } from '../../packages/cygnet/src/pdu/opcodes.ts'
import { encodeReject } from '../../packages/cygnet/src/pdu/reject.ts'
import { pattern } from '../../packages/cygnet/src/session/target-role/fake-target.test-helper.ts'
import {
  type Executed,
  RawTarget,
  type Request,
} from '../../packages/cygnet/src/session/initiator-role/raw-target.test-helper.ts'

/*
 * Whatever a target sends to the connections of an initiator's session, at any ErrorRecoveryLevel: nothing is thrown, every request
 * ends with one result, no data is written outside of its buffer, and no memory is left. What is sent is mostly about requests that are
 * there, and mostly almost right.
 */

const NONE = 0xffff_ffff

class Scene {
  readonly target: RawTarget
  readonly executed: Executed[] = []
  /** What the initiator has sent, the latest last. */
  readonly requests: Request[] = []

  constructor(target: RawTarget) {
    this.target = target
  }

  /** Executes a request, and counts its results. */
  execute(options: Parameters<RawTarget['execute']>[0]): void {
    this.executed.push(this.target.execute(options))
  }

  note(requests: readonly Request[]): void {
    this.requests.push(...requests)
  }

  /** The tag and connection of one of the last requests of a kind, or of none. */
  recent(opcode: number, back: number): { tag: number; cid: number } {
    const all = this.requests.filter((request) => request.opcode === opcode)
    const request = all.at(-1 - back)
    return request ? { tag: request.view.getUint32(16), cid: request.cid } : { tag: 0x7777, cid: 1 }
  }
}

type Run = (scene: Scene) => readonly Request[]

const step = <T extends object>(
  name: string,
  values: fc.Arbitrary<T>,
  run: (value: T, scene: Scene) => readonly Request[],
): fc.Arbitrary<Run> =>
  values.map((value) =>
    Object.assign((scene: Scene) => run(value, scene), {
      [fc.toStringMethod]: () => `${name} ${fc.stringify(value)}`,
    }),
  )

const back = fc.nat({ max: 3 })
const rarely = fc.nat({ max: 9 }).map((value) => value === 0)
const lengthBytes = fc.constantFrom(4, 512, 1024)
const offset = fc.constantFrom(0, 0, 512, 1024, 1, 0xffff_fff0)
const small = fc.constantFrom(0, 0, 0, 1, 2, NONE)
const statDistance = fc.constantFrom(0, 0, 0, 0, 1, 5, -1, 0x7fff_ffff)

/** StatSN as it should be, or not. */
function statSN(scene: Scene, cid: number, distance: number): { statSN?: number } {
  return distance === 0 ? {} : { statSN: serialAdd(scene.target.line(cid).statSN, distance) }
}

const steps = fc.oneof(
  {
    weight: 6,
    arbitrary: step(
      'request',
      fc.record({ readBytes: fc.constantFrom(0, 512, 1024), writeBytes: fc.constantFrom(0, 0, 512, 3000) }),
      ({ readBytes, writeBytes }, scene) => {
        scene.execute({
          ...(readBytes > 0 && writeBytes === 0 && { dataIn: new Uint8Array(readBytes) }),
          ...(writeBytes > 0 && { dataOut: [pattern(writeBytes)] }),
          replay: readBytes > 0 ? 'safe' : 'never',
        })
        return scene.target.poll()
      },
    ),
  },
  {
    weight: 6,
    arbitrary: step(
      'Data-In',
      fc.record({
        back,
        lengthBytes,
        offset,
        dataSN: small,
        status: fc.boolean(),
        ack: rarely,
        statDistance,
      }),
      (d, scene) => {
        const { tag, cid } = scene.recent(Opcode.scsiCommand, d.back)
        return scene.target.dataIn(
          cid,
          {
            initiatorTaskTag: tag,
            bufferOffset: d.offset,
            dataSN: d.dataSN,
            hasStatus: d.status,
            acknowledge: d.ack,
            targetTransferTag: d.ack ? 5 : NONE,
            ...statSN(scene, cid, d.statDistance),
          },
          pattern(d.lengthBytes, d.offset),
        )
      },
    ),
  },
  {
    weight: 4,
    arbitrary: step(
      'R2T',
      fc.record({ back, lengthBytes, offset, r2tSN: small, reserved: rarely }),
      (r, scene) => {
        const { tag, cid } = scene.recent(Opcode.scsiCommand, r.back)
        return scene.target.r2t(cid, {
          initiatorTaskTag: tag,
          bufferOffset: r.offset,
          desiredDataTransferLength: r.lengthBytes,
          r2tSN: r.r2tSN,
          targetTransferTag: r.reserved ? NONE : 5,
        })
      },
    ),
  },
  {
    weight: 6,
    arbitrary: step(
      'SCSI Response',
      fc.record({
        back,
        status: fc.constantFrom(0, 0, 2, 8),
        response: fc.constantFrom(0, 0, 0, 1),
        expDataSN: small,
        snackTag: fc.constantFrom(0, 0, 1),
        senseBytes: fc.constantFrom(0, 0, 1, 20),
        statDistance,
      }),
      (r, scene) => {
        const { tag, cid } = scene.recent(Opcode.scsiCommand, r.back)
        const { status, response, expDataSN, snackTag } = r
        const numbers = statSN(scene, cid, r.statDistance)
        const more = { initiatorTaskTag: tag, status, response, expDataSN, snackTag, ...numbers }
        return scene.target.respond(cid, more, new Uint8Array(r.senseBytes))
      },
    ),
  },
  {
    weight: 2,
    arbitrary: step(
      'task management',
      fc.record({
        code: fc.constantFrom(
          ...Object.values(TaskManagementFunction).filter((code) => code !== 1 && code !== 8),
        ),
      }),
      ({ code }, { target }) => {
        target.session.manage(code, 0, () => {})
        return target.poll()
      },
    ),
  },
  {
    weight: 2,
    arbitrary: step('abort', fc.record({ back }), (a, { executed, target }) => {
      const one = executed.at(-1 - a.back)
      if (one) target.session.abort(one.request)
      return target.poll()
    }),
  },
  {
    weight: 3,
    arbitrary: step(
      'task management response',
      fc.record({ back, response: fc.constantFrom(0, 0, 1, 3, 5, 255) }),
      (m, scene) => {
        const { tag, cid } = scene.recent(Opcode.taskManagementRequest, m.back)
        return scene.target.managed(cid, tag, m.response)
      },
    ),
  },
  {
    weight: 2,
    arbitrary: step(
      'logout response',
      fc.record({ back, response: fc.constantFrom(0, 0, 1, 2, 3) }),
      (l, scene) => {
        const { tag, cid } = scene.recent(Opcode.logoutRequest, l.back)
        return scene.target.loggedOut(cid, tag, { response: l.response })
      },
    ),
  },
  {
    weight: 2,
    arbitrary: step(
      'async message',
      fc.record({
        cid: fc.integer({ min: 1, max: 2 }),
        asyncEvent: fc.constantFrom(0, 1, 2, 3, 4, 5, 6, 255),
      }),
      ({ cid, asyncEvent }, { target }) =>
        target.asyncMessage(cid, { asyncEvent, parameter1: 2, parameter2: 1, parameter3: 3 }),
    ),
  },
  {
    weight: 2,
    arbitrary: step(
      'reject',
      fc.record({
        back,
        opcode: fc.constantFrom(Opcode.scsiCommand, Opcode.dataOut, Opcode.snackRequest, Opcode.nopOut),
        reason: fc.nat({ max: 15 }),
      }),
      (r, scene) => {
        const all = scene.requests.filter(({ opcode }) => opcode === r.opcode)
        const request = all.at(-1 - r.back)
        if (!request) return []
        const header = new Uint8Array(request.view.buffer.slice(0, 48))
        const pdu = {
          reason: r.reason,
          dataSN: 0,
          dataSegmentLength: 48,
          ...scene.target.numbers(request.cid),
        }
        return scene.target.send(request.cid, (view, at) => encodeReject(view, at, pdu), header)
      },
    ),
  },
  {
    weight: 2,
    arbitrary: step('ping', fc.record({ cid: fc.integer({ min: 1, max: 2 }) }), ({ cid }, { target }) =>
      target.nopIn(cid, 9),
    ),
  },
  {
    weight: 1,
    arbitrary: step('loss', fc.record({ cid: fc.integer({ min: 1, max: 2 }) }), ({ cid }, { target }) =>
      target.lose(cid),
    ),
  },
  {
    weight: 3,
    arbitrary: step('time', fc.record({ ms: fc.nat({ max: 5000 }) }), ({ ms }, { target }) =>
      target.advance(ms),
    ),
  },
)

for (const level of [0, 1, 2] as const) {
  test(`a target that says anything, at ErrorRecoveryLevel ${level}`, () => {
    fc.assert(
      fc.property(fc.array(steps, { maxLength: 40, size: 'max' }), fc.boolean(), (all, reopens) => {
        const target = new RawTarget({
          policy: {
            errorRecoveryLevel: level,
            connections: 2,
            reopenLimitMs: reopens ? 20_000 : 0,
            time2WaitSeconds: 1,
            time2RetainSeconds: 3,
          },
          keys: [
            ['InitialR2T', 'Yes'],
            ['ImmediateData', 'No'],
            ['MaxOutstandingR2T', '1'],
            ['MaxBurstLength', '1024'],
            ['FirstBurstLength', '1024'],
          ],
        }).open()
        const scene = new Scene(target)
        for (const run of all) scene.note(run(scene))
        target.advance(60_000)
        target.finish()
        target.poll()
        for (const { request, result } of scene.executed) {
          assert.ok(result, 'a request without a result')
          if (result.kind === 'status' && request.dataIn)
            assert.ok(result.dataInBytes <= request.dataIn.length)
        }
      }),
      { numRuns: 1000 },
    )
  })
}
