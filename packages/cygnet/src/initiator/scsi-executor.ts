import { CygnetError } from '../base/errors.ts'
import type {
  ScsiFailure,
  ScsiRequestOptions,
  ScsiResult,
  ScsiStatusResult,
} from '../session/initiator-role/scsi-request.ts'

/** A SCSI command, and how to give it up. */
export interface ScsiCommand extends ScsiRequestOptions {
  /** Aborts the task; the promise resolves when it has ended. */
  readonly signal?: AbortSignal
}

/** What carries SCSI commands to a target and brings the answers: a session, or several of them as paths. */
export interface ScsiExecutor {
  /**
   * Resolves with whatever status the device server answers with.
   * @throws {CygnetError} where there is no answer (see `ScsiFailure` for the codes); the signal's reason
   */
  execute(command: ScsiCommand): Promise<ScsiStatusResult>
  /**
   * The same without a promise and a signal, which costs less: what most commands of a disk use. `done` is called once, never
   * before this has returned, and must not throw.
   */
  submit(command: ScsiRequestOptions, done: (result: ScsiResult) => void): void
}

/** What waits need of the machine. */
export interface Timing {
  now(): number
  /** Calls back once after a delay; returns what cancels it. */
  schedule(callback: () => void, delayMs: number): () => void
}

/** What `execute` throws for a failure. */
export const errorOf = ({ code, message }: Pick<ScsiFailure, 'code' | 'message'>): CygnetError =>
  new CygnetError(code, message)

/** For `submit`: hands on what `execute` promises. */
export async function settleWith(
  answer: Promise<ScsiStatusResult>,
  done: (result: ScsiResult) => void,
): Promise<void> {
  let result: ScsiResult
  try {
    result = await answer
  } catch (error) {
    // Anything else is a bug: nothing catches it.
    if (!(error instanceof CygnetError)) throw error
    result = { kind: 'failed', code: error.code, message: error.message }
  }
  done(result)
}
