/** A connection, as the limits see it. */
export interface LimitedConnection {
  /** IP address of the peer. */
  readonly address: string
  readonly isLoggingIn: boolean
  /** A discovery session: it need not have proven anything, and takes no harm from its end. */
  readonly isDiscovery: boolean
  /** Ends it now. */
  evict(reason: string): void
}

/** Knows of every connection, and decides whether one more may come. */
export interface ConnectionRegister {
  /** Why a connection from this address is refused; undefined: it may come, once `add` has been called with it. */
  refusal(address: string): string | undefined
  add(connection: LimitedConnection): void
  remove(connection: LimitedConnection): void
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
 * takes the place of the one that has been at it for longest, and where all places are taken, a login or a discovery
 * session makes room: neither silent connections nor discovery keep anybody out.
 */
export class ConnectionLimits implements ConnectionRegister {
  readonly #limits: ConnectionLimitValues
  /** In order of arrival. */
  readonly #connections = new Set<LimitedConnection>()

  constructor(limits: ConnectionLimitValues = defaultConnectionLimits) {
    this.#limits = limits
  }

  refusal(address: string): string | undefined {
    const { connections, connectionsPerAddress } = this.#limits
    const open = [...this.#connections]
    const canMakeRoom = open.some(({ isLoggingIn, isDiscovery }) => isLoggingIn || isDiscovery)
    if (open.length >= connections && !canMakeRoom) {
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
    const open = [...this.#connections]
    const loggingIn = open.filter((other) => other.isLoggingIn)
    if (loggingIn.length > loginsAtOnce) {
      loggingIn[0]?.evict('too many logins at once: it was at it for longest')
    } else if (open.length > connections) {
      const oldest = open.find(({ isDiscovery }) => isDiscovery) ?? loggingIn[0]
      oldest?.evict('too many connections: it made room for another')
    }
  }

  remove(connection: LimitedConnection): void {
    this.#connections.delete(connection)
  }
}
