/** A connection, as the limits see it. */
export interface LimitedConnection {
  /** IP address of the peer. */
  readonly address: string
  readonly isLoggingIn: boolean
  /** Ends it now. */
  evict(reason: string): void
}

export interface ConnectionLimitValues {
  /** Connections in all. */
  readonly connections: number
  readonly connectionsPerAddress: number
  /** Connections that are logging in at the same time. */
  readonly loginsAtOnce: number
}

export const defaultConnectionLimits: ConnectionLimitValues = {
  connections: 1024,
  connectionsPerAddress: 256,
  loginsAtOnce: 64,
}

/**
 * Bounds what peers can hold by connecting: shared by all portals. A connection too many is refused; a login too many
 * takes the place of the one that has been at it for longest, so that silent connections keep nobody out.
 */
export class ConnectionLimits {
  readonly #limits: ConnectionLimitValues
  /** In order of arrival. */
  readonly #connections = new Set<LimitedConnection>()

  constructor(limits: ConnectionLimitValues = defaultConnectionLimits) {
    this.#limits = limits
  }

  /** Why a connection from this address is refused; undefined: it may come, once `add` has been called with it. */
  refusal(address: string): string | undefined {
    const { connections, connectionsPerAddress } = this.#limits
    const open = [...this.#connections]
    // Those that are logging in can make room; sessions cannot.
    if (open.length >= connections && !open.some((connection) => connection.isLoggingIn)) {
      return `there are ${connections} connections already`
    }
    if (open.filter((connection) => connection.address === address).length >= connectionsPerAddress) {
      return `there are ${connectionsPerAddress} connections from ${address} already`
    }
    return undefined
  }

  add(connection: LimitedConnection): void {
    this.#connections.add(connection)
    const { connections, loginsAtOnce } = this.#limits
    const loggingIn = [...this.#connections].filter((other) => other.isLoggingIn)
    const isTooMany = loggingIn.length > loginsAtOnce || this.#connections.size > connections
    if (isTooMany) loggingIn[0]?.evict('too many logins at once: it was at it for longest')
  }

  remove(connection: LimitedConnection): void {
    this.#connections.delete(connection)
  }
}
