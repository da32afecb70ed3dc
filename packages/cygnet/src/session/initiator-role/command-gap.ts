import type { Instant } from '../../base/clock.ts'
import type { Serial32 } from '../../base/serial32.ts'
import type { RequestWindow } from './request-window.ts'

/** Watches whether the target's ExpCmdSN stays at a command that did not arrive, or whose place nothing fills (RFC 7143 §7.2.1). */
export class CommandGap {
  readonly #window: RequestWindow
  readonly #patienceMs: number
  /** The CmdSN that ExpCmdSN stays at, since when, and when that is too long. */
  #at: Serial32 | undefined
  #since: Instant = 0
  #deadline: Instant = 0

  /** `patienceMs`: for how long it may stay there. */
  constructor(window: RequestWindow, patienceMs: number) {
    this.#window = window
    this.#patienceMs = patienceMs
  }

  /** Since when it was there, or something was last done about it. */
  get since(): Instant {
    return this.#since
  }

  /** The CmdSN that the target has missed for too long. */
  overdue(now: Instant): Serial32 | undefined {
    const { expCmdSN, cmdSN } = this.#window
    if (expCmdSN === cmdSN) this.#at = undefined
    else if (this.#at === expCmdSN) return now < this.#deadline ? undefined : expCmdSN
    else {
      this.#at = expCmdSN
      this.wait(now)
    }
    return undefined
  }

  /** Something is done about it: time for that to help. */
  wait(now: Instant): void {
    this.#since = now
    this.#deadline = now + this.#patienceMs
  }
}
