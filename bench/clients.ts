/** Runs one measurement: a client of some kind against a target. */
import { fileURLToPath } from 'node:url'
import { peerPath } from '../test/support/peer.ts'
import { run } from '../test/support/scratch.ts'
import { mainScript } from '../test/support/subject.ts'
import type { LoadResult } from '../packages/cygnet/src/cli/load.ts'
import type { Client, Contender, Load } from './cases.ts'
import type { ClientJob, ClientReport } from './client-job.ts'
import { failureIn, iscsiPerfIops, qemuSeconds, timedCpuUs } from './client-output.ts'
import { cpuUs, memoryOf, onClientCores, resetPeak } from './process-figures.ts'
import type { Sample } from './sample.ts'
import { CLIENT_GRACE_MS, IMAGE_BYTES, type Settings, WARM_UP_BYTES } from './settings.ts'
import type { Target } from './targets.ts'

const SECTOR_BYTES = 512
/** What `qemu-img bench` writes scattered: one block in so many, until all have been written. Odd, so that all are. */
const STRIDE_BLOCKS = 162_013
/** qemu's first measurement of a contender, from which the number of requests for all others follows: the lesser of both. */
const PILOT_REQUESTS = 2000
const PILOT_BYTES = 2 ** 26

/** `cygnet bench` takes whole seconds. */
const BENCH_WARM_UP_SECONDS = 1
const ISCSI_PERF_GRACE_MS = 5000
const ISCSI_PERF_TRIES = 3

/** What a client needs to know. */
export interface Measurement {
  readonly load: Load
  readonly contender: Contender
  readonly target: Target
  readonly settings: Settings
  /** Requests per second as seen before, where they were. */
  readonly expectedIops: number | undefined
}

/** A client's own view. */
type Partly = Omit<Sample, 'targetCpuUs' | 'peakBytes' | 'bytesPerSecond'> & {
  /** Processor time of the target in all, and the requests that it was for. */
  readonly servedCpuUs: number
  readonly requests: number
}

const clients: Readonly<Record<Client, (measurement: Measurement) => Promise<Partly>>> = {
  'iscsi-perf': iscsiPerf,
  'qemu-img': qemuImg,
  ours: (measurement) => ourClient('load-client.ts', measurement),
  floor: (measurement) => ourClient('floor-client.ts', measurement),
  'cygnet-bench': cygnetBench,
}

/** The program that each of them needs, where it is not ours. */
export const programOf: Readonly<Partial<Record<Client, 'iscsi-perf' | 'qemu-img'>>> = {
  'iscsi-perf': 'iscsi-perf',
  'qemu-img': 'qemu-img',
}

export async function measure(measurement: Measurement): Promise<Sample> {
  const { contender, load, target } = measurement
  resetPeak(target.pid)
  const { servedCpuUs, requests, ...seen } = await clients[contender.client](measurement)
  return {
    ...seen,
    bytesPerSecond: seen.iops * load.blockBytes,
    targetCpuUs: servedCpuUs / requests,
    peakBytes: memoryOf(target.pid).peakBytes,
  }
}

const digestsQuery = '?header_digest=crc32c&data_digest=crc32c'
/** As `iscsi-perf` has it: a target such as tgt chooses digests where it is given the choice. */
const noDigestsQuery = '?header_digest=none&data_digest=none'

const isRandom = ({ pattern }: Load): boolean => pattern !== 'read' && pattern !== 'write'

async function ourClient(script: string, measurement: Measurement): Promise<Partly> {
  const { contender, load, target, settings } = measurement
  const job: ClientJob = {
    load,
    warmUpSeconds: load.isWan ? settings.wanWarmUpSeconds : settings.warmUpSeconds,
    seconds: load.isWan ? settings.wanSeconds : settings.seconds,
    servedPid: target.pid,
    warmUpBytes: WARM_UP_BYTES,
    diskBytes: IMAGE_BYTES,
    url: target.url + (contender.hasDigests ? digestsQuery : ''),
    connections: contender.connections ?? 1,
    ...(target.secondUrl !== undefined && { secondUrl: target.secondUrl }),
    ...(target.caFile !== undefined && { caFile: target.caFile }),
  }
  const path = fileURLToPath(new URL(script, import.meta.url))
  const stdout = await runClient([process.execPath, path, JSON.stringify(job)], job.seconds)
  const report = JSON.parse(stdout.stdout) as ClientReport
  if (report.requests === 0) throw new Error(`no request ended in ${job.seconds} s`)
  return {
    iops: report.requests / report.seconds,
    clientCpuUs: report.clientCpuUs / report.requests,
    servedCpuUs: report.servedCpuUs,
    requests: report.requests,
    p50Us: report.latencyMs.p50 * 1000,
    p99Us: report.latencyMs.p99 * 1000,
    p999Us: report.latencyMs.p999 * 1000,
  }
}

