import { CygnetError } from '../base/errors.ts'
import { AdditionalSense } from '../scsi/additional-sense.ts'
import { decodeSense, SenseKey } from '../scsi/sense.ts'
import { ScsiStatus } from '../scsi/status.ts'
import type { ScsiRequestOptions, ScsiStatusResult } from '../session/initiator-role/scsi-request.ts'
import { BlockDeviceError } from './block-device-error.ts'
import { scsiError } from './scsi-error.ts'
import { errorOf, type ScsiCommand, type ScsiExecutor, type Timing } from './scsi-executor.ts'

/** A command to the unit, and what its errors should say. */
export interface UnitCommand extends Omit<ScsiCommand, 'lun'> {
  /** Its name in the standard's words. */
  readonly what: string
  /** Byte where its range begins. */
  readonly offset?: number
  /** Asks what the unit is, perhaps because of a unit attention. */
  readonly isRefresh?: true
}

/** A command that is submitted, with the unit's LUN. */
export type SubmittedCommand = Omit<UnitCommand, 'signal'> & ScsiRequestOptions

/** Where the answer of a command goes that was submitted. */
export interface UnitCommandEnd {
  /** It was carried out. */
  answered(answer: ScsiStatusResult): void
  /** What `run` throws. */
  failed(error: unknown): void
}

export interface ScsiUnitOptions {
  readonly executor: ScsiExecutor
  readonly timing: Timing
  readonly lun: number
  /** How long a device may be busy or not ready, in milliseconds, before a command fails. Default: 30,000. */
  readonly busyLimitMs?: number
}

const DEFAULT_BUSY_LIMIT_MS = 30_000
/** First and longest wait before a command that was refused is sent again. */
const BACK_OFF_MS = 10
const BACK_OFF_LIMIT_MS = 500
/** Unit attentions that one command may meet: a device that reports them for ever is broken. */
const REPEAT_LIMIT = 64
/** So many of them, however long the commands take that they lead to. */
const UNTIMED_REPEATS = 8
/** SAM-5 §5.3.2: the qualifier's scope is in two bits, and the delay in 100 ms units in 14, up to this. */
const RETRY_DELAY_MAX = 0x3fef
const RETRY_DELAY_UNIT_MS = 100

/** What to do about an answer that is no success. */
type Verdict = 'fail' | 'wait' | { readonly attention: number }

/**
 * One logical unit: sends commands, and sends them again where the answer only says to: unit attentions, BUSY, TASK
 * SET FULL, ends by other initiators. Such an answer means that the command was not carried out, or not to its end.
 */
export class ScsiUnit {
  readonly lun: number
  readonly #options: ScsiUnitOptions
  readonly #busyLimitMs: number
  /** What to do about a unit attention before the command that met it, perhaps a refreshing one, is sent again. */
  onAttention: (additional: number, isRefresh: boolean) => Promise<void> = () => Promise.resolve()
  /** Why nothing is sent any more, neither what waited for its turn nor what is tried again. */
  failure: BlockDeviceError | undefined

  constructor(options: ScsiUnitOptions) {
    this.#options = options
    this.lun = options.lun
    this.#busyLimitMs = options.busyLimitMs ?? DEFAULT_BUSY_LIMIT_MS
  }

  /**
   * The answer of a command that was carried out.
   * @throws {BlockDeviceError} what the device or the session said; the signal's reason
   */
  async run(command: UnitCommand): Promise<ScsiStatusResult> {
    const result = await this.once(command)
    return isGood(result) ? result : this.#again(command, result)
  }

