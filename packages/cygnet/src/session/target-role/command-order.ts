import { serialLess } from '../../base/serial32.ts'
import { CommandWindow } from './command-window.ts'
import type { SessionConnection } from './session-connections.ts'

/** A request in the command window. */
export interface Deliverable {
  readonly connection: SessionConnection
  /** Its turn has come. */
  deliver(): void
}

/**
 * The order of a session's requests, over all of its connections (RFC 7143 §4.2.2.1). What its connection had sent when
 * it was lost, and had not had its turn, is forgotten: it is not acknowledged, and the initiator sends it again (§11.14).
 */
export class CommandOrder {
  readonly window: CommandWindow<Deliverable>
  readonly #waitersLimit: number
  /** Immediate requests that wait for commands with lower CmdSNs. */
  #waiters: {
    readonly connection: SessionConnection
    readonly cmdSN: number
    readonly run: () => void
  }[] = []

  constructor(initialCmdSN: number, depth: number, waitersLimit: number) {
    this.window = new CommandWindow(initialCmdSN, depth)
    this.#waitersLimit = waitersLimit
  }

  /** Puts a request other than a SCSI command in its place. */
  inOrder(connection: SessionConnection, immediate: boolean, cmdSN: number, run: () => void): void {
    if (immediate) {
      run()
      return
    }
    const { window } = this
    const request: Deliverable = {
      connection,
      deliver: () => {
        window.complete()
        run()
      },
    }
    if (window.accept(cmdSN, request)) this.deliverReady()
  }

  deliverReady(): void {
    for (;;) {
      if (this.#waiters.length > 0) this.#runWaiters()
      const next = this.window.next()
      if (next === undefined) return
      next.deliver()
    }
  }

  /**
   * Runs when every command before `cmdSN` has been received (§4.2.3.3 b). False where too many requests wait for that
   * already.
   */
  afterCommands(connection: SessionConnection, cmdSN: number, run: () => void): boolean {
    if (!serialLess(this.window.expCmdSN, cmdSN)) run()
    else if (this.#waiters.length < this.#waitersLimit) this.#waiters.push({ connection, cmdSN, run })
    else return false
    return true
  }

  /** Forgets what came over a connection and has not had its turn. */
  discard(connection: SessionConnection): Deliverable[] {
    this.#waiters = this.#waiters.filter((waiter) => waiter.connection !== connection)
    return this.window.discard((request) => request.connection === connection)
  }

  discardAll(): void {
    this.#waiters = []
    this.window.takeHeld()
  }

  #runWaiters(): void {
    const { expCmdSN } = this.window
    const ready = this.#waiters.filter(({ cmdSN }) => !serialLess(expCmdSN, cmdSN))
    this.#waiters = this.#waiters.filter((waiter) => !ready.includes(waiter))
    for (const { run } of ready) run()
  }
}
