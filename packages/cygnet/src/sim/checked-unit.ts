import { type Serial32, serialLess } from '../base/serial32.ts'
import { DiskUnit, type DiskUnitOptions } from '../device/disk-unit.ts'
import type { ScsiTask } from '../scsi/task.ts'
import { IscsiTask } from '../session/target-role/iscsi-task.ts'

/** The last CmdSN that each session delivered to its logical units. */
export type DeliveryOrder = WeakMap<object, Serial32>

/** A disk that judges its transport: the commands of a session come in the order of CmdSN, each once (RFC 7143 §4.2.2.1). */
export class CheckedUnit extends DiskUnit {
  readonly #order: DeliveryOrder
  readonly #violation: (what: string) => void

  /** `order`: shared by all units of a target. */
  constructor(options: DiskUnitOptions, order: DeliveryOrder, violation: (what: string) => void) {
    super(options)
    this.#order = order
    this.#violation = violation
  }

  override submit(task: ScsiTask): void {
    if (task instanceof IscsiTask && !task.command.immediate) {
      const { cmdSN } = task.command
      const last = this.#order.get(task.owner)
      if (last !== undefined && !serialLess(last, cmdSN))
        this.#violation(`CmdSN ${cmdSN} was delivered to SCSI after CmdSN ${last}`)
      this.#order.set(task.owner, cmdSN)
    }
    super.submit(task)
  }
}
