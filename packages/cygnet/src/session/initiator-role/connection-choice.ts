import type { InitiatorConnection } from './initiator-connection.ts'
import type { Spread } from './initiator-policy.ts'

/** Which connection the next command goes to. */
export class ConnectionChoice {
  readonly #spread: Spread
  #last = -1

  constructor(spread: Spread) {
    this.#spread = spread
  }

  /** One of those that `mayTake` commands; undefined where none may. */
  choose(
    connections: readonly InitiatorConnection[],
    mayTake: (connection: InitiatorConnection) => boolean,
  ): InitiatorConnection | undefined {
    return this.#spread === 'round-robin'
      ? this.#next(connections, mayTake)
      : leastLoaded(connections, mayTake)
  }

  #next(
    connections: readonly InitiatorConnection[],
    mayTake: (connection: InitiatorConnection) => boolean,
  ): InitiatorConnection | undefined {
    for (let i = 1; i <= connections.length; i++) {
      const index = (this.#last + i) % connections.length
      const connection = connections[index]
      if (connection === undefined || !mayTake(connection)) continue
      this.#last = index
      return connection
    }
    return undefined
  }
}

function leastLoaded(
  connections: readonly InitiatorConnection[],
  mayTake: (connection: InitiatorConnection) => boolean,
): InitiatorConnection | undefined {
  let best: InitiatorConnection | undefined
  for (const connection of connections) {
    if (!mayTake(connection)) continue
    if (best === undefined || connection.outstandingBytes < best.outstandingBytes) best = connection
  }
  return best
}