async function iscsiPerf({ load, target, settings }: Measurement): Promise<Partly> {
  const { depth, blockBytes } = load
  const seconds = settings.wholeSeconds
  const size = ['-m', String(depth), '-b', String(blockBytes / SECTOR_BYTES), '-t', String(seconds)]
  const command = [peerPath('iscsi-perf'), ...size, ...(isRandom(load) ? ['-r'] : []), target.url]
  const { stdout, clientCpuUs, servedCpuUs } = await runIscsiPerf(command, target, seconds)
  const iops = iscsiPerfIops(stdout)
  const requests = iops * seconds
  return { iops, clientCpuUs: clientCpuUs / requests, servedCpuUs, requests }
}

/** It counts seconds down, and where it gets no turn in the last one it goes on below zero, for ever: it is tried again. */
async function runIscsiPerf(command: readonly string[], target: Target, seconds: number): Promise<TimedRun> {
  for (let tries = 1; ; tries++) {
    try {
      // oxlint-disable-next-line no-await-in-loop -- one after the other
      return await runTimed(command, target, seconds, ISCSI_PERF_GRACE_MS)
    } catch (error) {
      if (tries === ISCSI_PERF_TRIES) throw error
    }
  }
}

async function qemuImg(measurement: Measurement): Promise<Partly> {
  const { load, target, settings, expectedIops } = measurement
  const { depth, blockBytes } = load
  const pilot = Math.min(PILOT_REQUESTS, PILOT_BYTES / blockBytes)
  const requests = expectedIops === undefined ? pilot : Math.ceil(expectedIops * settings.seconds)
  const size = ['-d', String(depth), '-s', String(blockBytes), '-c', String(requests)]
  const stride = isRandom(load) ? ['-S', String(STRIDE_BLOCKS * blockBytes)] : []
  const image = ['-w', '-f', 'raw', '-t', 'none', target.url]
  const command = [peerPath('qemu-img'), 'bench', ...size, ...stride, ...image]
  const { stdout, clientCpuUs, servedCpuUs } = await runTimed(command, target, settings.seconds)
  const iops = requests / qemuSeconds(stdout)
  if (expectedIops === undefined) return qemuImg({ ...measurement, expectedIops: iops })
  return { iops, clientCpuUs: clientCpuUs / requests, servedCpuUs, requests }
}

async function cygnetBench({ load, target, settings, contender }: Measurement): Promise<Partly> {
  const { pattern, blockBytes, depth } = load
  const seconds = settings.wholeSeconds
  const what = ['--pattern', pattern, '--block', String(blockBytes), '--depth', String(depth)]
  const warmUp = ['--warm-up', String(BENCH_WARM_UP_SECONDS)]
  const how = [
    ...warmUp,
    '--time',
    String(seconds),
    '--connections',
    String(contender.connections ?? 1),
    '--json',
  ]
  const url = target.url + noDigestsQuery
  const command = [process.execPath, mainScript, 'bench', ...what, ...how, url]
  const { stdout, servedCpuUs } = await runTimed(command, target, seconds + BENCH_WARM_UP_SECONDS)
  const { requestsPerSecond, cpuPerRequestUs, requests, latencyMs } = JSON.parse(stdout) as LoadResult
  return {
    iops: requestsPerSecond,
    clientCpuUs: cpuPerRequestUs,
    servedCpuUs,
    // The target is busy in the warm-up too, whose requests are not told: as many a second as afterwards, or a few less.
    requests: (requests * (seconds + BENCH_WARM_UP_SECONDS)) / seconds,
    p50Us: latencyMs.p50 * 1000,
    p99Us: latencyMs.p99 * 1000,
    p999Us: latencyMs.p999 * 1000,
  }
}

interface TimedRun {
  readonly stdout: string
  readonly clientCpuUs: number
  readonly servedCpuUs: number
}

/** Runs a client with the shell's clock of processor time, and looks what it costs the target. */
async function runTimed(
  command: readonly string[],
  target: Target,
  seconds: number,
  graceMs: number = CLIENT_GRACE_MS,
): Promise<TimedRun> {
  const before = cpuUs(target.pid)
  const timed = ['bash', '-c', 'TIMEFORMAT="cpu %U %S"; time "$@"', 'bash', ...command]
  const { stdout, stderr } = await runClient(timed, seconds, graceMs)
  return { stdout, clientCpuUs: timedCpuUs(stderr), servedCpuUs: cpuUs(target.pid) - before }
}

async function runClient(
  command: readonly string[],
  seconds: number,
  graceMs: number = CLIENT_GRACE_MS,
): Promise<{ readonly stdout: string; readonly stderr: string }> {
  // A killed shell would leave its client running: `timeout` ends all of them.
  const limit = ['timeout', '--signal=KILL', String(seconds + graceMs / 1000)]
  const [program = '', ...args] = onClientCores([...limit, ...command])
  const result = await run(program, args, { timeoutMs: seconds * 1000 + 2 * graceMs })
  if (result.code === 0) return result
  const end = result.signal ?? `exit code ${result.code}`
  throw new Error(`${failureIn(`${result.stdout}\n${result.stderr}`)} (${end})`)
}
