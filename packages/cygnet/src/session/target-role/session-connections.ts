import type { Instant } from '../../base/clock.ts'
import { AsyncEvent, LogoutReason, LogoutResponseCode } from '../../pdu/codes.ts'
import type { IscsiTask } from './iscsi-task.ts'
import type { SessionParameters } from '../parameters.ts'
import type { RecoveryCounters } from '../recovery-counters.ts'
import { StateMachine } from '../states/state-machine.ts'
import {
  type TargetSessionEvent,
  type TargetSessionState,
  targetSessionTransitions,
} from '../states/target-session-states.ts'
import type { SessionClosure } from './target-host.ts'
import type { Response, Outgoing } from '../transmit.ts'

/** An asynchronous message (§11.9). */
export interface AsyncNotice {
  /** `AsyncEvent`. */
  readonly asyncEvent: number
  readonly lun?: bigint
  readonly parameter1?: number
  readonly parameter2?: number
  readonly parameter3?: number
  readonly data?: Uint8Array
}

/** How a connection ends otherwise than by its own loss or logout; events of its state machine. */
export type Departure = 'reinstated' | 'logoutSucceeded' | 'sessionClosed'

/** A connection in the full feature phase, as its session and its tasks drive it. */
export interface SessionConnection {
  /** Unique in the session. */
  readonly cid: number
  readonly now: Instant
  /** Digests of outgoing PDUs. */
  readonly headerDigest: boolean
  readonly dataDigest: boolean
  /** The initiator's MaxRecvDataSegmentLength. */
  readonly sendSegmentBytes: number
  readonly maxBurstLength: number
  readonly expCmdSN: number
  readonly maxCmdSN: number
  /** The next StatSN, not advanced. */
  readonly statSN: number
  /** ErrorRecoveryLevel 1 or 2: what was sent may be asked for again. */
  readonly isRecoverable: boolean
  /** Lost, and nobody has logged it out yet. */
  readonly isWaitingForCleanup: boolean
  send(item: Outgoing): void
  /** The StatSN for a response that is leaving. */
  takeStatSN(response: Response): number
  /** A tag that no other transfer of the connection has. */
  takeTransferTag(): number
  /** A target transfer tag that DataACKs of the task will carry. */
  takeDataAckTag(task: IscsiTask): number
  /** No DataACK with the tag is expected any more. */
  forgetDataAckTag(targetTransferTag: number): void
  /** The initiator has everything before `expStatSN`. */
  acknowledge(expStatSN: number): void
  hasAcknowledged(statSN: number): boolean
  /** Asks with a NOP-In for an acknowledgment of all before it; `sent` runs when that leaves. */
  solicitAcknowledgment(sent: () => void): void
  /** `sent` runs when the message has left. */
  sendAsync(notice: AsyncNotice, sent?: () => void): void
  /** MaxCmdSN changed, and no response is made for it. */
  announceWindow(): void
  /** Data that R2Ts have asked for is owed: watches that it comes. */
  watchSequences(): void
  /** Bounds the wait for the data of aborted tasks. */
  startDrainTimer(): void
  /** Ends the connection without a word; for its session it is lost. */
  drop(reason: string): void
  /** It is no longer in the session: ends the TCP connection without a word. */
  depart(how: Departure, reason: string): void
  /** The session has ended: sends what is queued, then closes. */
  closeAfterSending(reason?: string): void
  /** Asks the initiator to log out (§11.9.1, event 1) within `seconds`. */
  requestLogout(seconds: number, now: Instant): void
  /** It will send nothing more on behalf of tasks. */
  withdrawTasks(): void
  /** The cleanup of a lost connection (§8.2) has come to an end. */
  cleanedUp(how: Departure | 'timedOut'): void
  /** Its deadline may have changed. */
  wake(): void
}

/** What the connections need of their session. */
export interface ConnectionsOwner {
  readonly parameters: SessionParameters
  readonly counters: RecoveryCounters
  /** Its requests that had no turn are forgotten; its tasks end, or wait for a reassignment. */
  connectionGone(connection: SessionConnection, keepsTasks: boolean): void
  /** Ends the tasks of a connection that is gone; how many there were. */
  terminateTasksOf(connection: SessionConnection): number
  /** Commands wait for others that a lost connection may have taken with it. */
  readonly hasGap: boolean
  /** The number of the first that is missing. */
  readonly expCmdSN: number
  /** Those were not sent again: there is nothing left but session recovery. */
  gapTimedOut(): void
  /** No connection is left, nor anything to wait for. */
  close(closure: SessionClosure): void
}

/** Beyond it, the oldest one's tasks end before their time: whoever loses so many connections must not fill our memory. */
const LOST_CONNECTIONS_KEPT = 64

/**
 * The connections of a session at the target: those in the full feature phase, and those that are gone and leave
 * something behind for Time2Wait and Time2Retain: tasks that may be reassigned, or a place that may be reinstated (RFC 7143
 * §6.3.4, §6.3.6, §8.2, §8.3.2).
 *
 * At ErrorRecoveryLevel 0 a session ends with its last connection: its tasks end with the connection then, and there is
 * nothing that it could be continued for.
 */
