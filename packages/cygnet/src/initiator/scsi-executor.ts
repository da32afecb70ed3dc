import type { ScsiRequestOptions, ScsiStatusResult } from '../session/initiator-role/scsi-request.ts'

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
}

/** What waits need of the machine. */
export interface Timing {
  now(): number
  /** Calls back once after a delay; returns what cancels it. */
  schedule(callback: () => void, delayMs: number): () => void
}
