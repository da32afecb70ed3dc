import assert from 'node:assert/strict'
import type { BufferPool } from '../../base/pool.ts'
import { viewOf } from '../../base/bytes.ts'
import { TaskManagementResponseCode } from '../../pdu/codes.ts'
import { LoginStatus } from '../../pdu/login-status.ts'
import { encodeSense, SenseKey } from '../../scsi/sense.ts'
import { ScsiStatus } from '../../scsi/status.ts'
import type { Nexus, ScsiTask } from '../../scsi/task.ts'
import type { Pair } from '../negotiator.ts'
import {
  type LoginAdmission,
  type LoginIdentity,
  type LoginRefusal,
  refuse,
  type ScsiPort,
  type SessionClosure,
  type SessionHome,
  type TargetHost,
} from './target-host.ts'
import type { TargetSession } from './target-session.ts'

export const TARGET_NAME = 'iqn.2026-11.test:disk'

/** The commands of the fake unit; bytes 4..7 and 8..11 of the CDB are lengths. */
export const FakeOpcode = { none: 0, read: 1, write: 2, both: 3, fail: 4 } as const

export function fakeCdb(opcode: number, writeBytes = 0, readBytes = 0): Uint8Array {
  const cdb = new Uint8Array(16)
  cdb[0] = opcode
  viewOf(cdb).setUint32(4, writeBytes)
  viewOf(cdb).setUint32(8, readBytes)
  return cdb
}

/** Byte `index` of what the fake unit sends. */
export const patternByte = (index: number): number => (index * 31 + (index >>> 8)) & 0xff

export function pattern(lengthBytes: number, from = 0): Uint8Array {
  const bytes = new Uint8Array(lengthBytes)
  for (let i = 0; i < lengthBytes; i++) bytes[i] = patternByte(from + i)
  return bytes
}

/**
 * A target with one logical unit (LUN 0) that finishes each task at once, or where `hold` is set when the test says
 * so. Keeps the promises of a logical unit: one `finish()` for each task, aborts that wait for I/O under way.
 */
export class FakeTarget implements TargetHost, ScsiPort {
  readonly pool: BufferPool
  readonly sessions = new Set<TargetSession>()
  readonly closures: SessionClosure[] = []
  /** Every task submitted, in order. */
  readonly submitted: ScsiTask[] = []
  /** Data of each write, by tag, as the unit received it. */
  readonly written = new Map<number, Uint8Array>()
  readonly managed: { readonly taskManagementFunction: number; readonly lun: number }[] = []
  /** Hold tasks in I/O until `finishHeld`. */
  hold = false
  authMethods: readonly string[] = ['None']
  alias = ''
  admitRefusal: LoginRefusal | undefined
  targets: Pair[] = [
    ['TargetName', TARGET_NAME],
    ['TargetAddress', '127.0.0.1:3260,1'],
  ]
  readonly #held = new Set<ScsiTask>()
  readonly #wantingData = new Set<ScsiTask>()
  readonly #toAbort = new Set<ScsiTask>()
  #groupWaiters: (() => void)[] = []
  #tsih = 0

  constructor(pool: BufferPool) {
    this.pool = pool
  }

  get heldCount(): number {
    return this.#held.size
  }

  get unfinishedCount(): number {
    return this.#held.size + this.#wantingData.size
  }

  // TargetHost

  admit(identity: LoginIdentity): LoginAdmission | LoginRefusal {
    if (this.admitRefusal) return this.admitRefusal
    if (identity.targetName !== '' && identity.targetName !== TARGET_NAME) {
      return refuse(LoginStatus.notFound, 'no such target')
    }
    return {
      ok: true,
      portalGroupTag: identity.targetName === '' ? undefined : 1,
      targetAlias: this.alias,
      authMethods: this.authMethods,
      authenticator: () => {
        throw new Error('no authenticator in this test')
      },
    }
  }

