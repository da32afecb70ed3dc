/**
 * The main module of a shard's process: serves some of a server's targets, on connections that the listening process
 * has accepted. It does what it is told, and ends with the process that started it.
 */
import type { Socket } from 'node:net'
import { pino } from 'pino'
import { CygnetError } from '../base/errors.ts'
import type { TcpServer } from '../runtime/tcp-server.ts'
import { Secrets } from './config/secrets.ts'
import type { DesiredState } from './config/state.ts'
import { drain } from './drain.ts'
import { newPortal, type PortalSurroundings } from './portals.ts'
import { openServing, type Serving } from './serving.ts'
import { ShardConnections } from './shard-connections.ts'
import type { FromShard, ToShard } from './shard-messages.ts'
import { ShardNode } from './shard-node.ts'
import type { ServedTarget } from './server.ts'
import type { OpenTarget } from './targets.ts'

function tell(message: FromShard): void {
  if (process.connected) process.send?.(message)
}

/** The last message has left before the process ends. */
function endAfter(message: FromShard, exitCode: number): void {
  process.send?.(message, () => process.exit(exitCode))
}

class Shard {
  readonly #state: DesiredState
  readonly #serving: Serving
  readonly #node: ShardNode
  readonly #connections: ShardConnections
  #portals: readonly TcpServer[] = []

  private constructor(state: DesiredState, serving: Serving, node: ShardNode, connections: ShardConnections) {
    this.#state = state
    this.#serving = serving
    this.#node = node
    this.#connections = connections
  }

  static async open({ state, secrets, logLevel, shards }: ToShard & { kind: 'start' }): Promise<Shard> {
    const log = pino(
      { level: logLevel, base: null, formatters: { level: (label) => ({ level: label }) } },
      { write: (line: string) => tell({ kind: 'log', line }) },
    )
    const connections = new ShardConnections(tell)
    let node: ShardNode | undefined
    const serving = await openServing({
      state,
      secrets: Secrets.from(secrets),
      log,
      connectionLimits: connections,
      shards,
      newNode: (options) =>
        (node = new ShardNode(options, (address) => tell({ kind: 'authentication-failed', address }))),
    })
    if (!node) throw new Error('a shard opened without a node')
    return new Shard(state, serving, node, connections)
  }

  get targets(): readonly ServedTarget[] {
    return this.#serving.targets.map(withoutStores)
  }

  handle(message: ToShard, socket: Socket | undefined): void {
    switch (message.kind) {
      case 'start':
        throw new Error('a shard starts once')
      case 'endpoints':
        this.#portals = this.#state.portals.map((portal, index) => {
          const acceptor = { endpoint: message.endpoints[index] ?? '' }
          return newPortal(portal, this.#surroundings(), { acceptor })
        })
        return
      case 'connection': {
        const { id, portal } = message
        const server = this.#portals[portal]
        // It may be gone by now.
        if (!socket || !server) tell({ kind: 'closed', id })
        else this.#connections.name(server.adopt({ ...message, socket }), id)
        return
      }
      case 'evict':
        this.#connections.evict(message.id, message.reason)
        return
      case 'authentication-failed':
        this.#node.failedElsewhere(message.address)
        return
      case 'ask':
        void this.#answer(message)
        return
      case 'stop':
        void this.#stop()
    }
  }

  /** The log, and the listening process, hear of logins. */
  #surroundings(): PortalSurroundings {
    const { connectionLog } = this.#serving.surroundings
    return {
      ...this.#serving.surroundings,
      connectionLog: {
        record: (peer, event) => {
          connectionLog.record(peer, event)
          if (event.kind === 'logged-in') this.#connections.look()
        },
        recordTls: (peer, event) => connectionLog.recordTls(peer, event),
      },
    }
  }

  async #answer(message: ToShard & { kind: 'ask' }): Promise<void> {
    const { id } = message
    if (message.question === 'counters') {
      tell({ kind: 'answer', id, counters: this.#serving.surroundings.counters })
      return
    }
    const { wanted } = message
    await this.#serving.reload(wanted && { ...wanted, secrets: Secrets.from(wanted.secrets) })
    tell({ kind: 'answer', id, targets: this.#serving.targets.map(({ state }) => state) })
  }

  async #stop(): Promise<void> {
    await drain(this.#portals)
    this.#serving.endSessions()
    for (const portal of this.#portals) portal.destroyConnections()
    try {
      await this.#serving.close()
      endAfter({ kind: 'stopped' }, 0)
    } catch (error) {
      fail(error)
    }
  }
}

/** What can be sent to another process. */
const withoutStores = ({ state, disks }: OpenTarget): ServedTarget => ({
  state,
  disks: disks.map(({ store: _store, ...disk }) => disk),
})

/** What is to be told to the user is told by the listening process; anything else is a bug, and ends as one. */
function fail(error: unknown): void {
  if (!(error instanceof CygnetError)) throw error
  endAfter({ kind: 'failed', code: error.code, message: error.message }, 1)
}

let shard: Shard | undefined

function receive(message: ToShard, socket: Socket | undefined): void {
  if (message.kind === 'start') void start(message)
  else if (shard) shard.handle(message, socket)
  // Nothing was served yet.
  else if (message.kind === 'stop') endAfter({ kind: 'stopped' }, 0)
}

async function start(message: ToShard & { kind: 'start' }): Promise<void> {
  try {
    shard = await Shard.open(message)
    tell({ kind: 'ready', targets: shard.targets })
  } catch (error) {
    fail(error)
  }
}

// A terminal's Ctrl-C and a service manager's signals come here, too: the listening process says what follows from them.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => undefined)
// Who closes the pipe behind the log does not end the service.
process.stderr.on('error', () => undefined)
// Without the listening process, nobody could log in, and its successor needs the images.
process.on('disconnect', () => process.exit(1))
process.on('message', receive)
