import { type ChildProcess, fork } from 'node:child_process'
import type { Socket } from 'node:net'
import { extname } from 'node:path'
import { fileURLToPath } from 'node:url'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Level, Logger } from 'pino'
import { CygnetError } from '../base/errors.ts'
import { systemClock } from '../runtime/clock.ts'
import type { ServedTarget } from './server.ts'
import type { CounterValues } from './shard-counters.ts'
import type { Answer, FromShard, ToShard, WantedOfShard } from './shard-messages.ts'

/** The source where sources run, the compiled module in the published package. */
const MAIN = fileURLToPath(new URL(`./shard-main${extname(import.meta.url)}`, import.meta.url))

/** Wait before a shard that ended is started again; it doubles with each time that the new one does not last either. */
const FIRST_RESTART_MS = 100
const LONGEST_RESTART_MS = 10_000
/** A shard that served for so long was a good one. */
const GOOD_MS = 60_000

export interface ShardEvents {
  loggedIn(id: number, isDiscovery: boolean): void
  closed(id: number): void
  authenticationFailed(address: string): void
  /** The process is gone, and its connections with it. */
  lost(): void
}

/** A shard, as the listening process sees it: a child process that is started again when it ends by itself. */
export class ShardProcess {
  readonly number: number
  #start: ToShard & { kind: 'start' }
  readonly #log: Logger
  readonly #events: ShardEvents
  readonly #asked = new Map<number, (answer: Answer | undefined) => void>()
  /** Sockets that are not there yet, by connection, and would stay here if it ended. */
  readonly #leaving = new Map<number, Socket>()
  #child: ChildProcess | undefined
  #exited: Promise<void> = Promise.resolve()
  #endpoints: readonly string[] = []
  #isReady = false
  #isStopping = false
  #hasStopped = false
  /** Why the process could not start, or not stop well. */
  #failure: CygnetError | undefined
  #lastId = 0
  #restartMs = FIRST_RESTART_MS
  readonly #stopping = new AbortController()

  constructor(number: number, start: ToShard & { kind: 'start' }, log: Logger, events: ShardEvents) {
    this.number = number
    this.#start = start
    this.#log = log.child({ shard: number })
    this.#events = events
  }

  /** Takes connections. */
  get isReady(): boolean {
    return this.#isReady
  }

  /**
   * Starts it for the first time.
   * @throws {CygnetError} SHARD_FAILED, or what `openServing` throws there
   */
  start(): Promise<readonly ServedTarget[]> {
    return this.#run()
  }

  /** Where the portals listen: from now on it takes connections. */
  listening(endpoints: readonly string[]): void {
    this.#endpoints = endpoints
    this.#takeConnections()
  }

  /** Hands a connection over; `socket` is nobody's from then on. */
  give(message: ToShard & { kind: 'connection' }, socket: Socket): void {
    const child = this.#child
    if (!child?.connected) {
      socket.destroy()
      this.#events.closed(message.id)
      return
    }
    const { id } = message
    this.#leaving.set(id, socket)
    child.send(message, socket, (error) => {
      this.#leaving.delete(id)
      if (error) socket.destroy()
    })
  }

  /** Has a connection make room; one that is still waiting to go there, as the shard hangs, is closed here. */
  evict(id: number, reason: string): void {
    this.tell({ kind: 'evict', id, reason })
    const socket = this.#leaving.get(id)
    if (!socket) return
    socket.destroy()
    this.#events.closed(id)
  }