  establish(identity: LoginIdentity, session: TargetSession): SessionHome | LoginRefusal {
    if (identity.tsih !== 0) return refuse(LoginStatus.sessionDoesNotExist, 'no such session')
    this.sessions.add(session)
    const nexus: Nexus = {
      initiatorPortName: `${identity.initiatorName},i,0x${identity.isid}`,
      targetPortName: `${TARGET_NAME},t,0x0001`,
      relativeTargetPortId: 1,
      reportLuns: () => [0],
    }
    return { ok: true, tsih: ++this.#tsih, nexus, port: this }
  }

  sendTargets(_session: TargetSession, value: string): Pair[] | undefined {
    return value === 'All' ? this.targets : undefined
  }

  join({ tsih }: LoginIdentity): TargetSession | LoginRefusal {
    for (const session of this.sessions) if (session.tsih === tsih) return session
    return refuse(LoginStatus.sessionDoesNotExist, 'no such session')
  }

  authenticationFailed(): void {}

  tasksCleared(): void {}

  sessionClosed(session: TargetSession, closure: SessionClosure): void {
    assert.ok(this.sessions.delete(session), 'a session closed twice')
    this.closures.push(closure)
    for (const task of [...this.#held, ...this.#wantingData]) if (task.owner === session) this.abort(task)
  }

  // ScsiPort

  submit(task: ScsiTask): void {
    this.submitted.push(task)
    const view = viewOf(task.cdb)
    if (task.cdb[0] === FakeOpcode.fail) {
      task.status = ScsiStatus.checkCondition
      task.sense = encodeSense({ key: SenseKey.illegalRequest, additional: 0x2400 }, false)
      task.finish()
      return
    }
    task.dataOutLengthBytes = view.getUint32(4)
    task.dataInLengthBytes = view.getUint32(8)
    if (Math.min(task.dataOutLengthBytes, task.dataOutLimitBytes) === 0) {
      this.resume(task)
      return
    }
    this.#wantingData.add(task)
    task.owner.taskWantsData(task)
  }

  resume(task: ScsiTask): void {
    this.#wantingData.delete(task)
    assert.ok(!task.isDone, 'a finished task was resumed')
    if (task.dataOut.length > 0) this.written.set(task.tag, new Uint8Array(Buffer.concat(task.dataOut)))
    if (this.hold) this.#held.add(task)
    else this.#complete(task)
  }

  abort(task: ScsiTask): void {
    assert.ok(!task.isDone, 'a finished task was aborted')
    if (this.#held.has(task)) {
      this.#toAbort.add(task)
      return
    }
    this.#wantingData.delete(task)
    task.aborted = true
    task.finish()
    this.#checkGroups()
  }

  manage(taskManagementFunction: number, lun: number, done: (response: number) => void): void {
    this.managed.push({ taskManagementFunction, lun })
    if (lun !== 0) {
      done(TaskManagementResponseCode.lunDoesNotExist)
      return
    }
    this.#groupWaiters.push(() => done(TaskManagementResponseCode.functionComplete))
    for (const task of [...this.#held, ...this.#wantingData]) this.abort(task)
    this.#checkGroups()
  }

  /** Ends the I/O of the tasks that `hold` kept, in order or all but the newest first. */
  finishHeld(count = Infinity): void {
    for (const task of [...this.#held].slice(0, count)) {
      this.#held.delete(task)
      if (this.#toAbort.delete(task)) {
        task.aborted = true
        task.finish()
      } else this.#complete(task)
    }
    this.#checkGroups()
  }

  #checkGroups(): void {
    if (this.#held.size > 0 || this.#wantingData.size > 0) return
    const waiters = this.#groupWaiters
    this.#groupWaiters = []
    for (const done of waiters) done()
  }

  #complete(task: ScsiTask): void {
    const lengthBytes = Math.min(task.dataInLengthBytes, task.dataInLimitBytes)
    if (lengthBytes > 0) {
      const buffer = this.pool.take(lengthBytes)
      buffer.bytes.set(pattern(lengthBytes))
      task.dataIn = buffer.bytes.subarray(0, lengthBytes)
      task.dataInBuffer = buffer
    }
    task.finish()
  }
}
