import { BufferPool } from '../base/pool.ts'
import type { SenseData } from '../scsi/sense.ts'
import { decodeSense } from '../scsi/sense.ts'
import type { Nexus, TaskOwner } from '../scsi/task.ts'
import { ScsiTask, TaskAttribute } from '../scsi/task.ts'
import type { BackingStore, Done, Extent, StoreError } from '../store/backing-store.ts'
import type { DiskUnitOptions } from './disk-unit.ts'
import { DiskUnit } from './disk-unit.ts'
import type { LogicalUnit } from './logical-unit.ts'

/** For the tests beside this file: a store in memory, a transport that keeps what it gets, and short ways to use them. */

/** A store whose completions come inside the call, or when the test says. Every call is written down. */
export class TestStore implements BackingStore {
  readonly geometry
  readonly can = { write: true, trim: true, volatileCache: true, extents: true }
  readonly bytes: Uint8Array
  readonly calls: string[] = []
  /** Keep completions back until `release`. */
  deferred = false
  /** The next call of this name fails so. */
  failNext: { call: string; error: StoreError } | undefined
  extentList: readonly Extent[] = []
  closed = false
  readonly #waiting: (() => void)[] = []

  constructor(sizeBytes: number, physicalBlockBytes = 4096) {
    this.bytes = new Uint8Array(sizeBytes)
    this.geometry = { sizeBytes, alignmentBytes: 1, physicalBlockBytes, trimGranularityBytes: 4096 }
  }

  get waiting(): number {
    return this.#waiting.length
  }

  /** Completes the oldest call, or the one at `index`. */
  release(index = 0): void {
    this.#waiting.splice(index, 1)[0]?.()
  }

  releaseAll(): void {
    while (this.#waiting.length > 0) this.release()
  }

  /** The effect comes with the completion, as on a real disk. */
  #call(name: string, detail: string, effect: () => void, done: Done): void {
    this.calls.push(detail === '' ? name : `${name} ${detail}`)
    const { failNext } = this
    const fails = failNext?.call === name
    if (fails) this.failNext = undefined
    const finish = (): void => {
      if (!fails) effect()
      done(fails ? failNext.error : undefined)
    }
    if (this.deferred) this.#waiting.push(finish)
    else finish()
  }

  read(into: Uint8Array, offset: number, done: Done): void {
    const copy = (): void => into.set(this.bytes.subarray(offset, offset + into.length))
    this.#call('read', `${offset}+${into.length}`, copy, done)
  }

  write(slices: readonly Uint8Array[], offset: number, flags: number, done: Done): void {
    let lengthBytes = 0
    for (const slice of slices) lengthBytes += slice.length
    const copy = (): void => {
      let at = offset
      for (const slice of slices) {
        this.bytes.set(slice, at)
        at += slice.length
      }
    }
    this.#call('write', `${offset}+${lengthBytes}${flags === 1 ? ' fua' : ''}`, copy, done)
  }

  flush(done: Done): void {
    this.#call('flush', '', () => undefined, done)
  }

  trim(offset: number, lengthBytes: number, done: Done): void {
    this.#call(
      'trim',
      `${offset}+${lengthBytes}`,
      () => this.bytes.fill(0, offset, offset + lengthBytes),
      done,
    )
  }

  zero(offset: number, lengthBytes: number, mayTrim: boolean, done: Done): void {
    const effect = (): void => void this.bytes.fill(0, offset, offset + lengthBytes)
    this.#call('zero', `${offset}+${lengthBytes}${mayTrim ? ' may-trim' : ''}`, effect, done)
  }

  extents(
    offset: number,
    lengthBytes: number,
    done: (error: StoreError | undefined, extents: readonly Extent[]) => void,
  ): void {
    this.#call(
      'extents',
      `${offset}+${lengthBytes}`,
      () => undefined,
      (error) => done(error, this.extentList),
    )
  }

  close(done: Done): void {
    this.closed = true
    this.#call('close', '', () => undefined, done)
  }
}

export const nexusNamed = (name: string): Nexus => ({
  initiatorPortName: `iqn.2026-11.test:${name},i,0x00023d000000`,
  targetPortName: 'iqn.2026-11.test:target,t,0x0001',
  relativeTargetPortId: 1,
  reportLuns: () => [0, 1, 300],
})

/** What a task ended with, in short. */
export interface Outcome {
  readonly status: number
  readonly sense: SenseData | undefined
  readonly data: Uint8Array
  readonly aborted: boolean
}

/** A transport: supplies Data-Out when asked (at once, or when the test says) and keeps the tasks that are done. */
export class TestTransport implements TaskOwner {
  readonly unit: LogicalUnit
  readonly finished: ScsiTask[] = []
  readonly wanting: ScsiTask[] = []
  readonly #dataOut = new Map<ScsiTask, readonly Uint8Array[]>()
  /** Keep Data-Out back until `supply`. */
  holdData = false
  #tag = 0

  constructor(unit: LogicalUnit) {
    this.unit = unit
  }

