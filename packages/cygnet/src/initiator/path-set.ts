import { CygnetError } from '../base/errors.ts'
import { AdditionalSense } from '../scsi/additional-sense.ts'
import { decodeSense, SenseKey } from '../scsi/sense.ts'
import { ScsiStatus } from '../scsi/status.ts'
import { accessStateCodes } from '../scsi/target-port-groups.ts'
import type { ScsiStatusResult } from '../session/scsi-request.ts'
import { accessRank, readAccessState } from './alua.ts'
import type { DeviceEvent } from './block-device.ts'
import { readIdentity, unitName } from './disk-facts.ts'
import type { ScsiCommand, ScsiExecutor, Timing } from './scsi-executor.ts'
import { ScsiUnit } from './scsi-unit.ts'

/** A session as a path. */
export interface PathSession extends ScsiExecutor {
  /** How it ended: undefined after `close`. */
  readonly ended: Promise<CygnetError | undefined>
  close(): Promise<void>
}

/** A way to the logical unit, and how to go it. */
export interface PathPlan<S extends PathSession = PathSession> {
  /** For people: the portal. */
  readonly name: string
  /** Logs in. */
  open(): Promise<S>
}

export interface PathSetOptions<S extends PathSession = PathSession> {
  readonly plans: readonly PathPlan<S>[]
  readonly lun: number
  readonly timing: Timing
  /** For how long commands wait when there is no path, in milliseconds. */
  readonly waitLimitMs: number
  readonly onEvent: (event: DeviceEvent) => void
}

interface Path<S extends PathSession> {
  readonly plan: PathPlan<S>
  /** Undefined while it is down. */
  session: S | undefined
  /** One of `accessStateCodes`. */
  state: number
  cancelRetry: (() => void) | undefined
  retryMs: number
}

interface Waiter {
  resolve(): void
  reject(error: Error): void
}

const FIRST_RETRY_MS = 200
const LAST_RETRY_MS = 2000
/** How long until a path that is not ready for commands is asked again. */
const ASK_AGAIN_MS = 500

/** Failures of the way, not of the command. Whether the command was carried out nobody knows. */
const pathFailures: ReadonlySet<string> = new Set([
  'CONNECTION_LOST',
  'SESSION_LOST',
  'SESSION_CLOSED',
  'TASK_LOST',
])

/** Additional sense of a path that takes no commands at the moment, and what state that is. */
const refusedStates: Readonly<Record<number, number>> = {
  [AdditionalSense.asymmetricAccessStateTransition]: accessStateCodes.transitioning,
  [AdditionalSense.targetPortInStandbyState]: accessStateCodes.standby,
  [AdditionalSense.targetPortInUnavailableState]: accessStateCodes.unavailable,
}

/**
 * Several ways to one logical unit, which must be the same at the end of each (VPD 83). Commands go round robin over the
 * paths whose asymmetric access state is the best; those on a path that is lost go on another one, unless doing
 * them twice could do harm. Lost paths are opened again in the background. With no path left commands wait for so
 * long, and then fail.
 */
export class PathSet<S extends PathSession = PathSession> implements ScsiExecutor {
  readonly #options: PathSetOptions<S>
  readonly #paths: Path<S>[]
  #unitName = ''
  #next = 0
  #waiters: Waiter[] = []
  #cancelLimit: (() => void) | undefined
  #lastFailure = new CygnetError('CONNECTION_LOST', 'There is no path to the device.')
  #isClosed = false

