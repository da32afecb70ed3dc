/** One run of `iscsi-perf` against one target, and what it cost that target's process. */
import { readFileSync } from 'node:fs'
import { peerPath } from '../test/support/peer.ts'
import { runOk } from '../test/support/scratch.ts'
import type { Subject } from '../test/support/subject.ts'

export interface Workload {
  readonly name: string
  readonly random: boolean
  readonly depth: number
  readonly blockBytes: number
}

export const workloads: readonly Workload[] = [
  { name: '4 KiB random read, depth 1', random: true, depth: 1, blockBytes: 4096 },
  { name: '4 KiB random read, depth 32', random: true, depth: 32, blockBytes: 4096 },
  { name: '256 KiB sequential read, depth 4', random: false, depth: 4, blockBytes: 256 * 1024 },
]

export interface Measurement {
  readonly iops: number
  readonly mibPerSecond: number
  /** Processor time of all threads of the target, user and system, for one I/O. */
  readonly cpuUsPerIo: number
}

const SECTOR_BYTES = 512
/** What `/proc/PID/stat` counts in: 1/100 s on every Linux that Node runs on. */
const TICK_US = 10_000

/** User and system time that a process has used so far. */
function cpuUs(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
  // The command, in parentheses, may hold anything; utime and stime are the 12th and 13th field after it.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return (Number(fields[11]) + Number(fields[12])) * TICK_US
}

export async function measure(subject: Subject, workload: Workload, seconds: number): Promise<Measurement> {
  const { random, depth, blockBytes } = workload
  const load = ['-m', String(depth), '-b', String(blockBytes / SECTOR_BYTES), '-t', String(seconds)]
  const args = [...load, ...(random ? ['-r'] : []), subject.url()]
  const before = cpuUs(subject.pid)
  const { stdout } = await runOk(peerPath('iscsi-perf'), args, { timeoutMs: (seconds + 20) * 1000 })
  const used = cpuUs(subject.pid) - before
  const average = /\riops average (\d+)/.exec(stdout)?.[1]
  if (average === undefined) throw new Error(`iscsi-perf gave no result:\n${stdout}`)
  const iops = Number(average)
  return {
    iops,
    mibPerSecond: (iops * blockBytes) / 2 ** 20,
    cpuUsPerIo: used / (iops * seconds),
  }
}
