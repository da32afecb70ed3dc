import { hex } from '../base/bytes.ts'
import type { Nexus } from '../scsi/task.ts'
import type { Designator } from '../scsi/vpd.ts'
import type { LogicalUnit } from './logical-unit.ts'

/** A logical unit that a copy manager can read from and write to. */
export interface CopyUnit extends LogicalUnit {
  readonly blockSizeBytes: number
  readonly blocks: number
  /** The nexus that the initiator port of `nexus` has with this unit. */
  nexusLike(nexus: Nexus): Nexus | undefined
}

/** The logical units of one server, by what identifies them: whom a third-party copy can be between. */
export class CopyUnits {
  readonly #units = new Map<string, CopyUnit>()

  add(unit: CopyUnit, designators: readonly Designator[]): void {
    for (const { type, value } of designators) this.#units.set(keyOf(type, value), unit)
  }

  find(designatorType: number, designator: Uint8Array): CopyUnit | undefined {
    return this.#units.get(keyOf(designatorType, designator))
  }
}

const keyOf = (type: number, value: Uint8Array): string => `${type} ${hex(value)}`
