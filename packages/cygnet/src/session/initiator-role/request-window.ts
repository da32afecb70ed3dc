import { type Serial32, serialAdd, serialLess, serialLessOrEqual } from '../../base/serial32.ts'

/**
 * The initiator's side of command numbering (RFC 7143 §4.2.2.1): which CmdSN comes next, and how far the target lets
 * us go. Begins with the numbers of the last login response.
 */
export class RequestWindow {
  #cmdSN: Serial32
  #expCmdSN: Serial32
  #maxCmdSN: Serial32

  constructor(cmdSN: Serial32) {
    this.#cmdSN = cmdSN
    this.#expCmdSN = cmdSN
    this.#maxCmdSN = serialAdd(cmdSN, -1)
  }

  /** The CmdSN of the next request that is not immediate; immediate ones carry it too, and leave it. */
  get cmdSN(): Serial32 {
    return this.#cmdSN
  }

  /** What the target has received in order is before this. */
  get expCmdSN(): Serial32 {
    return this.#expCmdSN
  }

  get maxCmdSN(): Serial32 {
    return this.#maxCmdSN
  }

  /** Another request that is not immediate may be sent. */
  get isOpen(): boolean {
    return serialLessOrEqual(this.#cmdSN, this.#maxCmdSN)
  }

  take(): Serial32 {
    const cmdSN = this.#cmdSN
    this.#cmdSN = serialAdd(cmdSN, 1)
    return cmdSN
  }

  /**
   * ExpCmdSN and MaxCmdSN of a PDU that came: never backwards, and not at all where they contradict each other or
   * acknowledge what was not sent. True where one of them moved.
   */
  update(expCmdSN: Serial32, maxCmdSN: Serial32): boolean {
    if (serialLess(maxCmdSN, serialAdd(expCmdSN, -1)) || serialLess(this.#cmdSN, expCmdSN)) return false
    let moved = false
    if (serialLess(this.#expCmdSN, expCmdSN)) {
      this.#expCmdSN = expCmdSN
      moved = true
    }
    if (serialLess(this.#maxCmdSN, maxCmdSN)) {
      this.#maxCmdSN = maxCmdSN
      moved = true
    }
    return moved
  }

  /** A new session begins with `cmdSN`. */
  restart(cmdSN: Serial32): void {
    this.#cmdSN = cmdSN
    this.#expCmdSN = cmdSN
    this.#maxCmdSN = serialAdd(cmdSN, -1)
  }
}
