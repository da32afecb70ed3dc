import { CygnetError } from '../base/errors.ts'
import { AdditionalSense } from '../scsi/additional-sense.ts'
import type { Capacity16 } from '../scsi/capacity.ts'
import { accessStateCodes } from '../scsi/target-port-groups.ts'
import { accessRank, readAccessState } from './alua.ts'
import { readCapacity, readIdentity, type UnitIdentity } from './disk-facts.ts'
import { findUnit } from './find-unit.ts'
import type { ScsiExecutor, Timing } from './scsi-executor.ts'
import { ScsiUnit } from './scsi-unit.ts'
import { refreshOf } from './unit-attentions.ts'

/** A session as a path. */
export interface PathSession extends ScsiExecutor {
  readonly isid: Uint8Array
  readonly target: string
  readonly portalGroupTag: number | undefined
  /** False once it is closing or lost for good. */
  readonly isOpen: boolean
  /** How it ended: undefined after a logout. */
  readonly ended: Promise<CygnetError | undefined>
  close(): Promise<void>
}

/** A way to the logical unit, and how to go it. */
export interface PathPlan<S extends PathSession = PathSession> {
  /** For people: the portal. */
  readonly name: string
  /** The unit's LUN there, 0..16383; where it is not, it is looked for by its identifier. */
  readonly lun: number
  /** Logs in, with the ISID of the session that it takes the place of, or else a new one. */
  open(isid: Uint8Array | undefined): Promise<S>
}

/** Who has the paths. */
export interface PathOwner<S extends PathSession> {
  readonly timing: Timing
  readonly isClosed: boolean
  /** It is the unit that the paths before lead to; any will do for the first. */
  isWanted(identity: UnitIdentity): boolean
  /** @throws {CygnetError} PATHS_DIFFER where it is another one */
  checkUnit(path: Path<S>, identity: UnitIdentity): void
  /** The capacity as a path saw it just now; true where it was another one before. */
  hasNewCapacity(capacity: Capacity16): boolean
  /** Its session is open. `before`: the one that this takes the place of. */
  opened(path: Path<S>, session: S, before: S | undefined): void
  /** The session was lost. Nothing else happens to the path until the promise is settled. */
  lost(path: Path<S>, session: S, error: CygnetError): Promise<void>
  /** An attempt to open it again failed. */
  notOpened(error: CygnetError): void
  /** It takes commands. */
  usable(): void
}

const FIRST_RETRY_MS = 200
const LAST_RETRY_MS = 2000
/** How long until a path that is not ready for commands is asked again. */
const ASK_AGAIN_MS = 500

/** One way to the logical unit: opens its session, again and again where it is lost, and knows its access state. */
export class Path<S extends PathSession> {
  readonly plan: PathPlan<S>
  readonly #owner: PathOwner<S>
  #lun: number
  #session: S | undefined
  /** The one before, whose tasks the next one ends. */
  #before: S | undefined
  #state: number = accessStateCodes.optimized
  #attention: number | undefined
  #retryMs = FIRST_RETRY_MS
  #cancel: (() => void) | undefined

  constructor(plan: PathPlan<S>, owner: PathOwner<S>) {
    this.plan = plan
    this.#lun = plan.lun
    this.#owner = owner
  }

  /** The unit's LUN on this path. */
  get lun(): number {
    return this.#lun
  }

  /** Undefined while it is down. */
  get session(): S | undefined {
    return this.#session
  }

  /** One of `accessStateCodes`, as far as is known. */
  get state(): number {
    return this.#state
  }

  /** How good it is, the lower the better; undefined: it takes no commands. */
  get rank(): number | undefined {
    return this.#session && accessRank[this.#state]
  }

  /** `takeAttention` has one. */
  get hasAttention(): boolean {
    return this.#attention !== undefined
  }

  /** A unit attention that was met when the path was opened again, and that whoever uses the unit should hear of. */
  takeAttention(): number | undefined {
    const attention = this.#attention
    this.#attention = undefined
    return attention
  }

