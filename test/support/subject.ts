/**
 * The target under test, started as a user would. `CYGNET_SUBJECT=tgt` puts Debian's tgt in its place: a test that fails against
 * both is a wrong test, or says something that tgt does not do (`subject.name` tells them apart where a check is about our own
 * promises).
 */
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { peerPath } from './peer.ts'
import { type Exit, exitOf, freePort, run, runOk, type Scratch } from './scratch.ts'

export interface SubjectOptions {
  /** Image files, LUN after LUN. */
  readonly images?: readonly string[]
  /** A disk in memory instead, such as `64M`. */
  readonly memory?: string
  /** Size of images that do not exist yet, such as `64M`. */
  readonly size?: string
  readonly blockSize?: 512 | 4096
  readonly readOnly?: boolean
  /** Address given out in discovery, `HOST:PORT`. */
  readonly advertise?: string
  /** Where ours remembers reservations; by default beside each image. */
  readonly stateFolder?: string
  /** Port on 127.0.0.1; a free one by default. */
  readonly port?: number
  /** Node's own flags, such as a heap limit. */
  readonly nodeOptions?: readonly string[]
}

/** One JSON line of the log. */
export type LogLine = Readonly<Record<string, unknown>>

export const mainScript = fileURLToPath(new URL('../../packages/cygnet/bin/cygnet.cjs', import.meta.url))
const READY_TIMEOUT_MS = 20_000
const STOP_TIMEOUT_MS = 20_000

export class Subject {
  readonly name: 'cygnet' | 'tgt'
  readonly port: number
  readonly iqn: string
  readonly pid: number
  /** How many disks are served. */
  readonly disks: number
  readonly exited: Promise<Exit>
  readonly #child: ChildProcess
  readonly #output: { stdout: string; stderr: string }

  constructor(
    name: 'cygnet' | 'tgt',
    child: ChildProcess,
    output: { stdout: string; stderr: string },
    port: number,
    iqn: string,
    disks: number,
  ) {
    this.name = name
    this.port = port
    this.iqn = iqn
    this.pid = child.pid ?? -1
    this.disks = disks
    this.exited = exitOf(child)
    this.#child = child
    this.#output = output
  }

  get portal(): string {
    return `127.0.0.1:${this.port}`
  }
  get stdout(): string {
    return this.#output.stdout
  }
  get stderr(): string {
    return this.#output.stderr
  }
  /** The log so far. */
  get log(): LogLine[] {
    return this.stderr
      .split('\n')
      .filter((line) => line.startsWith('{'))
      .map((line) => JSON.parse(line) as LogLine)
  }
  get isRunning(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null
  }

  /** The LUN of a disk; tgt keeps LUN 0 for its controller. */
  lun(disk = 0): number {
    return this.name === 'tgt' ? disk + 1 : disk
  }

  url(disk = 0, query = ''): string {
    return `iscsi://${this.portal}/${this.iqn}/${this.lun(disk)}${query}`
  }

  /** QEMU's `--image-opts` for a disk. */
  imageOptions(disk = 0, more = ''): string {
    return `driver=iscsi,transport=tcp,portal=${this.portal},target=${this.iqn},lun=${this.lun(disk)}${more}`
  }

  /** Bytes of memory that the process has now and has had at most. */
  memory(): { residentBytes: number; peakBytes: number } {
    const status = readFileSync(`/proc/${this.pid}/status`, 'utf8')
    const field = (name: string): number =>
      Number(new RegExp(`${name}:\\s+(\\d+) kB`).exec(status)?.[1]) * 1024
    return { residentBytes: field('VmRSS'), peakBytes: field('VmHWM') }
  }

  /** Asks the process to end as a service manager does; throws when it takes too long. tgt only ends by force. */
  async stop(): Promise<Exit> {
    this.#child.kill(this.name === 'tgt' ? 'SIGKILL' : 'SIGTERM')
    return this.#exitIn(STOP_TIMEOUT_MS)
  }

  /** Ends the process at once, as a crash does. */
  async crash(): Promise<Exit> {
    this.#child.kill('SIGKILL')
    return this.#exitIn(STOP_TIMEOUT_MS)
  }

  async #exitIn(timeoutMs: number): Promise<Exit> {
    if (await until(() => !this.isRunning, timeoutMs)) return this.exited
    throw new Error(`the target still runs ${timeoutMs} ms after its signal\n${this.stderr.slice(-4000)}`)
  }
}

/** Starts the target that `CYGNET_SUBJECT` names: `cygnet` (the default) or `tgt`. */
export function startSubject(scratch: Scratch, options: SubjectOptions): Promise<Subject> {
  return subjectName() === 'tgt' ? startTgt(scratch, options) : startCygnet(scratch, options)
}

export function subjectName(): 'cygnet' | 'tgt' {
  return process.env['CYGNET_SUBJECT'] === 'tgt' ? 'tgt' : 'cygnet'
}

