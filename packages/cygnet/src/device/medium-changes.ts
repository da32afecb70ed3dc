import { AdditionalSense } from '../scsi/additional-sense.ts'
import type { SenseData } from '../scsi/sense.ts'
import { invalidCdbField, SenseKey } from '../scsi/sense.ts'
import type { ScsiTask } from '../scsi/task.ts'
import type { Done, StoreError } from '../store/backing-store.ts'
import type { DurableRecords } from '../store/durable-records.ts'
import { CommandFlag } from './command-table.ts'
import type { DiskMedium } from './disk-medium.ts'
import type { Operation, Step } from './operation.ts'
import type { Pass, WholeMediumJob } from './whole-medium-job.ts'

const RECORD = 'sanitize'

/** What is remembered of a sanitize operation until it has ended well. */
interface SanitizeRecord {
  readonly passes: readonly {
    readonly kind: Pass['kind']
    readonly block?: string
    readonly mayTrim?: boolean
  }[]
  readonly allowsExit: boolean
}

type Kind = 'sanitize' | 'format'

const IN_PROGRESS = {
  sanitize: AdditionalSense.sanitizeInProgress,
  format: AdditionalSense.formatInProgress,
} as const
const FAILED = { sanitize: AdditionalSense.sanitizeFailed, format: AdditionalSense.formatFailed } as const

/**
 * The state of a medium that SANITIZE or FORMAT UNIT changes as a whole (SBC-4 §4.11, §4.33): ordinary, in progress, or
 * failed. While one is in progress, commands for the medium are refused; so are they after a failure, until another one has
 * succeeded. A sanitize operation goes on after resets and, where there are records, after a restart: it begins when stable
 * storage knows of it, and has ended when stable storage has forgotten it, lest a restart wipes what was written since.
 */
export class MediumChanges {
  readonly #medium: DiskMedium
  readonly #job: WholeMediumJob
  readonly #records: DurableRecords | undefined
  /** From before it is on record until after it is not any more. */
  #isChanging = false
  #isClosed = false
  #kind: Kind = 'format'
  #failed: Kind | undefined
  #allowsExit = false
  /** The command that waits for the end. */
  #waiter: { readonly op: Operation; readonly task: ScsiTask } | undefined

  constructor(medium: DiskMedium, job: WholeMediumJob, records: DurableRecords | undefined) {
    this.#medium = medium
    this.#job = job
    this.#records = records
    const left = records?.get(RECORD) as SanitizeRecord | undefined
    if (left !== undefined) {
      this.#allowsExit = left.allowsExit
      this.#kind = 'sanitize'
      this.#isChanging = true
      this.#start(left.passes.map(passOf))
    }
  }

  get isOrdinary(): boolean {
    return !this.#isChanging && this.#failed === undefined
  }

  /**
   * Why a command cannot be done now. In progress: whatever needs the medium or changes the unit. Failed: whatever needs the
   * medium, but for commands that do both, such as SANITIZE again.
   */
  refuse(flags: number): SenseData | undefined {
    const touches = flags & (CommandFlag.medium | CommandFlag.governs)
    const isRefused = this.#isChanging ? touches !== 0 : touches === CommandFlag.medium
    return isRefused ? this.refusal : undefined
  }

  /** What is the matter with the medium. */
  get refusal(): SenseData | undefined {
    if (this.#isChanging) {
      return {
        key: SenseKey.notReady,
        additional: IN_PROGRESS[this.#kind],
        progress: this.#job.progress,
      }
    }
    if (this.#failed === undefined) return undefined
    return { key: SenseKey.mediumError, additional: FAILED[this.#failed] }
  }

  /** EXIT FAILURE MODE: refused where the failed SANITIZE did not allow it. */
  exitFailure(op: Operation): void {
    const { task } = op
    // Of a failed FORMAT UNIT it has nothing to say.
    if (this.#failed !== 'sanitize') return op.good()
    if (!this.#allowsExit) return op.check(invalidCdbField(1, 4))
    let error: StoreError | undefined
    op.awaitEvent((again) => (error ? again.check(this.#notRecorded(error)) : again.good()))
    this.#record(undefined, (problem) => {
      error = problem
      if (!error) this.#failed = undefined
      op.eventCame(task)
    })
  }

  #record(value: SanitizeRecord | undefined, done: Done): void {
    if (this.#records) this.#records.set(RECORD, value, done)
    else done(undefined)
  }

  #notRecorded(error: StoreError): SenseData {
    return this.#medium.failure(error, 'write', 0)
  }

  /** `immediate`: the command ends when the operation has begun, else when that has ended. It begins even without its command. */
  sanitize(op: Operation, passes: readonly Pass[], immediate: boolean, allowsExit: boolean): void {
    if (this.#isChanging) return this.#ended(op)
    const { task } = op
    let error: StoreError | undefined
    this.#isChanging = true
    this.#kind = 'sanitize'
    op.awaitEvent((again) => {
      if (error) again.check(this.#notRecorded(error))
      else if (immediate) again.good()
      else this.#ended(again)
    })
    const refused: Done = () => {
      this.#isChanging = false
      op.eventCame(task)
    }
    this.#record({ passes: passes.map(recordOf), allowsExit }, (problem) => {
      error = problem
      // It may be on record nevertheless.
      if (error) return this.#record(undefined, refused)
      if (immediate) op.eventCame(task)
      else this.#waiter = { op, task }
      if (this.#isClosed) return
      this.#allowsExit = allowsExit
      this.#start(passes)
    })
  }

  format(op: Operation, passes: readonly Pass[], immediate: boolean): void {
    // Another one may have begun while the parameter list was on its way; a failed SANITIZE is mended by SANITIZE alone.
    if (this.#isChanging || this.#failed === 'sanitize') return this.#ended(op)
    if (!immediate) {
      this.#waiter = { op, task: op.task }
      op.awaitEvent(this.#ended)
    }
    this.#isChanging = true
    this.#kind = 'format'
    this.#start(passes)
    if (immediate) op.good()
  }

  #start(passes: readonly Pass[]): void {
    this.#failed = undefined
    this.#job.start(passes, (error) => {
      if (error || this.#kind === 'format') this.#finish(error)
      else this.#record(undefined, this.#finish)
    })
  }

  readonly #finish: Done = (error) => {
    this.#failed = error ? this.#kind : undefined
    this.#isChanging = false
    const waiter = this.#waiter
    this.#waiter = undefined
    waiter?.op.eventCame(waiter.task)
  }

  readonly #ended: Step = (op) => {
    const { refusal } = this
    if (refusal) op.check(refusal)
    else op.good()
  }

  /** Stops what is in progress, as power loss would. */
  close(closed: () => void): void {
    this.#isClosed = true
    this.#job.stop(closed)
  }
}

const recordOf = (pass: Pass): SanitizeRecord['passes'][number] =>
  pass.kind === 'pattern' ? { kind: 'pattern', block: Buffer.from(pass.block).toString('hex') } : pass

function passOf({ kind, block = '', mayTrim = false }: SanitizeRecord['passes'][number]): Pass {
  if (kind === 'pattern') return { kind, block: Uint8Array.from(Buffer.from(block, 'hex')) }
  return kind === 'zero' ? { kind, mayTrim } : { kind }
}
