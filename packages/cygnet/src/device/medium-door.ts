import { AdditionalSense } from '../scsi/additional-sense.ts'
import { get8 } from '../scsi/fields.ts'
import { Opcode } from '../scsi/opcodes.ts'
import type { SenseData } from '../scsi/sense.ts'
import { illegalRequest, SenseKey } from '../scsi/sense.ts'
import type { Nexus } from '../scsi/task.ts'
import type { Command } from './command-table.ts'
import { CommandFlag } from './command-table.ts'
import type { Operation } from './operation.ts'

const NO_MEDIUM: SenseData = { key: SenseKey.notReady, additional: AdditionalSense.mediumNotPresent }
const PREVENTED = illegalRequest(AdditionalSense.mediumRemovalPrevented)

/**
 * The door of a unit with a removable medium: whether the medium is in, and who prevents its removal (SPC-5 §6.16,
 * SBC-4 §4.26). What one nexus prevents, every nexus is prevented from; it ends with that nexus, with PREEMPT AND ABORT of
 * it, and with any reset. The same medium comes back at every load.
 */
export class MediumDoor {
  readonly isRemovable: boolean
  #isLoaded = true
  #moves = 0
  readonly #preventing = new Set<Nexus>()
  readonly #loaded: (cause: Nexus) => void

  /** `loaded`: the medium came in; everybody but `cause` must hear of that. */
  constructor(isRemovable: boolean, loaded: (cause: Nexus) => void) {
    this.isRemovable = isRemovable
    this.#loaded = loaded
  }

  /** Why there is no access to the medium. */
  get refusal(): SenseData | undefined {
    return this.#isLoaded ? undefined : NO_MEDIUM
  }

  get isLoaded(): boolean {
    return this.#isLoaded
  }

  /** How often the medium went out or came in. */
  get moves(): number {
    return this.#moves
  }

  get isPrevented(): boolean {
    return this.#preventing.size > 0
  }

  /**
   * START STOP UNIT with LOEJ: moves the medium, or ends the command with why it may not. While removal is prevented the door stays
   * as it is, open too: libiscsi's suite asks for that.
   */
  move(op: Operation, isLoad: boolean): void {
    if (this.isPrevented) return op.check(PREVENTED)
    const changes = this.#isLoaded !== isLoad
    this.#isLoaded = isLoad
    if (changes) this.#moves++
    if (isLoad && changes) this.#loaded(op.task.nexus)
    op.good()
  }

  /** 4 PREVENT(1-0). Bit 1 is of a medium changer, and obsolete. */
  readonly preventAllow = (op: Operation): void => {
    const { cdb, nexus } = op.task
    if (get8(cdb, 4) & 1) this.#preventing.add(nexus)
    else this.#preventing.delete(nexus)
    op.good()
  }

  nexusLost(nexus: Nexus): void {
    this.#preventing.delete(nexus)
  }

  reset(): void {
    this.#preventing.clear()
  }
}

/** Only a unit with a removable medium has it. */
export const preventAllowRow = (door: MediumDoor): Command => ({
  name: 'PREVENT ALLOW MEDIUM REMOVAL',
  opcode: Opcode.preventAllowMediumRemoval,
  usage: '1e 00 00 00 01 00',
  reservation: 'write',
  isHarmless: (cdb) => (get8(cdb, 4) & 1) === 0,
  flags: CommandFlag.governs,
  timeoutS: 10,
  start: door.preventAllow,
})
