import { assert } from '../base/assert.ts'
import type { PooledBuffer } from '../base/pool.ts'
import type { SenseData } from '../scsi/sense.ts'
import { encodeSense } from '../scsi/sense.ts'
import { ScsiStatus } from '../scsi/status.ts'
import type { ScsiTask } from '../scsi/task.ts'
import type { Done, Extent, StoreError } from '../store/backing-store.ts'

/** What an operation holds or wants of the range locks: see `range-locks.ts`. */
export type RangeLock = 'none' | 'shared' | 'exclusive' | 'isolated'

/** One step of a command: runs to its next wait. Made once for each unit, never for each I/O. */
export type Step = (op: Operation) => void

/**
 * Where an operation stands:
 * `idle` in the free list; `dormant` in the task set behind older tasks; `ready` in the unit's run queue; `data` waiting
 * for Data-Out; `locked` waiting for a range of blocks, or for an event; `io` waiting for the store; `blocked` ready, but for an ACA condition.
 */
export type Phase = 'idle' | 'dormant' | 'ready' | 'data' | 'locked' | 'io' | 'blocked'

/** The unit's side of an operation. */
export interface OperationHost {
  /** D_SENSE of the control mode page. */
  readonly descriptorSense: boolean
  /** Runs `op.next` soon: at once, or after what runs now, so that synchronous completions never recurse. */
  wake(op: Operation): void
  /** Takes the operation back and finishes its task. */
  end(op: Operation): void
}

/** Counts down the tasks whose end is waited for. */
export interface AbortGroup {
  remaining: number
  readonly done: () => void
}

const NO_EXTENTS: readonly Extent[] = []
const NO_GROUPS: readonly AbortGroup[] = []

/** A task in the making: reused, so that an I/O allocates no closure. */
export class Operation {
  readonly #host: OperationHost
  #task: ScsiTask | undefined
  phase: Phase = 'idle'
  /** What runs when the wait is over. */
  next: Step
  /** Ends with `aborted` at its next step. */
  aborted = false
  groups: readonly AbortGroup[] = NO_GROUPS

  // What the last store call came back with.
  error: StoreError | undefined
  extents: readonly Extent[] = NO_EXTENTS

  // Free for the command's steps.
  lba = 0
  blocks = 0
  /** Byte range of the medium. */
  offset = 0
  lengthBytes = 0
  /** Bytes (or descriptors) done so far. */
  position = 0
  /** Bytes that the store call under way covers. */
  stepBytes = 0
  /** Scratch memory, released at the end. */
  buffer: PooledBuffer | undefined
  /** Parameter list, gathered. */
  parameters: Uint8Array | undefined

  // The range locks' own: see `range-locks.ts`.
  lock: RangeLock = 'none'
  lockIndex = -1

  // The set of operations' own: see `operation-set.ts`.
  arrival = 0
  place = 0

  /** For the store, made once. */
  readonly done: Done
  readonly extentsDone: (error: StoreError | undefined, extents: readonly Extent[]) => void

  constructor(host: OperationHost, idle: Step) {
    this.#host = host
    this.next = idle
    this.done = (error) => {
      assert(this.phase === 'io', 'a store completed an operation that it was not asked for')
      this.error = error
      this.#host.wake(this)
    }
    this.extentsDone = (error, extents) => {
      this.extents = extents
      this.done(error)
    }
  }

  /** False of an operation of the unit's own. */
  get hasTask(): boolean {
    return this.#task !== undefined
  }

  get task(): ScsiTask {
    assert(this.#task !== undefined, 'an idle operation has no task')
    return this.#task
  }

  begin(task: ScsiTask, first: Step): void {
    assert(this.phase === 'idle', 'an operation in use was begun')
    this.#task = task
    this.next = first
  }

  /** Back to the free list: forgets everything that holds memory. */
  recycle(idle: Step): void {
    this.#task = undefined
    this.phase = 'idle'
    this.next = idle
    this.aborted = false
    this.groups = NO_GROUPS
    this.error = undefined
    this.extents = NO_EXTENTS
    this.position = 0
    this.parameters = undefined
  }

  /** Say it before each call into the store: `step` runs when the store is done. */
  awaitStore(step: Step): void {
    this.next = step
    this.phase = 'io'
  }

  /** Waits for what goes on without it: `step` runs after `eventCame`, unless the task has ended before. */
  awaitEvent(step: Step): void {
    this.next = step
    this.phase = 'locked'
  }

  /** What the task waited for has come about. Nothing, where it has ended and this is another's operation now. */
  eventCame(task: ScsiTask): void {
    if (this.#task === task && this.phase === 'locked') this.#host.wake(this)
  }

  /** Asks the transport for Data-Out; `step` runs when it is there. */
  receive(lengthBytes: number, step: Step): void {
    const task = this.task
    task.dataOutLengthBytes = lengthBytes
    this.next = step
    if (lengthBytes === 0 || task.dataOutLimitBytes === 0) {
      this.#host.wake(this)
      return
    }
    this.phase = 'data'
    task.owner.taskWantsData(task)
  }

  /** Ends with GOOD status. */
  good(): void {
    this.#host.end(this)
  }

  /** Ends with GOOD status and parameter data, cut to the allocation length. */
  reply(bytes: Uint8Array, allocationBytes: number): void {
    const { task } = this
    task.dataInLengthBytes = Math.min(bytes.length, allocationBytes)
    task.dataIn = bytes.subarray(0, Math.min(task.dataInLengthBytes, task.dataInLimitBytes))
    this.#host.end(this)
  }

  /** Ends with RESERVATION CONFLICT. */
  conflict(): void {
    this.task.status = ScsiStatus.reservationConflict
    this.#host.end(this)
  }

  /** Ends with BUSY: the initiator comes again. */
  busy(): void {
    this.task.status = ScsiStatus.busy
    this.#host.end(this)
  }

  /** Ends with CHECK CONDITION. No data goes with it. */
  check(sense: SenseData): void {
    const { task } = this
    task.status = ScsiStatus.checkCondition
    task.sense = encodeSense(sense, this.#host.descriptorSense)
    this.dropDataIn()
    this.#host.end(this)
  }

  /** Takes back what was to be sent. */
  dropDataIn(): void {
    const { task } = this
    task.dataInBuffer?.release()
    task.dataInBuffer = undefined
    task.dataInLengthBytes = 0
    task.dataIn = NO_DATA
  }
}

const NO_DATA = new Uint8Array(0)
