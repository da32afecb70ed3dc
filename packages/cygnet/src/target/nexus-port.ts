import type { LogicalUnit, NexusLoss } from '../device/logical-unit.ts'
import { NoUnit, ReportLunsUnit } from '../device/no-unit.ts'
import { TaskManagementFunction, TaskManagementResponseCode } from '../pdu/codes.ts'
import { AdditionalSense } from '../scsi/additional-sense.ts'
import { encodePendingEvent } from '../scsi/pending-event.ts'
import type { Nexus, ScsiTask } from '../scsi/task.ts'
import { REPORT_LUNS_LUN } from '../session/lun-number.ts'
import type { ScsiPort } from '../session/target-role/target-host.ts'

/** These keep no state: one serves every nexus. */
const noUnit: LogicalUnit = new NoUnit()
const reportLunsUnit: LogicalUnit = new ReportLunsUnit()

/** What a nexus can do to its whole target. */
interface ResetDomain {
  readonly unitCount: number
  dropAllSessions(reason: string): void
  /** Ends the session of a nexus, at once: it is not kept for its initiator to come back. */
  dropSession(nexus: Nexus, reason: string): void
}

const Function = TaskManagementFunction
const Response = TaskManagementResponseCode

type Covers = (task: ScsiTask) => boolean
type Respond = (response: number, additionalResponse?: number) => void

/** Functions for one logical unit. */
const UNIT_FUNCTIONS: Readonly<
  Record<number, (unit: LogicalUnit, nexus: Nexus, done: Respond, covers?: Covers) => void>
> = {
  [Function.abortTaskSet]: (unit, nexus, done, covers) =>
    unit.abortTaskSet(nexus, false, completing(done), covers),
  [Function.clearAca]: (unit, nexus, done) => unit.clearAca(nexus, completing(done)),
  [Function.clearTaskSet]: (unit, nexus, done, covers) =>
    unit.abortTaskSet(nexus, true, completing(done), covers),
  [Function.logicalUnitReset]: (unit, _nexus, done) => unit.reset(completing(done)),
  [Function.queryTaskSet]: (unit, nexus, done) =>
    done(unit.hasTasks(nexus) ? Response.functionSucceeded : Response.functionComplete),
  [Function.queryAsynchronousEvent]: (unit, nexus, done) => {
    const event = unit.pendingEvent(nexus)
    if (event) done(Response.functionSucceeded, encodePendingEvent(event))
    else done(Response.functionComplete)
  },
}

/** Functions for all logical units of the nexus. */
const TARGET_FUNCTIONS: Readonly<Record<number, (port: NexusPort, done: Respond) => void>> = {
  [Function.targetWarmReset]: (port, done) => port.warmReset(completing(done)),
  [Function.targetColdReset]: (port, done) => port.coldReset(completing(done)),
  [Function.itNexusReset]: (port, done) => port.nexusReset(completing(done)),
}

/** Functions that affect nobody but who asks for them. */
const OWN_FUNCTIONS: ReadonlySet<number> = new Set([
  Function.abortTaskSet,
  Function.clearAca,
  Function.queryTaskSet,
  Function.itNexusReset,
  Function.queryAsynchronousEvent,
])

const completing =
  (done: Respond): (() => void) =>
  () =>
    done(Response.functionComplete)

/** One nexus's view of a target's logical units: the one place where the transport's tasks reach devices. */
export class NexusPort implements ScsiPort {
  readonly nexus: Nexus
  readonly #target: ResetDomain
  /** By the LUN that this initiator sees. */
  #units: ReadonlyMap<number, LogicalUnit>
  /** Those that it no longer sees, but has tasks in. */
  readonly #leaving = new Set<LogicalUnit>()
  #isAttached = false

  constructor(target: ResetDomain, nexus: Nexus, units: ReadonlyMap<number, LogicalUnit>) {
    this.#target = target
    this.nexus = nexus
    this.#units = units
  }