  /**
   * Logs in, checks that it is the same unit, and asks how good the path is.
   * @throws {CygnetError}
   */
  async open(): Promise<void> {
    const session = await this.plan.open(this.#before?.isid)
    try {
      await this.#look(session)
      if (this.#owner.isClosed) throw new CygnetError('SESSION_CLOSED', 'The device was closed.')
    } catch (error) {
      await session.close()
      throw error
    }
    const before = this.#before
    this.#session = session
    this.#before = session
    this.#retryMs = FIRST_RETRY_MS
    this.#owner.opened(this, session, before)
    void this.#watch(session)
    this.#useOrAskAgain()
  }

  /** The session cannot be used any more. Many commands may say so, and of one that has a successor by now. */
  lost(session: S, error: CygnetError): void {
    if (this.#session !== session || this.#owner.isClosed) return
    this.#session = undefined
    this.#cancel?.()
    void session.close()
    void this.#owner.lost(this, session, error).then(() => this.retryLater())
  }

  retryLater(): void {
    const delayMs = this.#retryMs
    this.#retryMs = Math.min(2 * delayMs, LAST_RETRY_MS)
    this.#schedule(() => void this.#retry(), delayMs)
  }

  /** The unit takes no commands by this path at the moment. */
  refused(state: number): void {
    // It may have been lost since.
    if (this.#session === undefined) return
    this.#state = state
    this.#schedule(() => void this.askState(), ASK_AGAIN_MS)
  }

  /** Asks for the access state, which may have changed. */
  async askState(): Promise<void> {
    const session = this.#session
    if (session === undefined) return
    try {
      const unit = this.#unit(session)
      this.#state = await readAccessState(unit, await readIdentity(unit))
    } catch (error) {
      // The session's end is told elsewhere; any other failure leaves the state as it was.
      if (!(error instanceof CygnetError)) throw error
    }
    if (this.#session === session) this.#useOrAskAgain()
  }

  /** Stops trying. */
  close(): void {
    this.#cancel?.()
  }

  #useOrAskAgain(): void {
    if (this.rank === undefined) this.refused(this.#state)
    else this.#owner.usable()
  }

  #schedule(action: () => void, delayMs: number): void {
    this.#cancel?.()
    if (!this.#owner.isClosed) this.#cancel = this.#owner.timing.schedule(action, delayMs)
  }

  #unit(session: S, lun = this.#lun): ScsiUnit {
    return new ScsiUnit({ executor: session, timing: this.#owner.timing, lun, busyLimitMs: ASK_AGAIN_MS })
  }

  async #look(session: S): Promise<void> {
    let attention: number | undefined
    const unitAt = (lun: number): ScsiUnit => {
      const unit = this.#unit(session, lun)
      unit.onAttention = (additional) => {
        if (refreshOf(additional) !== 'nothing') attention = additional
        return Promise.resolve()
      }
      return unit
    }
    const isWanted = (identity: UnitIdentity): boolean => this.#owner.isWanted(identity)
    const { unit, identity } = await findUnit(this.#lun, unitAt, isWanted)
    this.#owner.checkUnit(this, identity)
    this.#lun = unit.lun
    this.#state = await readAccessState(unit, identity)
    // A port in standby does not tell the capacity (SPC-5 §5.18.2.4).
    const isActive = accessRank[this.#state] !== undefined
    if (isActive && this.#owner.hasNewCapacity(await readCapacity(unit)))
      attention = AdditionalSense.capacityDataChanged
    // Whoever opens the unit asks for everything anyhow.
    this.#attention = this.#before === undefined ? undefined : attention
  }

  async #watch(session: S): Promise<void> {
    const error = await session.ended
    this.lost(session, error ?? new CygnetError('SESSION_CLOSED', 'The target asked us to log out.'))
  }

  async #retry(): Promise<void> {
    try {
      await this.open()
    } catch (error) {
      if (!(error instanceof CygnetError)) throw error
      this.#owner.notOpened(error)
      this.retryLater()
    }
  }
}