  task(nexus: Nexus, cdb: Uint8Array, options: TaskOptions = {}): ScsiTask {
    const padded = new Uint8Array(Math.max(16, cdb.length))
    padded.set(cdb)
    const dataOut = options.dataOut === undefined ? [] : [options.dataOut].flat()
    const sentBytes = dataOut.reduce((sum, slice) => sum + slice.length, 0)
    const task = new ScsiTask(
      this,
      nexus,
      0,
      this.#tag++,
      options.attribute ?? TaskAttribute.simple,
      padded,
      options.dataInLimitBytes ?? 1 << 24,
      options.dataOutLimitBytes ?? sentBytes,
      options.priority,
    )
    this.#dataOut.set(task, dataOut)
    return task
  }

  taskWantsData(task: ScsiTask): void {
    this.wanting.push(task)
    if (!this.holdData) this.supply(task)
  }

  /** Exactly the bytes that the unit wants. */
  supply(task: ScsiTask): void {
    let rest = Math.min(task.dataOutLengthBytes, task.dataOutLimitBytes)
    const slices: Uint8Array[] = []
    for (const slice of this.#dataOut.get(task) ?? []) {
      if (rest > 0) slices.push(slice.subarray(0, rest))
      rest -= Math.min(rest, slice.length)
    }
    task.dataOut = slices
    this.unit.resume(task)
  }

  taskDone(task: ScsiTask): void {
    this.finished.push(task)
  }

  /** What the task ended with; its memory goes back to the pool. */
  outcome(task: ScsiTask): Outcome {
    if (!task.isDone) throw new Error(`task ${task.tag} is not done`)
    const outcome = {
      status: task.status,
      sense: decodeSense(task.sense),
      data: Uint8Array.from(task.dataIn),
      aborted: task.aborted,
    }
    task.dataInBuffer?.release()
    task.dataInBuffer = undefined
    return outcome
  }
}

export interface TaskOptions {
  readonly dataOut?: Uint8Array | readonly Uint8Array[]
  readonly attribute?: TaskAttribute
  readonly priority?: number
  readonly dataInLimitBytes?: number
  readonly dataOutLimitBytes?: number
}

/** A unit with an initiator that has heard of POWER ON. */
export class TestUnit<Unit extends LogicalUnit> {
  readonly unit: Unit
  readonly transport: TestTransport
  readonly nexus = nexusNamed('one')

  constructor(unit: Unit) {
    this.unit = unit
    this.transport = new TestTransport(unit)
    this.attach(this.nexus)
  }

  /** Attaches a nexus and lets it hear of POWER ON. */
  attach(nexus: Nexus): void {
    this.unit.attachNexus(nexus)
    this.run(Uint8Array.of(0), {}, nexus)
  }

  /** Submits and leaves it. */
  submit(cdb: Uint8Array, options: TaskOptions = {}, nexus: Nexus = this.nexus): ScsiTask {
    const task = this.transport.task(nexus, cdb, options)
    this.unit.submit(task)
    return task
  }

  /** Submits a task that ends before the call returns. */
  run(cdb: Uint8Array, options: TaskOptions = {}, nexus: Nexus = this.nexus): Outcome {
    return this.transport.outcome(this.submit(cdb, options, nexus))
  }
}

export const TEST_IDENTITY = { serialNumber: 'SERIAL01', naa: Uint8Array.of(0x30, 1, 2, 3, 4, 5, 6, 7) }

/** A disk of `blocks` blocks. */
export class TestDisk extends TestUnit<DiskUnit> {
  readonly pool: BufferPool
  readonly store: TestStore
  readonly blockBytes: number

  constructor(blocks = 64, options: Partial<DiskUnitOptions> = {}) {
    const blockBytes = options.blockSizeBytes ?? 512
    const store = (options.store as TestStore | undefined) ?? new TestStore(blocks * blockBytes)
    const pool = new BufferPool({ poison: true })
    super(new DiskUnit({ pool, identity: TEST_IDENTITY, ...options, store }))
    this.pool = pool
    this.store = store
    this.blockBytes = blockBytes
  }
}

/** Bytes of a CDB from hexadecimal, spaces ignored. */
export const cdbOf = (text: string): Uint8Array =>
  Uint8Array.from(text.replaceAll(' ', '').match(/../g) ?? [], (digits) => Number.parseInt(digits, 16))

/** `lengthBytes` bytes that differ from block to block and by `seed`. */
export function pattern(lengthBytes: number, seed = 1): Uint8Array {
  return Uint8Array.from({ length: lengthBytes }, (_, i) => (i * 7 + (i >>> 9) * 31 + seed * 101) & 0xff)
}

/** `key/ASC ASCQ` in hexadecimal, or the status where there is no sense data. */
export function senseOf(outcome: Outcome): string {
  if (!outcome.sense) return `status ${outcome.status}`
  return `${outcome.sense.key.toString(16)}/${outcome.sense.additional.toString(16).padStart(4, '0')}`
}
