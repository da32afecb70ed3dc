import { AssertionError } from '../base/assert.ts'
import { LoginStatus } from '../pdu/login-status.ts'
import type { Nexus } from '../scsi/task.ts'
import type { LoginIdentity, LoginRefusal, SessionHome } from '../session/target-role/target-host.ts'
import { refuse } from '../session/target-role/target-host.ts'
import type { TargetSession } from '../session/target-role/target-session.ts'

const noScsi = (): never => {
  throw new AssertionError('a SCSI request in a discovery session')
}
/** A discovery session has no SCSI side: its full feature phase takes no SCSI requests. */
const noPort: SessionHome['port'] = {
  submit: noScsi,
  resume: noScsi,
  abort: noScsi,
  tasksCleared: noScsi,
  manage: noScsi,
}

/** Discovery sessions that name no target: unique by initiator port and portal (RFC 7143 §7.4.2.1). */
export class DiscoverySessions implements Iterable<TargetSession> {
  readonly #sessions = new Set<TargetSession>()
  #lastTsih = 0

  establish(identity: LoginIdentity, session: TargetSession, group: number): SessionHome | LoginRefusal {
    if (identity.tsih !== 0) {
      return refuse(LoginStatus.sessionDoesNotExist, 'a discovery session has one connection')
    }
    for (const other of [...this.#sessions]) {
      const { initiatorName, isid, localAddress } = other.identity
      if (initiatorName !== identity.initiatorName || isid !== identity.isid) continue
      if (localAddress !== identity.localAddress) continue
      other.end('reinstated', 'the initiator logged in again: session reinstatement')
    }
    this.#sessions.add(session)
    this.#lastTsih = (this.#lastTsih % 0xffff) + 1
    const nexus: Nexus = {
      initiatorPortName: `${identity.initiatorName},i,0x${identity.isid}`,
      targetPortName: '',
      relativeTargetPortId: group,
      readOnly: true,
      reportLuns: () => [],
    }
    return { ok: true, tsih: this.#lastTsih, nexus, port: noPort }
  }

  [Symbol.iterator](): Iterator<TargetSession> {
    return this.#sessions[Symbol.iterator]()
  }

  closed(session: TargetSession): void {
    this.#sessions.delete(session)
  }
}
