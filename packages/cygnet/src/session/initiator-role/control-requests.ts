import type { InitiatorConnection } from './initiator-connection.ts'
import type { Closure } from './initiator-events.ts'
import type { PingDone, TextDone } from './initiator-session-options.ts'
import type { Pair } from '../negotiator.ts'

/** Pings and text requests of a session, by their tags. They do not outlive their connection. */
export class ControlRequests {
  readonly #requests = new Map<number, TextDone>()

  has(tag: number): boolean {
    return this.#requests.has(tag)
  }

  ping(connection: InitiatorConnection, data: Uint8Array | undefined, done: PingDone): void {
    this.#requests.set(connection.ping(data), (_pairs, failure) => done(failure))
  }

  text(connection: InitiatorConnection, pairs: readonly Pair[], done: TextDone): void {
    this.#requests.set(connection.text(pairs), done)
  }

  /** One has its answer, or fails. */
  ended(tag: number, pairs: readonly Pair[] | undefined, failure: Closure | undefined): void {
    const done = this.#requests.get(tag)
    this.#requests.delete(tag)
    done?.(pairs, failure)
  }

  failAll(failure: Closure): void {
    for (const tag of [...this.#requests.keys()]) this.ended(tag, undefined, failure)
  }
}
