import type { LogicalUnit, NexusLoss } from '../device/logical-unit.ts'
import { NoUnit } from '../device/no-unit.ts'
import { TaskManagementFunction, TaskManagementResponseCode } from '../pdu/codes.ts'
import { LoginStatus } from '../pdu/login-status.ts'
import type { Nexus, ScsiTask } from '../scsi/task.ts'
import type {
  LoginIdentity,
  LoginRefusal,
  ScsiPort,
  SessionClosure,
  SessionHome,
} from '../session/target-host.ts'
import { refuse } from '../session/target-host.ts'
import type { TargetSession } from '../session/target-session.ts'

/** What a target serves. */
export interface TargetOptions {
  /** iSCSI name, RFC 7143 §4.2.7. */
  readonly name: string
  readonly alias?: string
  /** LUN (0..16383) to logical unit. */
  readonly units: ReadonlyMap<number, LogicalUnit>
}

/** A session's place at a target: its nexus and what it is known by. */
interface SessionEntry {
  readonly session: TargetSession
  readonly nexus: Nexus
}

const LARGEST_TSIH = 0xffff

/**
 * One iSCSI target: its sessions, its logical units, and the one place where the transport's tasks reach devices.
 */
export class IscsiTarget implements ScsiPort {
  readonly name: string
  readonly alias: string
  readonly units: ReadonlyMap<number, LogicalUnit>
  readonly #noUnit: LogicalUnit = new NoUnit()
  readonly #sessions = new Map<TargetSession, SessionEntry>()
  #lastTsih = 0

  constructor(options: TargetOptions) {
    this.name = options.name
    this.alias = options.alias ?? ''
    this.units = options.units
  }

  get sessions(): Iterable<TargetSession> {
    return this.#sessions.keys()
  }

  /** Makes a place for a new session, ending the one that it reinstates (RFC 7143 §6.3.1, §6.3.5). */
  establish(
    identity: LoginIdentity,
    session: TargetSession,
    portalGroupTag: number,
  ): SessionHome | LoginRefusal {
    const existing = this.#find(identity)
    if (identity.tsih !== 0) {
      if (existing?.tsih !== identity.tsih) {
        return refuse(LoginStatus.sessionDoesNotExist, `there is no session with TSIH ${identity.tsih}`)
      }
      return refuse(LoginStatus.tooManyConnections, 'the session has its one connection')
    }
    if (existing) {
      existing.close('reinstated')
      existing.connection.drop('the initiator logged in again: session reinstatement')
    }
    const tsih = this.#takeTsih()
    if (tsih === undefined) return refuse(LoginStatus.outOfResources, 'every TSIH is in use')
    const nexus: Nexus = {
      initiatorPortName: `${identity.initiatorName},i,0x${identity.isid}`,
      targetPortName: `${this.name},t,0x${portalGroupTag.toString(16).padStart(4, '0')}`,
      relativeTargetPortId: portalGroupTag,
      reportLuns: () => [...this.units.keys()].toSorted((a, b) => a - b),
    }
    this.#sessions.set(session, { session, nexus })
    if (identity.type === 'Normal') for (const unit of this.units.values()) unit.attachNexus(nexus)
    return { ok: true, tsih, nexus, port: this }
  }

  closed(session: TargetSession, closure: SessionClosure): void {
    const entry = this.#sessions.get(session)
    if (!entry) return
    this.#sessions.delete(session)
    const loss: NexusLoss = closure === 'logout' ? 'logout' : 'nexus-loss'
    for (const unit of this.units.values()) unit.detachNexus(entry.nexus, loss)
    this.#noUnit.detachNexus(entry.nexus, loss)
  }

  // ScsiPort

  submit(task: ScsiTask): void {
    this.#unit(task.lun).submit(task)
  }

  resume(task: ScsiTask): void {
    this.#unit(task.lun).resume(task)
  }

  abort(task: ScsiTask): void {
    this.#unit(task.lun).abort(task)
  }

  manage(
    session: TargetSession,
    taskManagementFunction: number,
    lun: number,
    done: (response: number) => void,
  ): void {
    const complete = (): void => done(TaskManagementResponseCode.functionComplete)
    const unit = this.units.get(lun)
    switch (taskManagementFunction) {
      case TaskManagementFunction.targetWarmReset:
        this.#resetAll(complete)
        return
      case TaskManagementFunction.targetColdReset:
        this.#resetAll(() => {
          complete()
          for (const other of [...this.sessions]) other.connection.closeAfterSending('TARGET COLD RESET')
        })
        return
      case TaskManagementFunction.logicalUnitReset:
        if (unit) unit.reset(complete)
        else done(TaskManagementResponseCode.lunDoesNotExist)
        return
      default: {
        const everyNexus = taskManagementFunction === TaskManagementFunction.clearTaskSet
        if (unit) unit.abortTaskSet(session.home.nexus, everyNexus, complete)
        else done(TaskManagementResponseCode.lunDoesNotExist)
      }
    }
  }

  #resetAll(done: () => void): void {
    let left = this.units.size
    if (left === 0) done()
    for (const unit of this.units.values()) {
      unit.reset(() => {
        left--
        if (left === 0) done()
      })
    }
  }

  #unit(lun: number): LogicalUnit {
    return this.units.get(lun) ?? this.#noUnit
  }

  /** The session of the same initiator port (the ISID rule, RFC 7143 §4.4.3). */
  #find(identity: LoginIdentity): TargetSession | undefined {
    for (const session of this.#sessions.keys()) {
      const other = session.identity
      if (other.initiatorName === identity.initiatorName && other.isid === identity.isid) return session
    }
    return undefined
  }

  #takeTsih(): number | undefined {
    const used = new Set<number>()
    for (const session of this.#sessions.keys()) used.add(session.tsih)
    for (let tries = 0; tries < LARGEST_TSIH; tries++) {
      this.#lastTsih = (this.#lastTsih % LARGEST_TSIH) + 1
      if (!used.has(this.#lastTsih)) return this.#lastTsih
    }
    return undefined
  }
}
