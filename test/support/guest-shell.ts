/** The guest of `guest.ts` as a shell: tests run commands in it one by one, and judge what they say. */
import { copyFileSync, existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type Guest, startGuest } from './guest.ts'
import type { Scratch } from './scratch.ts'
import { until } from './subject.ts'

const lab = fileURLToPath(new URL('../lab/', import.meta.url))
const BOOT_TIMEOUT_MS = 120_000
const COMMAND_TIMEOUT_MS = 90_000

export interface GuestResult {
  /** Undefined where the guest is gone, or the time is up. */
  readonly code: number | undefined
  /** Standard output and error, in the order in which they came. */
  readonly output: string
}

export class GuestShell {
  readonly guest: Guest
  /** What every script begins with. */
  preamble = ''
  #requests = 0
  #hasEnded = false
  #isStuck = false

  private constructor(guest: Guest) {
    this.guest = guest
    void guest.finished.then(() => (this.#hasEnded = true))
  }

  /** Boots the machine, with iSCSI's daemon, and the modules of disks and multipath. */
  static async boot(scratch: Scratch): Promise<GuestShell> {
    const shell = new GuestShell(startGuest(scratch, 'shell.sh', {}))
    if (await shell.#appears('ready', BOOT_TIMEOUT_MS)) return shell
    throw new Error(`the guest is not up:\n${shell.guest.console().slice(-4000)}`)
  }

  /** Waits for a file of the guest's in the shared folder. */
  async #appears(name: string, timeoutMs: number): Promise<boolean> {
    const path = join(this.guest.folder, name)
    await until(() => existsSync(path) || this.#hasEnded, timeoutMs)
    return existsSync(path)
  }

  /** Puts a file of `test/lab/` into the guest's /host. */
  share(name: string): void {
    copyFileSync(join(lab, name), join(this.guest.folder, name))
  }

  /** Runs a script of bash, which ends at the first command that fails. */
  async run(script: string, timeoutMs = COMMAND_TIMEOUT_MS): Promise<GuestResult> {
    // What is under way goes on: no other may be waited for.
    if (this.#isStuck) return { code: undefined, output: 'the guest is stuck in an earlier script' }
    const name = String(++this.#requests)
    const path = join(this.guest.folder, name)
    writeFileSync(`${path}.new`, `${this.preamble}\n${script}\n`)
    renameSync(`${path}.new`, path)
    const isOver = await this.#appears(`${name}.code`, timeoutMs)
    this.#isStuck ||= !isOver
    return {
      code: isOver ? Number(readFileSync(`${path}.code`, 'utf8')) : undefined,
      output: existsSync(`${path}.out`) ? readFileSync(`${path}.out`, 'utf8') : '',
    }
  }

  /** Like `run`, and throws with all that was said unless it exits with 0. What it said. */
  async ok(script: string, timeoutMs?: number): Promise<string> {
    const { code, output } = await this.run(script, timeoutMs)
    if (code === 0) return output
    throw new Error(
      `in the guest: ${script}\nexit code ${code}\n${output}\n${this.guest.console().slice(-2000)}`,
    )
  }

  /** Turns the machine off. Its exit code: 0 where its kernel has not complained either. */
  async end(): Promise<number | undefined> {
    writeFileSync(join(this.guest.folder, 'end'), '')
    return this.guest.finished
  }
}
