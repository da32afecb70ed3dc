/**
 * What one test leaves behind, and its end: a folder of its own and the processes that it started, undone in reverse order however
 * the test ends.
 */
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'

export interface CommandResult extends Exit {
  readonly stdout: string
  readonly stderr: string
}

export interface RunOptions {
  readonly timeoutMs?: number
  readonly cwd?: string
  readonly env?: NodeJS.ProcessEnv
}

/** Runs a command to its end, or kills it (code null) when the time is up. Never throws for an exit code. */
export function run(file: string, args: readonly string[], options: RunOptions = {}): Promise<CommandResult> {
  const settings = {
    timeout: options.timeoutMs ?? 60_000,
    killSignal: 'SIGKILL',
    maxBuffer: 64 << 20,
    encoding: 'utf8',
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    env: { ...process.env, LC_ALL: 'C', ...options.env },
  } as const
  return new Promise((resolve, reject) => {
    const child = execFile(file, args, settings, (error, stdout, stderr) => {
      if (error !== null && child.pid === undefined)
        reject(new Error(`cannot start ${file}`, { cause: error }))
      else resolve({ code: child.exitCode, signal: child.signalCode, stdout, stderr })
    })
  })
}

/** Like `run`, and throws with all that the command said unless it exits with 0. */
export async function runOk(
  file: string,
  args: readonly string[],
  options: RunOptions = {},
): Promise<CommandResult> {
  const result = await run(file, args, options)
  if (result.code === 0) return result
  const end = result.signal === null ? `exit code ${result.code}` : `signal ${result.signal}`
  throw new Error(`${file} ${args.join(' ')}: ${end}\n${result.stdout}\n${result.stderr}`)
}

/** A TCP port that was free on 127.0.0.1 a moment ago. */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer()
    server.once('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const address = server.address()
      server.close(() => {
        if (address !== null && typeof address === 'object') resolve(address.port)
        else reject(new Error('the listener has no port'))
      })
    })
  })
}

export interface Exit {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

/** Resolves when a started process has ended. */
export function exitOf(child: ChildProcess): Promise<Exit> {
  return new Promise((resolve) => {
    const done = (): void => resolve({ code: child.exitCode, signal: child.signalCode })
    if (child.exitCode !== null || child.signalCode !== null) done()
    else child.once('exit', done)
  })
}

export class Scratch {
  readonly folder: string
  readonly #undo: (() => unknown)[] = []

  /** Without a test, the caller calls `end`. */
  constructor(t?: Pick<TestContext, 'after'>) {
    this.folder = mkdtempSync(join(tmpdir(), 'cygnet-test-'))
    this.defer(() => rmSync(this.folder, { recursive: true, force: true, maxRetries: 3 }))
    t?.after(() => this.end())
  }

  path(name: string): string {
    return join(this.folder, name)
  }

  /** Runs before everything that was deferred earlier. */
  defer(undo: () => unknown): void {
    this.#undo.push(undo)
  }

  /** Starts a process that is killed, by its own id, at the end of the test at the latest. */
  spawn(file: string, args: readonly string[], env: NodeJS.ProcessEnv = {}): ChildProcess {
    const child = spawn(file, args, {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, LC_ALL: 'C', ...env },
    })
    this.defer(async () => {
      child.kill('SIGKILL')
      await exitOf(child)
    })
    return child
  }

  async end(): Promise<void> {
    for (let undo = this.#undo.pop(); undo !== undefined; undo = this.#undo.pop()) await undo()
  }
}
