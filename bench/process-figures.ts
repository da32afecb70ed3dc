/** What Linux knows of a process: its processor time, its memory, the cores that it runs on. */
import { readFileSync, writeFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { findCommand } from '../test/support/peer.ts'
import { runOk } from '../test/support/scratch.ts'

/** What `/proc/PID/stat` counts in: 1/100 s on every Linux that Node runs on. */
const TICK_US = 10_000
/** Written to `clear_refs`: the peak of resident memory begins anew (proc(5)). */
const RESET_PEAK = '5'

/** A process and all that it has started: a server may be several. */
export function familyOf(pid: number): number[] {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ').filter(Boolean)
  return [pid, ...children.flatMap((child) => familyOf(Number(child)))]
}

const sumOver = (pid: number, figure: (pid: number) => number): number =>
  familyOf(pid).reduce((sum, member) => sum + figure(member), 0)

/** User and system time that all threads of a process and of its children have used so far, in microseconds. */
export function cpuUs(pid: number): number {
  return sumOver(pid, (member) => ticksOf(readFileSync(`/proc/${member}/stat`, 'utf8')) * TICK_US)
}

/** utime and stime of a line of `/proc/PID/stat`. */
export function ticksOf(stat: string): number {
  // The command, in parentheses, may hold anything; utime and stime are the 12th and 13th field after it.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return Number(fields[11]) + Number(fields[12])
}

export interface Memory {
  readonly residentBytes: number
  /** Since the process began, or since `resetPeak`. */
  readonly peakBytes: number
}

/** Of a process and its children. */
export function memoryOf(pid: number): Memory {
  const field = (name: string): number =>
    sumOver(pid, (member) => statusBytes(readFileSync(`/proc/${member}/status`, 'utf8'), name))
  return { residentBytes: field('VmRSS'), peakBytes: field('VmHWM') }
}

/** A field of `/proc/PID/status` that is a number of kB. */
export function statusBytes(status: string, name: string): number {
  return Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(status)?.[1]) * 1024
}

export function resetPeak(pid: number): void {
  for (const member of familyOf(pid)) writeFileSync(`/proc/${member}/clear_refs`, RESET_PEAK)
}

/** Bytes that a process had read from disks, not from the page cache. */
export function diskReadBytes(pid: number): number {
  return sumOver(pid, (member) =>
    Number(/^read_bytes: (\d+)$/m.exec(readFileSync(`/proc/${member}/io`, 'utf8'))?.[1]),
  )
}

/** Cores for targets and for clients, as taskset's lists. */
export interface Cores {
  readonly target: string
  readonly client: string
}

/** One half of the cores each; undefined on a machine with one. */
export function shareCores(count: number): Cores | undefined {
  if (count < 2) return undefined
  const half = Math.floor(count / 2)
  return { target: `0-${half - 1}`, client: `${half}-${count - 1}` }
}

/** How processes are pinned here: nothing is where there is one core, or no taskset. */
export const cores: Cores | undefined =
  findCommand('taskset') === undefined ? undefined : shareCores(availableParallelism())

/** Keeps all threads of a process on the targets' cores. */
export async function pinTarget(pid: number): Promise<void> {
  if (!cores) return
  // oxlint-disable-next-line no-await-in-loop -- one is quick
  for (const member of familyOf(pid)) await runOk('taskset', ['-a', '-p', '-c', cores.target, String(member)])
}

/** A command that runs on the clients' cores. */
export const onClientCores = (command: readonly string[]): readonly string[] =>
  cores ? ['taskset', '-c', cores.client, ...command] : command
