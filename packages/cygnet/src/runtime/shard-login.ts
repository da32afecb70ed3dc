import type { Socket } from 'node:net'
import { LoginStatus } from '../pdu/login-status.ts'
import {
  type LoginAdmission,
  type LoginIdentity,
  type LoginRefusal,
  refuse,
  type TargetHost,
} from '../session/target-role/target-host.ts'

/** A connection whose login has named a target that another process serves: all that this one needs to go on. */
export interface HandedConnection {
  /** Paused. */
  readonly socket: Socket
  /** What it logs in to. */
  readonly targetName: string
  /** `address:port` of the initiator's end; the socket itself may be one end of a relay. */
  readonly peerAddress: string
  /** `address:port` of our end. */
  readonly localAddress: string
  /** Everything that was received: whoever takes the connection begins anew with it. */
  readonly received: Uint8Array
  /** Bytes of the answers to it that were sent: whoever takes the connection makes the same ones, and skips them. */
  readonly answeredBytes: number
  /** Milliseconds since it was accepted. */
  readonly ageMs: number
}

/** What takes connections over. */
export interface Handover {
  newRoute(host: TargetHost): LoginRoute
  take(handed: HandedConnection): void
}

/** Headers around the text of a first request that was cut into pieces (C bit). */
const HEADERS_BYTES = 64 * 1024

const NOTHING = new Uint8Array()

/** What the engine makes of a login for elsewhere; the connection is handed over before it can be sent. */
const NEVER_SENT = refuse(LoginStatus.serviceUnavailable, 'handed over')

/** Whether a target is served elsewhere; a refusal where it cannot be served just now. */
export type IsElsewhere = (targetName: string) => boolean | LoginRefusal

/**
 * Where a login goes. The protocol engine reads it, as always; between its first whole request and the answer it asks
 * its host for admission, and that is where a connection for another process is found out. It then takes the bytes so
 * far with it, and nothing that the engine made of them.
 */
export class LoginRoute {
  /** The host of the connection's engine. */
  readonly host: TargetHost
  readonly #inner: TargetHost
  readonly #isElsewhere: IsElsewhere
  readonly #mostBytes: number
  /** Grows by doubling: a peer that sends byte by byte costs no more than another. */
  #received: Uint8Array = NOTHING
  #receivedBytes = 0
  #isSettled = false
  #targetName: string | undefined

  /** `textBytes`: what a login may send at most. */
  constructor(host: TargetHost, isElsewhere: IsElsewhere, textBytes: number) {
    this.#mostBytes = textBytes + HEADERS_BYTES
    this.#inner = host
    this.#isElsewhere = isElsewhere
    this.host = {
      admit: (identity) => this.#admit(identity),
      establish: (identity, session) => host.establish(identity, session),
      join: (identity) => host.join(identity),
      authenticationFailed: (peerAddress) => host.authenticationFailed(peerAddress),
      sendTargets: (session, value) => host.sendTargets(session, value),
      sessionClosed: (session, closure) => host.sessionClosed(session, closure),
    }
  }

  /** The target that the connection is to be handed over for. */
  get elsewhere(): string | undefined {
    return this.#targetName
  }

  get received(): Uint8Array {
    return this.#received.subarray(0, this.#receivedBytes)
  }

  /**
   * Bytes that go to the engine next, or, once the login is for elsewhere, there. False: there are too many for a login
   * that names its target.
   */
  record(bytes: Uint8Array): boolean {
    if (this.#isSettled && this.#targetName === undefined) return true
    const start = this.#receivedBytes
    const end = start + bytes.length
    if (!this.#isSettled && end > this.#mostBytes) return false
    if (end > this.#received.length) {
      const larger = new Uint8Array(Math.max(end, this.#received.length * 2))
      larger.set(this.#received)
      this.#received = larger
    }
    this.#received.set(bytes, start)
    this.#receivedBytes = end
    return true
  }

  #admit(identity: LoginIdentity): LoginAdmission | LoginRefusal {
    const admission = this.#inner.admit(identity)
    const elsewhere = admission.ok && this.#isElsewhere(identity.targetName)
    this.#isSettled = true
    if (elsewhere === true) {
      this.#targetName = identity.targetName
      return NEVER_SENT
    }
    this.#received = NOTHING
    this.#receivedBytes = 0
    return elsewhere === false ? admission : elsewhere
  }
}

/** Takes up to so many bytes from the front of a list of chunks; how many are still to be taken. */
export function withoutFirst(chunks: Uint8Array[], lengthBytes: number): number {
  let left = lengthBytes
  for (let first = chunks[0]; left > 0 && first !== undefined; first = chunks[0]) {
    if (first.length > left) {
      chunks[0] = first.subarray(left)
      return 0
    }
    left -= first.length
    chunks.shift()
  }
  return left
}
