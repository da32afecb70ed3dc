import { AdditionalSense } from '../scsi/additional-sense.ts'
import type { SenseData } from '../scsi/sense.ts'
import { SenseKey } from '../scsi/sense.ts'
import type { ScsiTask } from '../scsi/task.ts'
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
 * succeeded. A sanitize operation goes on after resets and, where there are records, after a restart.
 */
export class MediumChanges {
  readonly #medium: DiskMedium
  readonly #job: WholeMediumJob
  readonly #records: DurableRecords | undefined
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
      this.#begin('sanitize', left.passes.map(passOf))
    }
  }

  get isOrdinary(): boolean {
    return !this.#job.isRunning && this.#failed === undefined
  }

  /**
   * Why a command cannot be done now. In progress: whatever needs the medium or changes the unit. Failed: whatever needs the
   * medium, but for commands that do both, such as SANITIZE again.
   */
  refuse(flags: number): SenseData | undefined {
    const touches = flags & (CommandFlag.medium | CommandFlag.governs)
    const isRefused = this.#job.isRunning ? touches !== 0 : touches === CommandFlag.medium
    return isRefused ? this.refusal : undefined
  }

  /** What is the matter with the medium. */
  get refusal(): SenseData | undefined {
    if (this.#job.isRunning) {
      return {
        key: SenseKey.notReady,
        additional: IN_PROGRESS[this.#kind],
        progress: this.#job.progress,
      }
    }
    if (this.#failed === undefined) return undefined
    return { key: SenseKey.mediumError, additional: FAILED[this.#failed] }
  }

  /** EXIT FAILURE MODE: false where the failed SANITIZE did not allow it. */
  exitFailure(): boolean {
    if (this.#failed === 'sanitize' && !this.#allowsExit) return false
    if (this.#failed === 'sanitize') this.#forget()
    this.#failed = undefined
    return true
  }

  #forget(): void {
    this.#records?.set(RECORD, undefined, () => undefined)
  }

  /** `immediate`: the command ends when the operation has begun, else when that has ended. */
  sanitize(op: Operation, passes: readonly Pass[], immediate: boolean, allowsExit: boolean): void {
    this.#allowsExit = allowsExit
    const begin = (): void => this.#beginFor(op, 'sanitize', passes, immediate)
    if (!this.#records) return begin()
    op.awaitStore((again) => {
      if (again.error) again.check(this.#medium.failure(again.error, 'write', 0))
      else begin()
    })
    this.#records.set(RECORD, { passes: passes.map(recordOf), allowsExit }, op.done)
  }

  format(op: Operation, passes: readonly Pass[], immediate: boolean): void {
    this.#beginFor(op, 'format', passes, immediate)
  }

  #beginFor(op: Operation, kind: Kind, passes: readonly Pass[], immediate: boolean): void {
    // Another one may have begun while this one was made known.
    if (this.#job.isRunning) return this.#ended(op)
    if (!immediate) {
      this.#waiter = { op, task: op.task }
      op.awaitEvent(this.#ended)
    }
    this.#begin(kind, passes)
    if (immediate) op.good()
  }

  #begin(kind: Kind, passes: readonly Pass[]): void {
    this.#kind = kind
    this.#failed = undefined
    this.#job.start(passes, (error) => {
      this.#failed = error ? kind : undefined
      if (!error && kind === 'sanitize') this.#forget()
      const waiter = this.#waiter
      this.#waiter = undefined
      waiter?.op.eventCame(waiter.task)
    })
  }

  readonly #ended: Step = (op) => {
    const { refusal } = this
    if (refusal) op.check(refusal)
    else op.good()
  }

  /** Stops what is in progress, as power loss would. */
  close(closed: () => void): void {
    this.#job.stop(closed)
  }
}

const recordOf = (pass: Pass): SanitizeRecord['passes'][number] =>
  pass.kind === 'pattern' ? { kind: 'pattern', block: Buffer.from(pass.block).toString('hex') } : pass

function passOf({ kind, block = '', mayTrim = false }: SanitizeRecord['passes'][number]): Pass {
  if (kind === 'pattern') return { kind, block: Uint8Array.from(Buffer.from(block, 'hex')) }
  return kind === 'zero' ? { kind, mayTrim } : { kind }
}
