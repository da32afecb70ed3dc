/** What sessions take that do nothing: the time to log them all in, and the memory of each. */
import { fileURLToPath } from 'node:url'
import { startConfigured } from '../test/support/configured.ts'
import { exitOf, type Scratch } from '../test/support/scratch.ts'
import { collect, sleep, until } from '../test/support/subject.ts'
import { memoryOf, onClientCores, pinTarget } from './process-figures.ts'

export interface IdleSessions {
  readonly sessions: number
  readonly loginSeconds: number
  /** Growth of resident memory, shared by the sessions. */
  readonly bytesPerSession: number
}

/** Logged in and out before memory is looked at, so that what every server has is not counted. */
const FIRST_SESSIONS = 64
const LOGIN_TIMEOUT_MS = 60_000
const SETTLE_MS = 1000
const MANY = 65_535

export async function measureIdleSessions(scratch: Scratch, sessions: number): Promise<IdleSessions> {
  await using server = await startConfigured(scratch, {
    targets: { 'iqn.2026-11.dev.example:idle': { luns: { 0: { memory: '64M' } } } },
    limits: { connections: MANY, connectionsPerAddress: MANY, sessionsPerTarget: MANY },
  })
  const { subject } = server
  await pinTarget(subject.pid)
  const first = await logIn(scratch, subject.url(), FIRST_SESSIONS)
  await first.end()
  await sleep(SETTLE_MS)
  const before = memoryOf(subject.pid).residentBytes
  const all = await logIn(scratch, subject.url(), sessions)
  await sleep(SETTLE_MS)
  const after = memoryOf(subject.pid).residentBytes
  await all.end()
  return { sessions, loginSeconds: all.ms / 1000, bytesPerSession: (after - before) / sessions }
}

async function logIn(
  scratch: Scratch,
  url: string,
  count: number,
): Promise<{ readonly ms: number; end(): Promise<unknown> }> {
  const script = fileURLToPath(new URL('idle-clients.ts', import.meta.url))
  const [program = '', ...args] = onClientCores([process.execPath, script, url, String(count)])
  const child = scratch.spawn(program, args)
  const output = collect(child)
  await until(() => output.stdout.endsWith('\n') || child.exitCode !== null, LOGIN_TIMEOUT_MS)
  const ms = Number.parseFloat(output.stdout)
  if (Number.isNaN(ms)) throw new Error(`${count} sessions could not log in\n${output.stderr}`)
  return {
    ms,
    end() {
      child.kill('SIGKILL')
      return exitOf(child)
    },
  }
}
