/** Everybody who serves, started once for the whole run, all with the same file as their disk where they have one. */
import { randomFillSync } from 'node:crypto'
import { closeSync, fsyncSync, linkSync, openSync, writeSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { TestCertificates } from '../packages/cygnet/src/runtime/tls-certificates.test-helper.ts'
import { startConfigured } from '../test/support/configured.ts'
import { startIstgt } from '../test/support/istgt.ts'
import { findCommand } from '../test/support/peer.ts'
import type { Scratch } from '../test/support/scratch.ts'
import { collect, startCygnet, startTgt, until } from '../test/support/subject.ts'
import type { Served } from './cases.ts'
import { pinTarget } from './process-figures.ts'
import { IMAGE_BYTES, ROUND_TRIP_MS, WINDOW_BYTES } from './settings.ts'

export interface Target {
  /** `iscsi://…`, or the port of the floor. */
  readonly url: string
  /** Another target of the same server. */
  readonly secondUrl?: string
  readonly pid: number
  /** TLS: the certificate of who is to be trusted. */
  readonly caFile?: string
}

export interface Targets {
  readonly image: string
  readonly targets: Readonly<Partial<Record<Served, Target>>>
  /** Who is not here, and why. */
  readonly missing: ReadonlyMap<Served, string>
}

const CHUNK_BYTES = 2 ** 24
const READY_TIMEOUT_MS = 20_000
const IQN = 'iqn.2026-11.dev.example:bench'

/** A file of noise, on the disk and in the page cache. */
export function makeImage(path: string): void {
  const chunk = randomFillSync(Buffer.alloc(CHUNK_BYTES))
  const file = openSync(path, 'w')
  for (let offset = 0; offset < IMAGE_BYTES; offset += CHUNK_BYTES) {
    writeSync(file, chunk, 0, CHUNK_BYTES, offset)
  }
  fsyncSync(file)
  closeSync(file)
}

/** Starts a script of ours that prints the port it listens on. */
export async function startScript(
  scratch: Scratch,
  name: string,
  args: readonly string[] = [],
): Promise<{ readonly pid: number; readonly port: number }> {
  const script = fileURLToPath(new URL(name, import.meta.url))
  const child = scratch.spawn(process.execPath, [script, ...args])
  const output = collect(child)
  await until(() => output.stdout.endsWith('\n') || child.exitCode !== null, READY_TIMEOUT_MS)
  const port = Number(output.stdout)
  if (!(port > 0) || child.pid === undefined) throw new Error(`${name} is not ready\n${output.stderr}`)
  return { pid: child.pid, port }
}

/** Puts the slow network in front of a target. */
async function delayed(scratch: Scratch, target: Target, port: number): Promise<Target> {
  const args = [port, ROUND_TRIP_MS / 2, WINDOW_BYTES].map(String)
  const proxy = await startScript(scratch, 'delay-proxy.ts', args)
  return { ...target, url: target.url.replace(String(port), String(proxy.port)) }
}

/** Other people's targets: what they need, and how they start. */
const others = {
  tgt: { needs: ['tgtd', 'tgtadm'], packages: 'tgt', start: tgt },
  istgt: { needs: ['istgt'], packages: 'istgt', start: istgt },
} as const

async function tgt(scratch: Scratch, image: string): Promise<Target> {
  const subject = await startTgt(scratch, { images: [image] })
  return { pid: subject.pid, url: subject.url() }
}

async function istgt(scratch: Scratch, image: string): Promise<Target> {
  // It names its files by itself: this one is the same file.
  linkSync(image, scratch.path('bench.istgt'))
  const started = await startIstgt(scratch, [{ name: 'bench', size: String(IMAGE_BYTES), blockSize: 512 }])
  return { pid: started.pid, url: started.url('bench') }
}

/** Two targets in memory, served by one process or by two. */
async function two(scratch: Scratch, shards: number): Promise<Target> {
  const names = [`${IQN}.1`, `${IQN}.2`] as const
  const { subject } = await startConfigured(scratch, {
    targets: Object.fromEntries(names.map((name) => [name, { luns: { 0: { memory: IMAGE_BYTES } } }])),
    shards,
  })
  const [url, secondUrl] = names.map((name) => `iscsi://${subject.portal}/${name}/0`)
  return { pid: subject.pid, url: url ?? '', secondUrl: secondUrl ?? '' }
}

export async function startTargets(scratch: Scratch): Promise<Targets> {
  const image = scratch.path('image')
  makeImage(image)
  const targets: Partial<Record<Served, Target>> = {}
  const missing = new Map<Served, string>()

  const certificates = new TestCertificates()
  scratch.defer(() => certificates.remove())
  const ca = certificates.ca('bench')
  const certificate = certificates.issue('portal', ca, { altNames: 'DNS:localhost,IP:127.0.0.1' })
  const { subject, ports } = await startConfigured(scratch, {
    portals: [{ listen: '127.0.0.1:0' }, { listen: '127.0.0.1:0', tls: certificate }],
    targets: { [IQN]: { luns: { 0: { file: image } } } },
  })
  const { pid } = subject
  targets.cygnet = { pid, url: subject.url() }
  targets['cygnet-tls'] = {
    pid,
    url: `iscsi://127.0.0.1:${ports[1]}/${IQN}/0`,
    caFile: ca.certFile,
  }
  targets['cygnet-wan'] = await delayed(scratch, targets.cygnet, subject.port)
  const memory = await startCygnet(scratch, { memory: String(IMAGE_BYTES) })
  targets['cygnet-memory'] = { pid: memory.pid, url: memory.url() }

  targets['cygnet-two'] = await two(scratch, 1)
  targets['cygnet-shards'] = await two(scratch, 2)

  const floor = await startScript(scratch, 'floor-server.ts')
  targets.floor = { pid: floor.pid, url: String(floor.port) }
  targets['floor-wan'] = await delayed(scratch, targets.floor, floor.port)
  const floorTls = await startScript(scratch, 'floor-server.ts', [certificate.certFile, certificate.keyFile])
  targets['floor-tls'] = { pid: floorTls.pid, url: String(floorTls.port), caFile: ca.certFile }

  for (const name of ['tgt', 'istgt'] as const) {
    const { needs, packages, start } = others[name]
    const absent = needs.filter((program) => findCommand(program) === undefined)
    if (absent.length > 0) {
      missing.set(name, `${absent.join(', ')} missing: apt-get install ${packages}`)
      continue
    }
    try {
      // oxlint-disable-next-line no-await-in-loop -- one after the other
      targets[name] = await start(scratch, image)
    } catch (error) {
      missing.set(name, error instanceof Error ? error.message : String(error))
    }
  }
  const pids = new Set(Object.values(targets).map((target) => target.pid))
  for (const each of pids) await pinTarget(each) // oxlint-disable-line no-await-in-loop -- one is quick
  return { image, targets, missing }
}
