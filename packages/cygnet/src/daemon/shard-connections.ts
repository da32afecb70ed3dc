import type { ConnectionRegister, LimitedConnection } from '../runtime/connection-limits.ts'
import type { FromShard } from './shard-messages.ts'

/**
 * The connections of a shard: told to the process that listens, whose limits are those of all shards together. Nothing is
 * refused here, as it has been let in there.
 */
export class ShardConnections implements ConnectionRegister {
  readonly #tell: (message: FromShard) => void
  readonly #ids = new Map<LimitedConnection, number>()
  /** Those that are logging in. */
  readonly #early = new Set<LimitedConnection>()

  constructor(tell: (message: FromShard) => void) {
    this.#tell = tell
  }

  refusal(): undefined {
    return undefined
  }

  add(connection: LimitedConnection): void {
    this.#early.add(connection)
  }

  /** What the listening process calls it; before anything is received on it. */
  name(connection: LimitedConnection, id: number): void {
    this.#ids.set(connection, id)
  }

  /** Some connection may have logged in. */
  look(): void {
    for (const connection of this.#early) {
      const id = this.#ids.get(connection)
      if (id === undefined || connection.isLoggingIn) continue
      this.#early.delete(connection)
      this.#tell({ kind: 'logged-in', id, isDiscovery: connection.isDiscovery })
    }
  }

  /** It makes room, unless it has logged in meanwhile. */
  evict(id: number, reason: string): void {
    for (const [connection, its] of this.#ids) {
      if (its === id && (connection.isLoggingIn || connection.isDiscovery)) connection.evict(reason)
    }
  }

  remove(connection: LimitedConnection): void {
    const id = this.#ids.get(connection)
    this.#ids.delete(connection)
    this.#early.delete(connection)
    if (id !== undefined) this.#tell({ kind: 'closed', id })
  }
}
