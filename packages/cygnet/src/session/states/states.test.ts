import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { AssertionError } from '../../base/assert.ts'
import { connectionCleanupTransitions } from './connection-cleanup-states.ts'
import { initiatorConnectionTransitions } from './initiator-connection-states.ts'
import { initiatorSessionTransitions } from './initiator-session-states.ts'
import { StateMachine, type TransitionTable } from './state-machine.ts'
import { targetConnectionTransitions } from './target-connection-states.ts'
import { targetSessionTransitions } from './target-session-states.ts'

interface Expectation<State extends string, Event extends string> {
  readonly machine: string
  readonly table: TransitionTable<State, Event>
  /** The RFC's labels: 'S1 FREE', one a line. */
  readonly states: string
  /** The RFC's table, row by row: 'S1 T1 S2', one a line. */
  readonly transitions: string
  /** The causes that the RFC's text gives for its transitions: 'T15 T16 transportLost dropped', one a line. */
  readonly causes: string
}

const words = (text: string): string[][] =>
  text
    .trim()
    .split('\n')
    .map((line) => line.trim().split(/\s+/))

const isLabel = (word: string): boolean => /^[TNM]\d+$/.test(word)

/** Tries every event in every state, legal or not, against what the RFC's text says. */
function testEveryTransition<State extends string, Event extends string>(
  expectation: Expectation<State, Event>,
): void {
  const { machine, table } = expectation
  const names = new Map(words(expectation.states).map(([label = '', name = '']) => [label, name]))
  const transitions = words(expectation.transitions).map(([from = '', label = '', to = '']) => ({
    from: names.get(from),
    label,
    to: names.get(to),
  }))
  const causes = words(expectation.causes).flatMap((line) =>
    line
      .filter((word) => isLabel(word))
      .flatMap((label) => line.filter((word) => !isLabel(word)).map((event) => ({ label, event }))),
  )
  const events = [...new Set(causes.map(({ event }) => event))] as Event[]
  const states = [...names.values()] as State[]

  describe(machine, () => {
    test('has the states of the RFC, and no event that the RFC does not know', () => {
      assert.deepEqual(Object.keys(table).toSorted(), states.toSorted())
      for (const state of states) {
        for (const event of Object.keys(table[state])) assert.ok(events.includes(event as Event), event)
      }
    })

    for (const from of states) {
      for (const event of events) {
        const legal = transitions.filter(
          (transition) =>
            transition.from === from &&
            causes.some((cause) => cause.event === event && cause.label === transition.label),
        )
        assert.ok(legal.length <= 1, `${event} in ${from} is expected to lead to one state`)
        const [transition] = legal
        const subject = new StateMachine(table, from)
        if (transition) {
          test(`${from}, ${event}: ${transition.label} to ${transition.to}`, () => {
            assert.deepEqual(table[from][event], [transition.label, transition.to])
            assert.ok(subject.can(event))
            assert.equal(subject.on(event), transition.to)
            assert.equal(subject.state, transition.to)
          })
        } else {
          test(`${from}, ${event}: undefined`, () => {
            assert.ok(!subject.can(event))
            assert.throws(
              () => subject.on(event),
              (error: Error) =>
                error instanceof AssertionError &&
                error.message.includes(from) &&
                error.message.includes(event),
            )
            assert.equal(subject.state, from, 'it stays where it is')
          })
        }
      }
    }
  })
}

