import { assert } from '../../base/assert.ts'
import { type Serial32, serialAdd, serialLess } from '../../base/serial32.ts'

/**
 * The target's side of command numbering (RFC 7143 §4.2.2.1): non-immediate commands are delivered in CmdSN order,
 * whatever order they arrive in over a session's connections; what lies outside ExpCmdSN..MaxCmdSN, and what
 * came before, is ignored.
 *
 * MaxCmdSN follows the commands in work: of `depth` places, each delivered command takes one until `complete`, so that
 * a session can never have more than `depth` commands here. MaxCmdSN never moves backwards: delivery moves ExpCmdSN
 * up by one and takes one place.
 */
export class CommandWindow<Command> {
  readonly #depth: number
  /** The command with ExpCmdSN: on one connection that is the way of them all. */
  #first: Command | undefined
  /** Commands behind a gap. */
  readonly #held = new Map<Serial32, Command>()
  /** CmdSNs that count as received although no command came (an aborted one that was lost, §7.11). */
  readonly #plugged = new Set<Serial32>()
  #expCmdSN: Serial32
  #active = 0

  /** `depth`: 1..2^31-1 commands. */
  constructor(initialCmdSN: Serial32, depth: number) {
    assert(depth >= 1, 'a command window needs at least one place')
    this.#expCmdSN = initialCmdSN
    this.#depth = depth
  }

  get expCmdSN(): Serial32 {
    return this.#expCmdSN
  }

  /** ExpCmdSN - 1 (window closed) or more. */
  get maxCmdSN(): Serial32 {
    return serialAdd(this.#expCmdSN, this.#depth - this.#active - 1)
  }

  /** Delivered and not completed. */
  get active(): number {
    return this.#active
  }

  /** Takes a non-immediate command; false where it must be ignored: outside the window, or a duplicate. */
  accept(cmdSN: Serial32, command: Command): boolean {
    if (!this.accepts(cmdSN)) return false
    if (cmdSN === this.#expCmdSN) this.#first = command
    else this.#held.set(cmdSN, command)
    return true
  }

  /** The next command in order, or undefined while there is a gap. */
  next(): Command | undefined {
    const command = this.#first
    if (command === undefined) return undefined
    this.#first = undefined
    this.#active++
    this.#advance()
    return command
  }

  /** A delivered command ended: its place is free. */
  complete(): void {
    assert(this.#active > 0, 'more commands completed than were delivered')
    this.#active--
  }

  /** Treats `cmdSN` as received (RFC 7143 §11.6.1 b); false where it is outside the window. */
  plug(cmdSN: Serial32): boolean {
    if (!this.accepts(cmdSN)) return false
    if (cmdSN === this.#expCmdSN) this.#advance()
    else this.#plugged.add(cmdSN)
    return true
  }

  /** Treats every number below `cmdSN` as received (§4.2.3.3 b: a target reset does not wait for commands). */
  plugBelow(cmdSN: Serial32): void {
    const end = serialLess(this.maxCmdSN, cmdSN) ? serialAdd(this.maxCmdSN, 1) : cmdSN
    for (let next = this.#expCmdSN; serialLess(next, end); next = serialAdd(next, 1)) this.plug(next)
  }

  /** Whether a command with this number is in the window, and none has come. */
  accepts(cmdSN: Serial32): boolean {
    return (
      !serialLess(cmdSN, this.#expCmdSN) &&
      !serialLess(this.maxCmdSN, cmdSN) &&
      (cmdSN === this.#expCmdSN
        ? this.#first === undefined
        : !this.#held.has(cmdSN) && !this.#plugged.has(cmdSN))
    )
  }

  /** ExpCmdSN has been received: goes on to the next number that has not. */
  #advance(): void {
    do this.#expCmdSN = serialAdd(this.#expCmdSN, 1)
    while (this.#plugged.size > 0 && this.#plugged.delete(this.#expCmdSN))
    if (this.#held.size === 0) return
    this.#first = this.#held.get(this.#expCmdSN)
    this.#held.delete(this.#expCmdSN)
  }

  /** Commands that have not been delivered. */
  get heldCount(): number {
    return this.#held.size + (this.#first === undefined ? 0 : 1)
  }

  /** Forgets commands that have not been delivered, as if they had not come: their connection is gone (§11.14). */
  discard(isGone: (command: Command) => boolean): Command[] {
    const gone: Command[] = []
    if (this.#first !== undefined && isGone(this.#first)) {
      gone.push(this.#first)
      this.#first = undefined
    }
    for (const [cmdSN, command] of [...this.#held]) {
      if (!isGone(command)) continue
      this.#held.delete(cmdSN)
      gone.push(command)
    }
    return gone
  }

  /** Takes commands that have not been delivered; for the end of a session. */
  takeHeld(): Command[] {
    const held = [...this.#held.values()]
    if (this.#first !== undefined) held.unshift(this.#first)
    this.#held.clear()
    this.#first = undefined
    return held
  }
}