  attach(): void {
    this.#isAttached = true
    for (const unit of this.#distinctUnits()) unit.attachNexus(this.nexus)
  }

  detach(loss: NexusLoss): void {
    for (const unit of [...this.#distinctUnits(), ...this.#leaving]) unit.detachNexus(this.nexus, loss)
    this.#leaving.clear()
    this.#isAttached = false
    noUnit.detachNexus(this.nexus, loss)
    reportLunsUnit.detachNexus(this.nexus, loss)
  }

  /** Every LUN that the initiator sees, ascending. */
  reportLuns(): number[] {
    return [...this.#units.keys()].toSorted((a, b) => a - b)
  }

  /**
   * What the initiator sees from now on. Where its LUNs are others, it hears so from the first unit that it asks (SPC-5
   * §6.33); where another unit has taken the place of one, that says so. What it has under way with a unit that it no
   * longer sees goes on to its end.
   */
  setUnits(units: ReadonlyMap<number, LogicalUnit>): void {
    const before = this.#units
    const old = this.#distinctUnits()
    this.#units = units
    if (!this.#isAttached) return
    const seen = this.#distinctUnits()
    for (const unit of old) if (!seen.has(unit)) this.#leave(unit)
    for (const unit of seen) {
      // One that it was leaving still knows the nexus.
      if (!old.has(unit) && !this.#leaving.delete(unit)) unit.attachNexus(this.nexus)
    }
    for (const [lun, unit] of units) {
      const last = before.get(lun)
      if (last && last !== unit) unit.attentionFor(this.nexus, AdditionalSense.inquiryDataChanged)
    }
    if (before.size === units.size && [...before.keys()].every((lun) => units.has(lun))) return
    for (const unit of seen) unit.attentionFor(this.nexus, AdditionalSense.reportedLunsDataChanged)
  }

  #leave(unit: LogicalUnit): void {
    this.#leaving.add(unit)
    const ended = (): void => {
      // It may have come back meanwhile, or be going for a second time.
      if (unit.hasTasks(this.nexus) || !this.#leaving.delete(unit)) return
      unit.detachNexus(this.nexus, 'logout')
    }
    unit.whenTasksEnd(ended, this.nexus)
  }

  submit(task: ScsiTask): void {
    this.#unit(task.lun).submit(task)
  }

  resume(task: ScsiTask): void {
    this.#unitOf(task).resume(task)
  }

  abort(task: ScsiTask): void {
    this.#unitOf(task).abort(task)
  }

  tasksCleared(): void {
    for (const unit of this.#distinctUnits()) unit.commandsClearedByProtocol(this.nexus)
  }

  manage(taskManagementFunction: number, lun: number, done: Respond, covers?: Covers): void {
    const targetWide = TARGET_FUNCTIONS[taskManagementFunction]
    const unitWide = UNIT_FUNCTIONS[taskManagementFunction]
    if (!this.#mayManage(taskManagementFunction)) done(Response.functionAuthorizationFailed)
    else if (targetWide) targetWide(this, done)
    else if (!unitWide) done(Response.functionNotSupported)
    else {
      const unit = this.#units.get(lun)
      if (unit) unitWide(unit, this.nexus, done, covers)
      else done(Response.lunDoesNotExist)
    }
  }

  /** Who may only read does not end the tasks of others, and who sees a part of the target does not reset all of it. */
  #mayManage(taskManagementFunction: number): boolean {
    if (OWN_FUNCTIONS.has(taskManagementFunction)) return true
    if (this.nexus.readOnly) return false
    return (
      taskManagementFunction !== Function.targetColdReset ||
      this.#distinctUnits().size === this.#target.unitCount
    )
  }

  warmReset(done: () => void): void {
    this.#onAll((unit, unitDone) => unit.reset(unitDone), done)
  }

  /** As after power on: nobody is logged in (RFC 7143 §11.5.1). */
  coldReset(done: () => void): void {
    this.#onAll(
      (unit, unitDone) => unit.reset(unitDone, 'power-on'),
      () => {
        done()
        this.#target.dropAllSessions('TARGET COLD RESET')
      },
    )
  }

  /** RFC 7144 §6.3: the units see the loss of the nexus when its session is gone. */
  nexusReset(done: () => void): void {
    this.#onAll(
      (unit, unitDone) => unit.abortTaskSet(this.nexus, false, unitDone),
      () => {
        done()
        this.#target.dropSession(this.nexus, 'I_T NEXUS RESET')
      },
    )
  }

  #onAll(each: (unit: LogicalUnit, done: () => void) => void, done: () => void): void {
    const units = this.#distinctUnits()
    let left = units.size
    if (left === 0) done()
    for (const unit of units) {
      each(unit, () => {
        left--
        if (left === 0) done()
      })
    }
  }

  /** The nexus heard of it from one unit: the others need not tell it. */
  clearAttention(code: AdditionalSense): void {
    for (const unit of this.#distinctUnits()) unit.clearAttention(this.nexus, code)
  }

  #unit(lun: number): LogicalUnit {
    return this.#units.get(lun) ?? (lun === REPORT_LUNS_LUN ? reportLunsUnit : noUnit)
  }

  #unitOf(task: ScsiTask): LogicalUnit {
    if (this.#leaving.size > 0) for (const unit of this.#leaving) if (unit.holds(task)) return unit
    return this.#unit(task.lun)
  }

  /** A unit may be mapped to more than one LUN. */
  #distinctUnits(): ReadonlySet<LogicalUnit> {
    return new Set(this.#units.values())
  }
}