  /** As `run`, with callbacks instead of a promise and a signal, which costs less. */
  submit(command: SubmittedCommand, end: UnitCommandEnd): void {
    // Not at once: those that wait for this one would fail inside it, one in the other.
    if (this.failure) return settleEnd(this.run(command), end)
    this.#options.executor.submit(command, (result) => {
      if (result.kind === 'failed') end.failed(deviceError(command, errorOf(result)))
      else if (isGood(result)) end.answered(result)
      else settleEnd(this.#again(command, result), end)
    })
  }

  /** Sends a command one time: whatever the device answers is the result. */
  async once(command: UnitCommand): Promise<ScsiStatusResult> {
    const { signal } = command
    signal?.throwIfAborted()
    if (this.failure) throw this.failure
    try {
      return await this.#options.executor.execute({ ...command, lun: this.lun })
    } catch (error) {
      signal?.throwIfAborted()
      throw error instanceof CygnetError ? deviceError(command, error) : error
    }
  }

  async #again(command: UnitCommand, first: ScsiStatusResult): Promise<ScsiStatusResult> {
    const { timing } = this.#options
    const giveUpAt = timing.now() + this.#busyLimitMs
    let result = first
    let waitMs = BACK_OFF_MS
    /* oxlint-disable no-await-in-loop -- each try follows from the one before */
    for (let repeats = 0; repeats < REPEAT_LIMIT; repeats++) {
      if (isGood(result)) return result
      const verdict = judge(command, result)
      if (verdict === 'fail') break
      if (verdict === 'wait') {
        const delayMs = Math.max(waitMs, askedDelayMs(result.statusQualifier))
        if (timing.now() + delayMs > giveUpAt) break
        await this.#wait(delayMs, command.signal)
        waitMs = Math.min(2 * waitMs, BACK_OFF_LIMIT_MS)
        // Only the time limits these.
        repeats--
      } else {
        if (repeats >= UNTIMED_REPEATS && timing.now() > giveUpAt) break
        await this.onAttention(verdict.attention, command.isRefresh === true)
      }
      result = await this.once(command)
    }
    /* oxlint-enable no-await-in-loop */
    throw scsiError(command.what, result, command.offset)
  }

  #wait(delayMs: number, signal: AbortSignal | undefined): Promise<void> {
    signal?.throwIfAborted()
    return new Promise((resolve, reject) => {
      const stop = (): void => {
        cancel()
        reject(signal?.reason as Error)
      }
      const cancel = this.#options.timing.schedule(() => {
        signal?.removeEventListener('abort', stop)
        resolve()
      }, delayMs)
      signal?.addEventListener('abort', stop, { once: true })
    })
  }
}

function settleEnd(answer: Promise<ScsiStatusResult>, end: UnitCommandEnd): void {
  answer.then(
    (result) => end.answered(result),
    (error: unknown) => end.failed(error),
  )
}

const isGood = ({ status }: ScsiStatusResult): boolean =>
  status === ScsiStatus.good || status === ScsiStatus.conditionMet

/** There was no answer. */
const deviceError = ({ what, offset }: UnitCommand, error: CygnetError): BlockDeviceError =>
  new BlockDeviceError(error.code, `${what}: ${error.message}`, offset, { cause: error })

function judge(command: UnitCommand, result: ScsiStatusResult): Verdict {
  switch (result.status) {
    case ScsiStatus.busy:
    case ScsiStatus.taskSetFull:
    case ScsiStatus.acaActive:
      return 'wait'
    case ScsiStatus.taskAborted:
      return ended(command)
    case ScsiStatus.checkCondition:
      break
    default:
      return 'fail'
  }
  const sense = decodeSense(result.sense)
  if (sense?.key === SenseKey.unitAttention) return { attention: sense.additional }
  if (sense?.key === SenseKey.abortedCommand) return ended(command)
  if (sense?.key === SenseKey.notReady && sense.additional === AdditionalSense.notReadyBecomingReady)
    return 'wait'
  return 'fail'
}

/** The command was ended on its way: it may have been carried out in part, which `replay` says how to take. */
const ended = ({ replay }: UnitCommand): Verdict => (replay === 'safe' ? 'wait' : 'fail')

function askedDelayMs(statusQualifier: number): number {
  const delay = statusQualifier & 0x3fff
  return delay <= RETRY_DELAY_MAX ? delay * RETRY_DELAY_UNIT_MS : 0
}