export class SessionConnections {
  readonly #owner: ConnectionsOwner
  readonly #live = new Map<number, SessionConnection>()
  /** Gone, with the time until which their tasks or their places are kept. */
  readonly #waiting = new Map<SessionConnection, Instant>()
  readonly #gapTimeoutMs: number
  /** When a gap in CmdSN that a lost connection may have left has to be filled, and where it is. */
  #gap: { readonly deadline: Instant; readonly expCmdSN: number } | undefined
  readonly #machine = new StateMachine<TargetSessionState, TargetSessionEvent>(
    targetSessionTransitions,
    'FREE',
  )

  /** `gapTimeoutMs`: the least time for commands that a lost connection has taken with it to be sent again. */
  constructor(owner: ConnectionsOwner, gapTimeoutMs: number) {
    this.#owner = owner
    this.#gapTimeoutMs = gapTimeoutMs
    this.#machine.on('loginReceived')
  }

  get state(): TargetSessionState {
    return this.#machine.state
  }

  get live(): ReadonlyMap<number, SessionConnection> {
    return this.#live
  }

  /** Any one that lives. */
  get any(): SessionConnection | undefined {
    for (const connection of this.#live.values()) return connection
    return undefined
  }

  /** Whether one more fits, besides one of the same CID. */
  hasRoomFor(cid: number): boolean {
    const others = this.#live.size - (this.#live.has(cid) ? 1 : 0)
    return others < this.#owner.parameters.maxConnections
  }

  /** The leading connection's login failed at its end: there is no session. */
  loginFailed(): void {
    this.#machine.on('loginFailed')
  }

  /** A login has succeeded. One with the CID of a connection takes that one's place (§6.3.4). */
  add(connection: SessionConnection, oldExpStatSN: number): void {
    if (this.#machine.state === 'ACTIVE') this.#machine.on('loginSucceeded')
    else {
      this.#reinstate(connection, oldExpStatSN)
      if (this.#machine.state === 'FAILED') {
        this.#machine.on('continuationBegun')
        this.#machine.on('continued')
        this.#owner.counters.sessionContinuation++
      }
    }
    this.#live.set(connection.cid, connection)
  }

  /** An implicit logout: with reason 2 at ErrorRecoveryLevel 2, with reason 1 below (§11.14). */
  #reinstate({ cid, now }: SessionConnection, expStatSN: number): void {
    const old = this.#live.get(cid)
    if (old) {
      this.#owner.counters.connectionReinstatement++
      old.acknowledge(expStatSN)
      this.#leave(old, this.#keepsTasks, 'reinstated', now)
      return
    }
    const lost = this.#findWaiting(cid)
    if (!lost) return
    this.#owner.counters.connectionReinstatement++
    lost.acknowledge(expStatSN)
    this.#cleanUp(lost, this.#keepsTasks, 'reinstated', now)
  }

  get #keepsTasks(): boolean {
    return this.#owner.parameters.errorRecoveryLevel === 2
  }

  /**
   * What comes back before Time2Wait is over is served: "Recovery attempts … SHOULD NOT be made before" (§7.5) binds the
   * initiator, and it may know that its path works again.
   */
  get #retainMs(): number {
    const { defaultTime2Wait, defaultTime2Retain } = this.#owner.parameters
    // §13.16: "A value of 0 indicates that connection/task state is immediately discarded".
    return defaultTime2Retain === 0 ? 0 : (defaultTime2Wait + defaultTime2Retain) * 1000
  }

  #findWaiting(cid: number): SessionConnection | undefined {
    for (const lost of this.#waiting.keys()) if (lost.cid === cid && lost.isWaitingForCleanup) return lost
    return undefined
  }

  /** A live connection goes without having been lost. */
  #leave(connection: SessionConnection, keepsTasks: boolean, how: Departure, now: Instant): void {
    this.#live.delete(connection.cid)
    this.#owner.connectionGone(connection, keepsTasks)
    if (keepsTasks) this.#keep(connection, now)
    connection.depart(
      how,
      how === 'reinstated' ? 'the initiator logged in again: connection reinstatement' : 'logged out',
    )
  }

  /** Its tasks may be reassigned from now on. */
  #keep(connection: SessionConnection, now: Instant): void {
    this.#owner.counters.connectionRecovery++
    this.#wait(connection, now)
  }

  #wait(connection: SessionConnection, now: Instant): void {
    this.#waiting.set(connection, now + this.#retainMs)
    const [oldest] = this.#waiting.keys()
    if (oldest && this.#waiting.size > LOST_CONNECTIONS_KEPT) this.#giveUp(oldest)
    connection.wake()
    for (const live of this.#live.values()) live.wake()
  }

  /** The cleanup of a connection that was lost. */
  #cleanUp(lost: SessionConnection, keepsTasks: boolean, how: Departure, now: Instant): void {
    lost.cleanedUp(how)
    if (keepsTasks) {
      this.#keep(lost, now)
      return
    }
    this.#waiting.delete(lost)
    this.#owner.terminateTasksOf(lost)
  }

  /** Gone without a logout (§7.14). */
  lost(connection: SessionConnection): void {
    if (this.#live.get(connection.cid) !== connection) return
    const { counters, parameters } = this.#owner
    this.#live.delete(connection.cid)
    counters.connectionLost++
    this.#owner.connectionGone(connection, this.#keepsTasks)
    // What waited for the end of its tasks may have closed the session.
    if (this.#machine.state === 'FREE') return
    if (this.#live.size === 0 && parameters.errorRecoveryLevel === 0) {
      this.#owner.close('connection-lost')
      return
    }
    const { now } = connection
    this.#wait(connection, now)
    const deadline = now + Math.max(this.#retainMs, this.#gapTimeoutMs)
    this.#gap = { deadline, expCmdSN: this.#owner.expCmdSN }
    const other = this.any
    if (!other) {
      this.#machine.on('failed')
      return
    }
    other.sendAsync({
      asyncEvent: AsyncEvent.connectionDrop,
      parameter1: connection.cid,
      parameter2: parameters.defaultTime2Wait,
      // Without a reassignment its tasks have ended already.
      parameter3: this.#keepsTasks ? parameters.defaultTime2Retain : 0,
    })
  }

  /**
   * A Logout for one connection (§11.14), which may be the one that it came over (`from`): that one is to send its
   * response and close.
   */
  logOut(reason: number, cid: number, from: SessionConnection, expStatSN: number): number {
    const isForRecovery = reason === LogoutReason.removeConnectionForRecovery
    if (isForRecovery && !this.#keepsTasks) return LogoutResponseCode.recoveryNotSupported
    const live = this.#live.get(cid)
    if (live === from) {
      live.acknowledge(expStatSN)
      this.#live.delete(cid)
      this.#owner.connectionGone(live, isForRecovery)
      if (isForRecovery) this.#keep(live, from.now)
    } else if (live) {
      live.acknowledge(expStatSN)
      this.#leave(live, isForRecovery, 'logoutSucceeded', from.now)
    } else {
      const lost = this.#findWaiting(cid)
      if (!lost) return LogoutResponseCode.cidNotFound
      lost.acknowledge(expStatSN)
      this.#cleanUp(lost, isForRecovery, 'logoutSucceeded', from.now)
    }
    this.#checkEnd('logout')
    return LogoutResponseCode.closed
  }

  /** When something here is due that `connection`, one of this session, is to wait for. */
  deadlineFor(connection: SessionConnection): Instant | undefined {
    if (this.#waiting.size === 0 && !this.#gap) return undefined
    if (this.#live.get(connection.cid) !== connection && !this.#waiting.has(connection)) return undefined
    let earliest = this.#gap?.deadline ?? Infinity
    for (const deadline of this.#waiting.values()) earliest = Math.min(earliest, deadline)
    return earliest
  }

  expire(now: Instant): void {
    for (const [connection, deadline] of [...this.#waiting]) if (deadline <= now) this.#timedOut(connection)
    const gap = this.#gap
    if (!gap || gap.deadline > now) return
    this.#gap = undefined
    if (this.#live.size > 0 && this.#owner.hasGap && this.#owner.expCmdSN === gap.expCmdSN) {
      this.#owner.gapTimedOut()
    }
  }

  /** Time2Wait and Time2Retain are over (§7.6 b and c). */
  #timedOut(connection: SessionConnection): void {
    this.#giveUp(connection)
    this.#checkEnd('connection-lost')
  }

  #giveUp(connection: SessionConnection): void {
    this.#waiting.delete(connection)
    connection.cleanedUp('timedOut')
    this.#owner.counters.time2RetainExpired += this.#owner.terminateTasksOf(connection)
  }

  /** Session closure, session failure or session timeout, where that was the last connection (§6.3.5, §6.3.6). */
  #checkEnd(closure: SessionClosure): void {
    if (this.#live.size > 0) return
    if (this.#waiting.size === 0) this.#owner.close(closure)
    else if (this.#machine.state === 'LOGGED_IN') this.#machine.on('failed')
  }

  /** The session ends. */
  end(closure: SessionClosure): readonly SessionConnection[] {
    const { state } = this.#machine
    if (closure === 'reinstated') this.#machine.on('reinstated')
    else {
      if (state === 'LOGGED_IN' && closure === 'connection-lost') this.#machine.on('failed')
      this.#machine.on(this.#machine.state === 'FAILED' ? 'timedOut' : 'closed')
    }
    const waiting = [...this.#waiting.keys()]
    this.#waiting.clear()
    this.#gap = undefined
    for (const connection of waiting) connection.cleanedUp('sessionClosed')
    const live = [...this.#live.values()]
    this.#live.clear()
    return live
  }
}