export async function startCygnet(scratch: Scratch, options: SubjectOptions): Promise<Subject> {
  const args = [...(options.nodeOptions ?? []), mainScript, 'serve', ...(options.images ?? [])]
  args.push('--listen', `127.0.0.1:${options.port ?? 0}`)
  if (options.advertise !== undefined) args.push('--advertise', options.advertise)
  if (options.memory !== undefined) args.push('--memory', options.memory)
  if (options.size !== undefined) args.push('--size', options.size)
  if (options.blockSize !== undefined) args.push('--block-size', String(options.blockSize))
  if (options.readOnly) args.push('--read-only')
  if (options.stateFolder !== undefined) args.push('--state', options.stateFolder)
  const child = scratch.spawn(process.execPath, args)
  const output = collect(child)
  const ready = (): RegExpExecArray | null =>
    /^Ready:.*iscsi:\/\/[^/\s]*:(\d+)\/([^/\s]+)\/\d+/m.exec(output.stdout)
  await until(() => ready() !== null || child.exitCode !== null, READY_TIMEOUT_MS)
  const match = ready()
  if (match === null) throw new Error(`cygnet serve is not ready\n${output.stdout}\n${output.stderr}`)
  const disks = options.memory === undefined ? (options.images?.length ?? 1) : 1
  return new Subject('cygnet', child, output, Number(match[1]), match[2] ?? '', disks)
}

const TGT_IQN = 'iqn.2026-11.dev.example:tgt'

export async function startTgt(scratch: Scratch, options: SubjectOptions): Promise<Subject> {
  const port = options.port ?? (await freePort())
  const images = [...(options.images ?? [])]
  if (options.memory !== undefined) {
    const image = scratch.path(`memory-${port}.img`)
    createImage(image, options.memory)
    images.push(image)
  }
  for (const image of images) if (options.size !== undefined) createImage(image, options.size)
  // The control socket is in the file system, /var/run/tgtd/socket.N, with N below 32768.
  const control = String(port >>> 1)
  mkdirSync('/var/run/tgtd', { recursive: true })
  scratch.defer(() => {
    for (const end of ['', '.lock']) rmSync(`/var/run/tgtd/socket.${control}${end}`, { force: true })
  })
  const child = scratch.spawn(peerPath('tgtd'), ['-f', '-C', control, '--iscsi', `portal=127.0.0.1:${port}`])
  const output = collect(child)
  const admin = (...args: string[]) => runOk(peerPath('tgtadm'), ['-C', control, '--lld', 'iscsi', ...args])
  for (let tries = 0; ; tries++) {
    const { code } = await run(peerPath('tgtadm'), ['-C', control, '--mode', 'sys', '--op', 'show'])
    if (code === 0) break
    if (tries === 100 || child.exitCode !== null) throw new Error(`tgtd is not ready\n${output.stderr}`)
    await sleep(100)
  }
  await admin('--mode', 'target', '--op', 'new', '--tid', '1', '-T', TGT_IQN)
  for (const [index, image] of images.entries()) {
    const lun = String(index + 1)
    const block = ['--blocksize', String(options.blockSize ?? 512)]
    await admin('--mode', 'logicalunit', '--op', 'new', '--tid', '1', '--lun', lun, '-b', image, ...block)
    const params = `thin_provisioning=1${options.readOnly ? ',readonly=1' : ''}`
    await admin('--mode', 'logicalunit', '--op', 'update', '--tid', '1', '--lun', lun, '--params', params)
  }
  for (const key of ['HeaderDigest', 'DataDigest']) {
    await admin('--mode', 'target', '--op', 'update', '--tid', '1', '-n', key, '-v', 'None,CRC32C')
  }
  await admin('--mode', 'target', '--op', 'bind', '--tid', '1', '-I', 'ALL')
  return new Subject('tgt', child, output, port, TGT_IQN, images.length)
}

/** Makes a sparse file, or leaves the one that is there. `size` is a number with K, M or G behind it. */
export function createImage(path: string, size: string): void {
  const [, digits = '', unit = ''] = /^(\d+)([KMG]?)$/.exec(size) ?? []
  writeFileSync(path, '', { flag: 'a' })
  truncateSync(
    path,
    Number(digits) * { '': 1, K: 2 ** 10, M: 2 ** 20, G: 2 ** 30 }[unit as '' | 'K' | 'M' | 'G'],
  )
}

export function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}

/** Waits for a condition; true when it came about in time. */
export async function until(condition: () => boolean, timeoutMs: number): Promise<boolean> {
  const end = performance.now() + timeoutMs
  while (!condition()) {
    if (performance.now() > end) return false
    await sleep(20)
  }
  return true
}

/** Gathers what a process writes. */
export function collect(child: ChildProcess): { stdout: string; stderr: string } {
  const output = { stdout: '', stderr: '' }
  child.stdout?.setEncoding('utf8').on('data', (text: string) => (output.stdout += text))
  child.stderr?.setEncoding('utf8').on('data', (text: string) => (output.stderr += text))
  void once(child, 'close').catch(() => undefined)
  return output
}