  private constructor(options: PathSetOptions<S>) {
    this.#options = options
    this.#paths = options.plans.map((plan) => ({
      plan,
      session: undefined,
      state: accessStateCodes.optimized,
      cancelRetry: undefined,
      retryMs: FIRST_RETRY_MS,
    }))
  }

  /**
   * Opens all paths; some may be missing, and are tried again.
   * @throws {CygnetError} the first path's error where there is none; PATHS_DIFFER where they lead to different units
   */
  static async open<S extends PathSession>(options: PathSetOptions<S>): Promise<PathSet<S>> {
    const set = new PathSet(options)
    const outcomes = await Promise.allSettled(set.#paths.map((path) => set.#bringUp(path)))
    const errors = outcomes.flatMap((one) => (one.status === 'rejected' ? [one.reason as unknown] : []))
    const mismatch = errors.find((error) => error instanceof CygnetError && error.code === 'PATHS_DIFFER')
    if (mismatch !== undefined || errors.length === set.#paths.length) {
      await set.close()
      throw mismatch ?? errors[0]
    }
    for (const path of set.#paths) if (!path.session) set.#retryLater(path)
    return set
  }

  /** The sessions that are up, in the order of the paths. */
  get sessions(): readonly S[] {
    return this.#paths.flatMap(({ session }) => session ?? [])
  }

  async execute(command: ScsiCommand): Promise<ScsiStatusResult> {
    /* oxlint-disable no-await-in-loop -- each try follows from the one before */
    for (;;) {
      command.signal?.throwIfAborted()
      const path = this.#choose()
      const session = path?.session
      if (path === undefined || session === undefined) {
        await this.#untilThereIsAPath(command.signal)
        continue
      }
      try {
        const result = await session.execute(command)
        if (result.status !== ScsiStatus.checkCondition || !this.#isRefusedByPath(path, result)) return result
      } catch (error) {
        if (!(error instanceof CygnetError) || !pathFailures.has(error.code) || this.#isClosed) throw error
        this.#lost(path, session, error)
        if (command.replay !== 'safe') throw error
      }
    }
    /* oxlint-enable no-await-in-loop */
  }

  /** Ends all sessions. Never rejects. */
  async close(): Promise<void> {
    this.#isClosed = true
    this.#cancelLimit?.()
    for (const path of this.#paths) path.cancelRetry?.()
    this.#failWaiters(new CygnetError('SESSION_CLOSED', 'The device was closed.'))
    await Promise.all(this.sessions.map((session) => session.close()))
  }

  /** The next one among the best. */
  #choose(): Path<S> | undefined {
    let best: Path<S> | undefined
    let bestRank = Infinity
    const count = this.#paths.length
    for (let i = 0; i < count; i++) {
      const path = this.#paths[(this.#next + i) % count]
      const rank = path?.session === undefined ? undefined : accessRank[path.state]
      if (path === undefined || rank === undefined || rank >= bestRank) continue
      best = path
      bestRank = rank
    }
    if (best) this.#next = (this.#paths.indexOf(best) + 1) % count
    return best
  }

  /** Logs in, checks that it is the same unit, and asks how good the path is. */
  async #bringUp(path: Path<S>): Promise<void> {
    const session = await path.plan.open()
    try {
      const { timing, lun } = this.#options
      const unit = new ScsiUnit({ executor: session, timing, lun, busyLimitMs: ASK_AGAIN_MS })
      const identity = await readIdentity(unit)
      const name = unitName(identity)
      if (this.#unitName === '') this.#unitName = name
      if (name !== this.#unitName) {
        throw new CygnetError(
          'PATHS_DIFFER',
          `${path.plan.name} leads to another logical unit (${name}) than the other paths (${this.#unitName}).`,
        )
      }
      path.state = await readAccessState(unit, identity)
      if (this.#isClosed) throw new CygnetError('SESSION_CLOSED', 'The device was closed.')
    } catch (error) {
      await session.close()
      throw error
    }
    path.session = session
    path.retryMs = FIRST_RETRY_MS
    void this.#watch(path, session)
    if (accessRank[path.state] === undefined) this.#askAgainLater(path)
    else this.#wakeWaiters()
  }

  async #watch(path: Path<S>, session: S): Promise<void> {
    const error = await session.ended
    if (error && !this.#isClosed) this.#lost(path, session, error)
  }

  #lost(path: Path<S>, session: S, error: CygnetError): void {
    // Many commands may say so, and of a session that has a successor by now.
    if (path.session !== session) return
    path.session = undefined
    this.#lastFailure = error
    this.#options.onEvent({ kind: 'path-lost', path: path.plan.name, reason: error.message })
    void session.close()
    this.#retryLater(path)
  }

  #retryLater(path: Path<S>): void {
    if (this.#isClosed) return
    const delayMs = path.retryMs
    path.retryMs = Math.min(2 * delayMs, LAST_RETRY_MS)
    path.cancelRetry = this.#options.timing.schedule(() => void this.#retry(path), delayMs)
  }

  async #retry(path: Path<S>): Promise<void> {
    try {
      await this.#bringUp(path)
      this.#options.onEvent({ kind: 'path-restored', path: path.plan.name, reason: 'logged in again' })
    } catch (error) {
      if (error instanceof CygnetError) this.#lastFailure = error
      this.#retryLater(path)
    }
  }

  /** The device server takes no commands by this path at the moment, or says that this has changed. */
  #isRefusedByPath(path: Path<S>, { sense }: ScsiStatusResult): boolean {
    const data = decodeSense(sense)
    if (
      data?.key === SenseKey.unitAttention &&
      data.additional === AdditionalSense.asymmetricAccessStateChanged
    ) {
      void this.#askState(path)
      return false
    }
    const state = data?.key === SenseKey.notReady ? refusedStates[data.additional] : undefined
    if (state === undefined) return false
    path.state = state
    this.#askAgainLater(path)
    return true
  }

  #askAgainLater(path: Path<S>): void {
    path.cancelRetry?.()
    path.cancelRetry = this.#options.timing.schedule(() => void this.#askState(path), ASK_AGAIN_MS)
  }

  async #askState(path: Path<S>): Promise<void> {
    const { session } = path
    if (session === undefined || this.#isClosed) return
    const { timing, lun } = this.#options
    const unit = new ScsiUnit({ executor: session, timing, lun, busyLimitMs: ASK_AGAIN_MS })
    try {
      path.state = await readAccessState(unit, await readIdentity(unit))
    } catch (error) {
      // The session's end is told elsewhere; any other failure leaves the state as it was.
      if (!(error instanceof CygnetError)) throw error
    }
    if (path.session !== session) return
    if (accessRank[path.state] === undefined) this.#askAgainLater(path)
    else this.#wakeWaiters()
  }

  #untilThereIsAPath(signal: AbortSignal | undefined): Promise<void> {
    if (this.#isClosed) return Promise.reject(new CygnetError('SESSION_CLOSED', 'The device was closed.'))
    this.#cancelLimit ??= this.#options.timing.schedule(() => {
      this.#cancelLimit = undefined
      this.#failWaiters(this.#lastFailure)
    }, this.#options.waitLimitMs)
    return new Promise((resolve, reject) => {
      const stop = (): void => waiter.reject(signal?.reason as Error)
      const waiter: Waiter = {
        resolve: () => {
          signal?.removeEventListener('abort', stop)
          resolve()
        },
        reject: (error) => {
          signal?.removeEventListener('abort', stop)
          reject(error)
        },
      }
      signal?.addEventListener('abort', stop, { once: true })
      this.#waiters.push(waiter)
    })
  }

  #wakeWaiters(): void {
    this.#cancelLimit?.()
    this.#cancelLimit = undefined
    for (const waiter of this.#waiters.splice(0)) waiter.resolve()
  }

  #failWaiters(error: CygnetError): void {
    for (const waiter of this.#waiters.splice(0)) waiter.reject(error)
  }
}