testEveryTransition({
  machine: '§8.1.3 an initiator’s connection',
  table: initiatorConnectionTransitions,
  states: `
    S1 FREE
    S2 XPT_WAIT
    S4 IN_LOGIN
    S5 LOGGED_IN
    S6 IN_LOGOUT
    S7 LOGOUT_REQUESTED
    S8 CLEANUP_WAIT`,
  transitions: `
    S1 T1 S2
    S2 T2 S1
    S2 T4 S4
    S4 T7 S1
    S4 T5 S5
    S5 T8 S1
    S5 T9 S6
    S5 T11 S7
    S5 T15 S8
    S6 T13 S1
    S6 T14 S6
    S6 T17 S8
    S7 T18 S1
    S7 T10 S6
    S7 T12 S7
    S7 T16 S8`,
  causes: `
    T1 connectRequested
    T2 transportLost sessionClosed
    T4 transportOpened
    T5 loginSucceeded
    T7 loginFailed transportLost sessionClosed
    T8 sessionClosed
    T9 T10 logoutSent
    T11 T12 logoutRequested
    T13 logoutSucceeded sessionClosed
    T14 logoutRequested
    T15 T16 transportLost dropAnnounced
    T17 logoutFailed transportLost dropAnnounced
    T18 sessionClosed`,
})

testEveryTransition({
  machine: '§8.1.4 a target’s connection',
  table: targetConnectionTransitions,
  states: `
    S1 FREE
    S3 XPT_UP
    S4 IN_LOGIN
    S5 LOGGED_IN
    S6 IN_LOGOUT
    S7 LOGOUT_REQUESTED
    S8 CLEANUP_WAIT`,
  transitions: `
    S1 T3 S3
    S3 T6 S1
    S3 T4 S4
    S4 T7 S1
    S4 T5 S5
    S5 T8 S1
    S5 T9 S6
    S5 T11 S7
    S5 T15 S8
    S6 T13 S1
    S6 T17 S8
    S7 T18 S1
    S7 T10 S6
    S7 T12 S7
    S7 T16 S8`,
  causes: `
    T3 transportOpened
    T4 loginReceived
    T5 loginSucceeded
    T6 loginTimedOut transportLost
    T7 loginFailed loginTimedOut transportLost sessionClosed
    T8 sessionClosed reinstated
    T9 T10 logoutReceived
    T11 T12 logoutRequested
    T13 logoutSucceeded sessionClosed reinstated
    T15 T16 transportLost reinstatementFailed dropped
    T17 logoutFailed transportLost reinstatementFailed dropped
    T18 sessionClosed reinstated`,
})

testEveryTransition({
  machine: '§8.2 the cleanup of a connection',
  table: connectionCleanupTransitions,
  states: `
    R1 CLEANUP_WAIT
    R2 IN_CLEANUP
    R3 FREE`,
  transitions: `
    R1 M2 R2
    R1 M1 R3
    R2 M3 R1
    R2 M4 R3`,
  causes: `
    M1 timedOut sessionClosed
    M2 reinstatementBegun logoutBegun
    M3 reinstatementFailed logoutFailed
    M4 reinstated logoutSucceeded sessionClosed`,
})

testEveryTransition({
  machine: '§8.3.1 an initiator’s session',
  table: initiatorSessionTransitions,
  states: `
    Q1 FREE
    Q3 LOGGED_IN
    Q4 FAILED`,
  transitions: `
    Q1 N1 Q3
    Q3 N3 Q1
    Q3 N5 Q4
    Q4 N6 Q1
    Q4 N4 Q3`,
  causes: `
    N1 loginSucceeded
    N3 closed
    N4 continued
    N5 failed
    N6 timedOut reinstated`,
})

testEveryTransition({
  machine: '§8.3.2 a target’s session',
  table: targetSessionTransitions,
  states: `
    Q1 FREE
    Q2 ACTIVE
    Q3 LOGGED_IN
    Q4 FAILED
    Q5 IN_CONTINUE`,
  transitions: `
    Q1 N1 Q2
    Q2 N9 Q1
    Q2 N2 Q3
    Q3 N3 Q1
    Q3 N5 Q4
    Q4 N6 Q1
    Q4 N7 Q5
    Q5 N11 Q1
    Q5 N10 Q3
    Q5 N8 Q4`,
  causes: `
    N1 loginReceived
    N2 loginSucceeded
    N3 closed reinstated
    N5 failed
    N6 timedOut reinstated
    N7 continuationBegun
    N8 continuationFailed
    N9 loginFailed
    N10 continued
    N11 reinstated`,
})
