import type { LogicalUnit, NexusLoss } from '../device/logical-unit.ts'
import { NoUnit, ReportLunsUnit } from '../device/no-unit.ts'
import { TaskManagementFunction, TaskManagementResponseCode } from '../pdu/codes.ts'
import type { Nexus, ScsiTask } from '../scsi/task.ts'
import { REPORT_LUNS_LUN } from '../session/lun-number.ts'
import type { ScsiPort } from '../session/target-host.ts'

/** These keep no state: one serves every nexus. */
const noUnit: LogicalUnit = new NoUnit()
const reportLunsUnit: LogicalUnit = new ReportLunsUnit()

/** What a nexus can do to its whole target. */
interface ResetDomain {
  readonly unitCount: number
  dropAllSessions(reason: string): void
}

const Function = TaskManagementFunction

/** One nexus's view of a target's logical units: the one place where the transport's tasks reach devices. */
export class NexusPort implements ScsiPort {
  readonly nexus: Nexus
  readonly #target: ResetDomain
  /** By the LUN that this initiator sees. */
  readonly #units: ReadonlyMap<number, LogicalUnit>

  constructor(target: ResetDomain, nexus: Nexus, units: ReadonlyMap<number, LogicalUnit>) {
    this.#target = target
    this.nexus = nexus
    this.#units = units
  }

  attach(): void {
    for (const unit of this.#distinctUnits()) unit.attachNexus(this.nexus)
  }

  detach(loss: NexusLoss): void {
    for (const unit of this.#distinctUnits()) unit.detachNexus(this.nexus, loss)
    noUnit.detachNexus(this.nexus, loss)
    reportLunsUnit.detachNexus(this.nexus, loss)
  }

  submit(task: ScsiTask): void {
    this.#unit(task.lun).submit(task)
  }

  resume(task: ScsiTask): void {
    this.#unit(task.lun).resume(task)
  }

  abort(task: ScsiTask): void {
    this.#unit(task.lun).abort(task)
  }

  tasksCleared(): void {
    for (const unit of this.#distinctUnits()) unit.commandsClearedByProtocol(this.nexus)
  }

  manage(
    taskManagementFunction: number,
    lun: number,
    done: (response: number, additionalResponse?: number) => void,
  ): void {
    const complete = (): void => done(TaskManagementResponseCode.functionComplete)
    if (!this.#mayManage(taskManagementFunction)) {
      done(TaskManagementResponseCode.functionAuthorizationFailed)
      return
    }
    switch (taskManagementFunction) {
      case Function.targetWarmReset:
        this.#resetAll(complete)
        return
      case Function.targetColdReset:
        this.#resetAll(() => {
          complete()
          this.#target.dropAllSessions('TARGET COLD RESET')
        })
        return
    }
    const unit = this.#units.get(lun)
    if (!unit) done(TaskManagementResponseCode.lunDoesNotExist)
    else if (taskManagementFunction === Function.logicalUnitReset) unit.reset(complete)
    else unit.abortTaskSet(this.nexus, taskManagementFunction === Function.clearTaskSet, complete)
  }

  /** Who may only read does not end the tasks of others, and who sees a part of the target does not reset all of it. */
  #mayManage(taskManagementFunction: number): boolean {
    if (taskManagementFunction === Function.abortTaskSet) return true
    if (this.nexus.readOnly) return false
    return (
      taskManagementFunction !== Function.targetColdReset ||
      this.#distinctUnits().size === this.#target.unitCount
    )
  }

  #resetAll(done: () => void): void {
    const units = this.#distinctUnits()
    let left = units.size
    if (left === 0) done()
    for (const unit of units) {
      unit.reset(() => {
        left--
        if (left === 0) done()
      })
    }
  }

  #unit(lun: number): LogicalUnit {
    return this.#units.get(lun) ?? (lun === REPORT_LUNS_LUN ? reportLunsUnit : noUnit)
  }

  /** A unit may be mapped to more than one LUN. */
  #distinctUnits(): ReadonlySet<LogicalUnit> {
    return new Set(this.#units.values())
  }
}
