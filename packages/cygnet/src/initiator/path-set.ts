import { CygnetError } from '../base/errors.ts'
import { AdditionalSense } from '../scsi/additional-sense.ts'
import type { Capacity16 } from '../scsi/capacity.ts'
import { decodeSense, encodeSense, SenseKey } from '../scsi/sense.ts'
import { ScsiStatus } from '../scsi/status.ts'
import { type AccessState, accessStateCodes } from '../scsi/target-port-groups.ts'
import type {
  ScsiRequestOptions,
  ScsiResult,
  ScsiStatusResult,
} from '../session/initiator-role/scsi-request.ts'
import { AttentionEchoes } from './attention-echoes.ts'
import type { DeviceEvent } from './block-device.ts'
import { unitName, type UnitIdentity } from './disk-facts.ts'
import { Path, type PathOwner, type PathPlan, type PathSession } from './path.ts'
import { PathFence } from './path-fence.ts'
import { errorOf, type ScsiCommand, type ScsiExecutor, settleWith, type Timing } from './scsi-executor.ts'
import { Waiters } from './waiters.ts'

export interface PathSetOptions<S extends PathSession = PathSession> {
  readonly plans: readonly PathPlan<S>[]
  readonly timing: Timing
  /** For how long commands wait when there is no path, in milliseconds. */
  readonly waitLimitMs: number
  readonly onEvent: (event: DeviceEvent) => void
}

/** How a path does at the moment. */
export interface PathReport {
  /** The portal. */
  readonly path: string
  readonly lun: number
  readonly isUp: boolean
  /** Asymmetric access state, as of when it was up; undefined where it is one that nobody knows. */
  readonly state: AccessState | undefined
}

/** Additional sense of a path that takes no commands at the moment, and what state that is. */
const refusedStates: Readonly<Record<number, number>> = {
  [AdditionalSense.asymmetricAccessStateTransition]: accessStateCodes.transitioning,
  [AdditionalSense.targetPortInStandbyState]: accessStateCodes.standby,
  [AdditionalSense.targetPortInUnavailableState]: accessStateCodes.unavailable,
}

/**
 * Several ways to one logical unit, which must be the same at the end of each (VPD 83h). Commands go round robin over the
 * paths whose asymmetric access state is the best.
 *
 * - A command that was on its way when its path was lost goes on another one, unless doing it twice could do harm: it
 *   fails then. What keeps late writes of the lost session from doing harm is in `PathFence`.
 * - Lost paths are opened again in the background, with growing delays.
 * - With no path that takes commands, they wait. After `waitLimitMs` those that wait fail with PATHS_LOST, and so do new ones
 *   at once, until a path is back.
 * - A unit attention that every path reports is passed on once.
 */
export class PathSet<S extends PathSession = PathSession> implements ScsiExecutor, PathOwner<S> {
  readonly #options: PathSetOptions<S>
  readonly #paths: readonly Path<S>[]
  readonly #fence: PathFence
  readonly #echoes = new AttentionEchoes()
  readonly #waiters = new Waiters()
  #unitName: string | undefined
  #capacity: Capacity16 | undefined
  #next = 0
  #cancelLimit: (() => void) | undefined
  /** Why there is no path: set when commands have waited for long enough. */
  #givenUp: CygnetError | undefined
  #lastFailure: CygnetError | undefined
  #isClosed = false

  private constructor(options: PathSetOptions<S>) {
    this.#options = options
    this.#fence = new PathFence(options.timing)
    this.#paths = options.plans.map((plan) => new Path(plan, this))
  }

