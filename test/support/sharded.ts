/** What a server's shards are doing, as its log and the system tell. */
import { readFileSync } from 'node:fs'
import type { Configured } from './configured.ts'
import { until } from './subject.ts'

/** Process of a shard, the newest one where it was started again. */
export function shardPid({ subject }: Configured, shard: number): number {
  const started = subject.log.filter((line) => line['msg'] === 'shard started' && line['shard'] === shard)
  const pid = started.at(-1)?.['pid']
  if (typeof pid !== 'number') throw new Error(`shard ${shard} was not started\n${subject.stderr}`)
  return pid
}

/** The shard that served the last login to a target. */
export function shardOf({ subject }: Configured, target: string): unknown {
  return subject.log.findLast((line) => line['msg'] === 'login' && line['target'] === target)?.['shard']
}

/** How often a message is in the log. */
export const logged = ({ subject }: Configured, message: string, fields: object = {}): number =>
  subject.log.filter(
    (line) =>
      line['msg'] === message && Object.entries(fields).every(([name, value]) => line[name] === value),
  ).length

/** Whether a process is there; one that has ended and was not waited for yet is not. */
export function isAlive(pid: number): boolean {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))
  } catch {
    return false
  }
}

/** Ends a shard as a crash does, and waits until it serves again. */
export async function crashShard(server: Configured, shard: number): Promise<void> {
  const before = logged(server, 'shard started', { shard })
  process.kill(shardPid(server, shard), 'SIGKILL')
  const isBack = await until(() => logged(server, 'shard started', { shard }) > before, 30_000)
  if (!isBack) throw new Error(`shard ${shard} did not come back\n${server.subject.stderr.slice(-2000)}`)
}

/** What `/proc/PID/stat` counts in, in milliseconds. */
const TICK_MS = 10

/** User and system time that a process has used so far. */
export function cpuMs(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return (Number(fields[11]) + Number(fields[12])) * TICK_MS
}
