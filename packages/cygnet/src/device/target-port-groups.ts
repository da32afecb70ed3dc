import { AdditionalSense } from '../scsi/additional-sense.ts'
import { get8, get32 } from '../scsi/fields.ts'
import type { SenseData } from '../scsi/sense.ts'
import { illegalRequest, invalidCdbField, SenseKey } from '../scsi/sense.ts'
import type { AccessState, PortGroupReport } from '../scsi/target-port-groups.ts'
import { AccessStatus, decodeSetPortGroups, encodePortGroups } from '../scsi/target-port-groups.ts'
import type { Nexus } from '../scsi/task.ts'
import type { TableEntry } from './command-table.ts'
import type { Step } from './operation.ts'
import { gather } from './parameters.ts'

/** A group's state, and what brought it about. */
interface GroupState {
  state: AccessState
  status: AccessStatus
}

/** A unit hears of a change; `cause` knows of it already. */
type Listener = (cause: Nexus | undefined) => void

/** The states in which a command works (SPC-5 §5.18.2.4): beyond the active ones, each of these and those before it. */
export type Reach = 'standby' | 'unavailable' | 'transitioning'

const BEYOND: Readonly<
  Record<AccessState, { readonly rank: number; readonly refusal: SenseData | undefined }>
> = {
  optimized: { rank: 0, refusal: undefined },
  'non-optimized': { rank: 0, refusal: undefined },
  standby: { rank: 1, refusal: notAccessible(AdditionalSense.targetPortInStandbyState) },
  unavailable: { rank: 2, refusal: notAccessible(AdditionalSense.targetPortInUnavailableState) },
  transitioning: { rank: 3, refusal: notAccessible(AdditionalSense.asymmetricAccessStateTransition) },
}

function notAccessible(additional: AdditionalSense): SenseData {
  return { key: SenseKey.notReady, additional }
}

const LENGTH_ERROR = illegalRequest(AdditionalSense.parameterListLengthError)

/**
 * How the units of a target are reached through its portal groups: asymmetric logical unit access (ALUA, SPC-5 §5.18). A
 * portal group is a SCSI target port, and the one port of its target port group; all three have the group's number.
 */
export class TargetPortGroups {
  readonly #groups = new Map<number, GroupState>()
  readonly #listeners = new Set<Listener>()
  #isAllActive = true

  /** Portal group tags (1..65535), and the states that they begin with. */
  constructor(groups: Iterable<readonly [group: number, state: AccessState]>) {
    for (const [group, state] of groups) this.#groups.set(group, { state, status: AccessStatus.none })
    this.#changed()
  }

  /** Every command may come through every group: nothing need be asked. */
  get isAllActive(): boolean {
    return this.#isAllActive
  }

  get groups(): readonly number[] {
    return [...this.#groups.keys()]
  }

  /** A group that is not known is taken for an active one. */
  stateOf(group: number): AccessState {
    return this.#groups.get(group)?.state ?? 'optimized'
  }

  /** Why a command may not come from a nexus through its target port as that is now. */
  refuse(entry: TableEntry, nexus: Nexus): SenseData | undefined {
    const { rank, refusal } = BEYOND[this.stateOf(nexus.relativeTargetPortId)]
    const reach = entry.reach === undefined ? 0 : BEYOND[entry.reach].rank
    return reach < rank ? refusal : undefined
  }

  /**
   * Changes states. Units tell every nexus but `cause`, whose command it was.
   * @throws {RangeError} for a group that the target does not have
   */
  set(changes: ReadonlyMap<number, AccessState>, cause?: Nexus): void {
    let hasChanged = false
    for (const [group, state] of changes) {
      const current = this.#groups.get(group)
      if (!current) throw new RangeError(`the target has no portal group ${group}`)
      if (current.state === state) continue
      current.state = state
      current.status = cause ? AccessStatus.explicit : AccessStatus.implicit
      hasChanged = true
    }
    if (!hasChanged) return
    this.#changed()
    for (const listener of this.#listeners) listener(cause)
  }

  #changed(): void {
    this.#isAllActive = [...this.#groups.values()].every(({ state }) => BEYOND[state].rank === 0)
  }

  /** Gives what ends it. */
  onChange(listener: Listener): () => void {
    this.#listeners.add(listener)
    return () => void this.#listeners.delete(listener)
  }

  /** REPORT TARGET PORT GROUPS: 1 PARAMETER DATA FORMAT(7-5), 6 ALLOCATION LENGTH (4). */
  readonly report: Step = (op) => {
    const { cdb } = op.task
    const format = get8(cdb, 1) >>> 5
    if (format > 1) return op.check(invalidCdbField(1, 7))
    const list = [...this.#groups].map(
      ([group, each]): PortGroupReport => ({ group, ...each, relativeTargetPortIds: [group] }),
    )
    op.reply(encodePortGroups(list, format === 1), get32(cdb, 6))
  }

  /** SET TARGET PORT GROUPS: 6 PARAMETER LIST LENGTH (4). */
  readonly change: Step = (op) => {
    const lengthBytes = get32(op.task.cdb, 6)
    if (lengthBytes === 0) return op.good()
    if (lengthBytes > 4 + 4 * this.#groups.size) return op.check(LENGTH_ERROR)
    op.receive(lengthBytes, this.#received)
  }

  readonly #received: Step = (op) => {
    const list = gather(op.task)
    if (!list) return op.check(LENGTH_ERROR)
    const changes = decodeSetPortGroups(list, new Set(this.#groups.keys()))
    if (!(changes instanceof Map)) return op.check(changes as SenseData)
    this.set(changes as ReadonlyMap<number, AccessState>, op.task.nexus)
    op.good()
  }
}