  /**
   * Opens all paths; some may be missing, and are tried again.
   * @throws {CygnetError} the first path's error where there is none; PATHS_DIFFER where they lead to different units
   */
  static async open<S extends PathSession>(options: PathSetOptions<S>): Promise<PathSet<S>> {
    const set = new PathSet(options)
    // The first path says which unit it is.
    const [first, ...others] = set.#paths
    const outcomes = await Promise.allSettled([first?.open()])
    outcomes.push(...(await Promise.allSettled(others.map((path) => path.open()))))
    const errors = outcomes.flatMap((one) => (one.status === 'rejected' ? [one.reason as unknown] : []))
    const mismatch = errors.find((error) => error instanceof CygnetError && error.code === 'PATHS_DIFFER')
    if (mismatch !== undefined || errors.length === set.#paths.length) {
      await set.close()
      throw mismatch ?? errors[0]
    }
    for (const [index, path] of set.#paths.entries())
      if (outcomes[index]?.status === 'rejected') path.retryLater()
    return set
  }

  /** The sessions that are up, in the order of the paths. */
  get sessions(): readonly S[] {
    return this.#paths.flatMap(({ session }) => session ?? [])
  }

  /** All paths, in the order in which they were named. */
  get reports(): readonly PathReport[] {
    return this.#paths.map(({ plan, lun, session, state }) => ({
      path: plan.name,
      lun,
      isUp: session !== undefined,
      state: accessStates.find((name) => accessStateCodes[name] === state),
    }))
  }

  async execute(command: ScsiCommand): Promise<ScsiStatusResult> {
    /* oxlint-disable no-await-in-loop -- each try follows from the one before */
    for (;;) {
      command.signal?.throwIfAborted()
      if (this.#isClosed) throw closed()
      if (this.#fence.holds(command)) {
        await this.#fence.wait(command.signal)
        continue
      }
      const path = this.#choose()
      const session = path?.session
      if (path === undefined || session === undefined) {
        await this.#untilThereIsAPath(command.signal)
        continue
      }
      const attention = path.takeAttention()
      if (attention !== undefined) return attentionOf(attention)
      const { lun } = path
      try {
        const result = await session.execute(command.lun === lun ? command : { ...command, lun })
        if (!this.#concernsPath(path, result)) return result
      } catch (error) {
        if (!this.#triesAgain(error, path, session, command)) throw error
      }
    }
    /* oxlint-enable no-await-in-loop */
  }

  submit(command: ScsiRequestOptions, done: (result: ScsiResult) => void): void {
    const path = this.#isClosed || this.#fence.holds(command) ? undefined : this.#choose()
    const session = path?.session
    if (path === undefined || session === undefined || path.hasAttention) {
      void settleWith(this.execute(command), done)
      return
    }
    const { lun } = path
    session.submit(command.lun === lun ? command : { ...command, lun }, (result) => {
      const isOver =
        result.kind === 'status'
          ? !this.#concernsPath(path, result)
          : !this.#triesAgain(errorOf(result), path, session, command)
      if (isOver) done(result)
      else void settleWith(this.execute(command), done)
    })
  }

  /** Ends all sessions. Never rejects. */
  async close(): Promise<void> {
    this.#isClosed = true
    this.#cancelLimit?.()
    for (const path of this.#paths) path.close()
    this.#fence.close(closed())
    this.#waiters.fail(closed())
    await Promise.all(this.sessions.map((session) => session.close()))
  }

  // PathOwner

  get timing(): Timing {
    return this.#options.timing
  }
  get isClosed(): boolean {
    return this.#isClosed
  }

  isWanted(identity: UnitIdentity): boolean {
    return this.#unitName === undefined || unitName(identity) === this.#unitName
  }

  checkUnit(path: Path<S>, identity: UnitIdentity): void {
    const name = unitName(identity)
    if (!hasName(identity)) {
      throw new CygnetError(
        'PATHS_DIFFER',
        `The logical unit at ${path.plan.name} has no identifier, and nothing proves that the paths lead to the same: use one path.`,
      )
    }
    this.#unitName ??= name
    if (name === this.#unitName) return
    throw new CygnetError(
      'PATHS_DIFFER',
      `${path.plan.name} leads to another logical unit (${name}) than the other paths (${this.#unitName}): name only portals of the same one.`,
    )
  }

  hasNewCapacity(capacity: Capacity16): boolean {
    const known = this.#capacity
    this.#capacity = capacity
    return (
      known !== undefined && (known.blocks !== capacity.blocks || known.blockBytes !== capacity.blockBytes)
    )
  }

  opened(path: Path<S>, session: S, before: S | undefined): void {
    if (before === undefined) return
    if (isReinstatement(before, session)) this.#fence.settle(before)
    this.#options.onEvent({ kind: 'path-restored', path: path.plan.name, reason: 'logged in again' })
  }

  async lost(path: Path<S>, session: S, error: CygnetError): Promise<void> {
    this.#lastFailure = error
    this.#options.onEvent({ kind: 'path-lost', path: path.plan.name, reason: error.message })
    // Those that were on their way say so in this turn.
    await new Promise<void>((resolve) => this.timing.schedule(resolve, 0))
    if (this.#fence.hasDoubts(session)) await this.#reinstate(session)
  }

  notOpened(error: CygnetError): void {
    this.#lastFailure = error
  }

  usable(): void {
    this.#cancelLimit?.()
    this.#cancelLimit = undefined
    this.#givenUp = undefined
    this.#waiters.wake()
  }

  /** Ends what a lost session left at the target, by another portal of the same portal group. */
  async #reinstate(lost: S): Promise<void> {
    const beside = this.#paths.find(({ session }) => session && isSamePort(session, lost))
    if (beside === undefined) return
    try {
      const session = await beside.plan.open(lost.isid)
      if (isReinstatement(lost, session)) this.#fence.settle(lost)
      await session.close()
    } catch (error) {
      // Time settles it then.
      if (!(error instanceof CygnetError)) throw error
    }
  }

  /** The next one among the best. */
  #choose(): Path<S> | undefined {
    let best: Path<S> | undefined
    let bestRank = Infinity
    const count = this.#paths.length
    let bestAt = 0
    for (let i = 0; i < count; i++) {
      const at = (this.#next + i) % count
      const path = this.#paths[at]
      const rank = path?.rank
      if (path === undefined || rank === undefined || rank >= bestRank) continue
      best = path
      bestRank = rank
      bestAt = at
    }
    this.#next = (bestAt + 1) % count
    return best
  }

  /** The command found no answer. True where it is to be tried again, with all that this brings with it. */
  #triesAgain(error: unknown, path: Path<S>, session: S, command: ScsiCommand): boolean {
    if (this.#isClosed || !this.#isWorthAnother(error, session, command)) return false
    this.#fence.add(command, session)
    if (!session.isOpen) path.lost(session, error as CygnetError)
    return true
  }

  /** The command found no answer: whether another path may find one. */
  #isWorthAnother(error: unknown, session: S, command: ScsiCommand): boolean {
    if (!(error instanceof CygnetError)) {
      // Given up, and perhaps not before the session was.
      if (!session.isOpen) this.#fence.add(command, session)
      return false
    }
    if (session.isOpen) return error.code === 'TASK_LOST' && command.replay === 'safe'
    if (command.replay === 'safe') return true
    this.#fence.add(command, session)
    return false
  }

  /** A check condition that is about the path, or that was heard by another one: the command is sent again. */
  #concernsPath(path: Path<S>, { status, sense }: ScsiStatusResult): boolean {
    if (status !== ScsiStatus.checkCondition) return false
    const data = decodeSense(sense)
    if (data?.key === SenseKey.unitAttention) {
      if (data.additional === AdditionalSense.asymmetricAccessStateChanged) void path.askState()
      const up = this.#paths.filter(({ session }) => session !== undefined)
      return !this.#echoes.isNews(data.additional, path, up, this.timing.now())
    }
    const state = data?.key === SenseKey.notReady ? refusedStates[data.additional] : undefined
    if (state === undefined) return false
    path.refused(state)
    return true
  }

  #untilThereIsAPath(signal: AbortSignal | undefined): Promise<void> {
    if (this.#givenUp) return Promise.reject(this.#givenUp)
    this.#cancelLimit ??= this.timing.schedule(() => this.#giveUp(), this.#options.waitLimitMs)
    return this.#waiters.wait(signal)
  }

  #giveUp(): void {
    this.#cancelLimit = undefined
    const states = this.#paths.map(({ plan, session }) => `${plan.name} ${session ? 'is up' : 'is down'}`)
    const why = this.#lastFailure ? ` ${this.#lastFailure.message}` : ''
    this.#givenUp = new CygnetError(
      'PATHS_LOST',
      `No path has taken commands for ${this.#options.waitLimitMs} ms: ${states.join(', ')}.${why}`,
      { cause: this.#lastFailure },
    )
    this.#waiters.fail(this.#givenUp)
  }
}

const accessStates = Object.keys(accessStateCodes) as AccessState[]

const closed = (): CygnetError => new CygnetError('SESSION_CLOSED', 'The device was closed.')

/** Something that no other unit says of itself. */
const hasName = ({ designators, serialNumber = '' }: UnitIdentity): boolean =>
  serialNumber.trim() !== '' ||
  designators.some(
    ({ association, type, value }) => association === 0 && [1, 2, 3, 8].includes(type) && value.length > 0,
  )

/** Sessions with one portal group: one ISID cannot have two of them (RFC 7143 §4.4.3). */
const isSamePort = (one: PathSession, other: PathSession): boolean =>
  one.target === other.target && one.portalGroupTag === other.portalGroupTag

const isReinstatement = (lost: PathSession, session: PathSession): boolean =>
  isSamePort(lost, session) && lost.isid.every((byte, index) => byte === session.isid[index])

/** What the unit has said already, as an answer. */
const attentionOf = (additional: number): ScsiStatusResult => ({
  kind: 'status',
  status: ScsiStatus.checkCondition,
  statusQualifier: 0,
  sense: encodeSense({ key: SenseKey.unitAttention, additional }, false),
  dataInBytes: 0,
  dataInResidualBytes: 0,
  dataOutResidualBytes: 0,
})