  tell(message: ToShard): void {
    if (this.#child?.connected) this.#child.send(message)
  }

  /** undefined where it ended instead, or is not there. */
  async counters(): Promise<CounterValues | undefined> {
    const answer = await this.#ask((id) => ({ kind: 'ask', id, question: 'counters' }))
    return answer?.counters
  }

  /** Has it make its targets what they are to be; where it ends instead, it does at its next start. */
  async reload(wanted: WantedOfShard | undefined): Promise<void> {
    const answer = await this.#ask((id) => ({ kind: 'ask', id, question: 'reload', wanted }))
    if (!wanted) return
    const { targets } = { ...wanted, ...answer }
    this.#start = { ...this.#start, state: { ...this.#start.state, targets }, secrets: wanted.secrets }
  }

  #ask(question: (id: number) => ToShard): Promise<Answer | undefined> {
    if (!this.#isReady) return Promise.resolve(undefined)
    const id = ++this.#lastId
    return new Promise((resolve) => {
      this.#asked.set(id, resolve)
      this.tell(question(id))
    })
  }

  /**
   * Has it stop as a server does, and waits for that.
   * @throws {CygnetError} FLUSH_FAILED, SHARD_FAILED
   */
  async stop(): Promise<void> {
    this.#isStopping = true
    this.#stopping.abort()
    const child = this.#child
    if (!child) return
    this.tell({ kind: 'stop' })
    await this.#exited
    if (this.#failure) throw this.#failure
    if (!this.#hasStopped)
      throw ended(this.number, 'while it was stopping: the last writes to its disks may be lost')
  }

  /** Starts the process; resolves with what it serves. */
  #run(): Promise<readonly ServedTarget[]> {
    const child = fork(MAIN, [], { serialization: 'advanced', stdio: ['ignore', 'ignore', 'inherit', 'ipc'] })
    const startedAt = systemClock.now()
    this.#child = child
    this.#failure = undefined
    return new Promise((resolve, reject) => {
      let hasServed = false
      child.on('message', (message: FromShard) => {
        if (message.kind === 'failed') this.#failure = new CygnetError(message.code, message.message)
        else if (message.kind === 'ready') {
          hasServed = true
          this.#log.info({ pid: child.pid }, 'shard started')
          resolve(message.targets)
        } else this.#receive(message)
      })
      // A channel that breaks under a message ends the process, and that is what counts.
      child.on('error', () => undefined)
      this.#exited = new Promise((exited) => {
        // Its last messages have been read by then.
        child.once('close', (code, signal) => {
          this.#child = undefined
          this.#lost()
          const how = signal ?? `exit code ${code}`
          reject(this.#failure ?? ended(this.number, `before it served (${how})`))
          exited()
          if (hasServed && !this.#isStopping) void this.#restart(how, systemClock.now() - startedAt)
        })
      })
      child.send(this.#start)
    })
  }

  #receive(message: Exclude<FromShard, { kind: 'ready' | 'failed' }>): void {
    switch (message.kind) {
      case 'log': {
        const { level, time: _time, msg, ...fields } = JSON.parse(message.line) as LogLine
        this.#log[level](fields, msg)
        return
      }
      case 'logged-in':
        this.#events.loggedIn(message.id, message.isDiscovery)
        return
      case 'closed':
        this.#events.closed(message.id)
        return
      case 'authentication-failed':
        this.#events.authenticationFailed(message.address)
        return
      case 'answer':
        this.#asked.get(message.id)?.(message)
        this.#asked.delete(message.id)
        return
      case 'stopped':
        this.#hasStopped = true
    }
  }

  #takeConnections(): void {
    this.tell({ kind: 'endpoints', endpoints: this.#endpoints })
    this.#isReady = true
  }

  #lost(): void {
    this.#isReady = false
    for (const answer of this.#asked.values()) answer(undefined)
    this.#asked.clear()
    for (const socket of this.#leaving.values()) socket.destroy()
    this.#leaving.clear()
    this.#events.lost()
  }

  /** Starts it again and again until it is there, or is not wanted any more. */
  async #restart(how: string, servedMs: number): Promise<void> {
    if (servedMs > GOOD_MS) this.#restartMs = FIRST_RESTART_MS
    this.#log.error({ how, restartMs: this.#restartMs }, 'shard ended: its targets are away until it is back')
    while (!this.#isStopping) {
      const { signal } = this.#stopping
      await sleep(this.#restartMs, undefined, { signal }).catch(() => undefined)
      if (this.#isStopping) return
      this.#restartMs = Math.min(LONGEST_RESTART_MS, this.#restartMs * 2)
      try {
        await this.#run()
        this.#takeConnections()
        return
      } catch (error) {
        this.#log.error({ err: error, restartMs: this.#restartMs }, 'shard not started')
      }
    }
  }
}

interface LogLine {
  readonly level: Level
  readonly time: number
  readonly msg?: string
  readonly [field: string]: unknown
}

const ended = (number: number, when: string): CygnetError =>
  new CygnetError('SHARD_FAILED', `Shard ${number} ended ${when}: see the log.`)
