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
    this.#held.set(cmdSN, command)
    return true
  }

  /** The next command in order, or undefined while there is a gap. */
  next(): Command | undefined {
    const command = this.#held.get(this.#expCmdSN)
    if (command === undefined) return undefined
    this.#held.delete(this.#expCmdSN)
    this.#expCmdSN = serialAdd(this.#expCmdSN, 1)
    this.#active++
    this.#passPlugged()
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
    this.#plugged.add(cmdSN)
    this.#passPlugged()
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
      !this.#held.has(cmdSN) &&
      !this.#plugged.has(cmdSN)
    )
  }

  #passPlugged(): void {
    while (this.#plugged.delete(this.#expCmdSN)) this.#expCmdSN = serialAdd(this.#expCmdSN, 1)
  }

  /** Commands behind a gap. */
  get heldCount(): number {
    return this.#held.size
  }

  /** Forgets commands behind a gap, as if they had not come: their connection is gone (§11.14). */
  discard(isGone: (command: Command) => boolean): Command[] {
    const gone: Command[] = []
    for (const [cmdSN, command] of [...this.#held]) {
      if (!isGone(command)) continue
      this.#held.delete(cmdSN)
      gone.push(command)
    }
    return gone
  }

  /** Commands that wait behind a gap; for the end of a session. */
  takeHeld(): Command[] {
    const held = [...this.#held.values()]
    this.#held.clear()
    return held
  }
}
