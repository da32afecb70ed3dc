import { assert } from '../../base/assert.ts'

/** The standard's name for a transition, and the state that it leads to. */
export type Transition<State extends string> = readonly [label: string, to: State]

/** For each state, the events that are legal there. RFC 7143 §8 calls the rest undefined transitions. */
export type TransitionTable<State extends string, Event extends string> = {
  readonly [from in State]: { readonly [event in Event]?: Transition<State> }
}

/** Where something is in one of the tables of RFC 7143 §8. An event that is illegal in its state is a bug of ours. */
export class StateMachine<State extends string, Event extends string> {
  readonly #table: TransitionTable<State, Event>
  #state: State

  constructor(table: TransitionTable<State, Event>, initial: State) {
    this.#table = table
    this.#state = initial
  }

  get state(): State {
    return this.#state
  }

  can(event: Event): boolean {
    return this.#table[this.#state][event] !== undefined
  }

  /** Takes the transition, and returns the new state. */
  on(event: Event): State {
    const transition = this.#table[this.#state][event]
    assert(transition !== undefined, `${event} is illegal in the state ${this.#state}`)
    this.#state = transition[1]
    return this.#state
  }
}
