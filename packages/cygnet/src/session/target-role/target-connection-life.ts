import {
  type ConnectionCleanupEvent,
  type ConnectionCleanupState,
  connectionCleanupTransitions,
} from '../states/connection-cleanup-states.ts'
import { StateMachine } from '../states/state-machine.ts'
import {
  type TargetConnectionEvent,
  type TargetConnectionState,
  targetConnectionTransitions,
} from '../states/target-connection-states.ts'
import type { Departure } from './session-connections.ts'

/** A target's connection in the tables of RFC 7143 §8: its own states, and after a loss those of its cleanup. */
export class TargetConnectionStates {
  readonly machine = new StateMachine<TargetConnectionState, TargetConnectionEvent>(
    targetConnectionTransitions,
    'FREE',
  )
  #cleanup: StateMachine<ConnectionCleanupState, ConnectionCleanupEvent> | undefined

  constructor() {
    this.machine.on('transportOpened')
  }

  get isWaitingForCleanup(): boolean {
    return this.#cleanup?.state === 'CLEANUP_WAIT'
  }

  /** A Login Request, or what came in its place. */
  loginReceived(): void {
    if (this.machine.state === 'XPT_UP') this.machine.on('loginReceived')
  }

  lose(event: 'transportLost' | 'dropped'): void {
    this.machine.on(event)
    this.#cleanup = new StateMachine<ConnectionCleanupState, ConnectionCleanupEvent>(
      connectionCleanupTransitions,
      'CLEANUP_WAIT',
    )
  }

  /** A logout, explicit or implied by a login, was carried out; or the session is closed; or nobody did anything in time. */
  cleanedUp(how: Departure | 'timedOut'): void {
    if (!this.#cleanup || this.#cleanup.state !== 'CLEANUP_WAIT') return
    if (how === 'logoutSucceeded') this.#cleanup.on('logoutBegun')
    else if (how === 'reinstated') this.#cleanup.on('reinstatementBegun')
    this.#cleanup.on(how)
  }
}
