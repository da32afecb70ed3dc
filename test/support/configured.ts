/** Our target with a configuration file, for what the command line has no options for. */
import { writeFileSync } from 'node:fs'
import type { Scratch } from './scratch.ts'
import { collect, mainScript, Subject, until } from './subject.ts'

/** As in cygnet.yaml, which takes JSON too. */
export interface Configuration {
  readonly portals?: readonly object[]
  readonly targets: Readonly<Record<string, object>>
  readonly discovery?: object
  readonly limits?: object
  readonly shards?: number | 'auto'
}

export interface Configured extends AsyncDisposable {
  /** With the port of the first portal and the name of the first target. */
  readonly subject: Subject
  /** Ports of all portals, in order. */
  readonly ports: readonly number[]
  /** Rewrites the file, has it read again, and waits until that is done. A text is the whole file. */
  reconfigure(configuration: Configuration | string): Promise<void>
}

const READY_TIMEOUT_MS = 20_000
const RELOAD_TIMEOUT_MS = 15_000
const LOCAL = [{ listen: '127.0.0.1:0' }]
/** `CYGNET_SHARDS=2`: everything is as without. */
const { CYGNET_SHARDS } = process.env
const shards = CYGNET_SHARDS === undefined ? {} : { shards: Number(CYGNET_SHARDS) }

/** Starts `cygnet serve -c` and waits until it listens. Disposing of it ends it before the test does. */
export async function startConfigured(scratch: Scratch, configuration: Configuration): Promise<Configured> {
  const file = scratch.path(`cygnet-${process.hrtime.bigint()}.yaml`)
  const defaults = { portals: LOCAL, ...shards }
  const write = (text: Configuration | string): void =>
    writeFileSync(file, typeof text === 'string' ? text : JSON.stringify({ ...defaults, ...text }), {
      mode: 0o600,
    })
  write(configuration)
  const child = scratch.spawn(process.execPath, [mainScript, 'serve', '-c', file])
  const output = collect(child)
  const isReady = (): boolean => /^Ctrl-C ends it\.\n/m.test(output.stdout)
  await until(() => isReady() || child.exitCode !== null, READY_TIMEOUT_MS)
  if (!isReady())
    throw new Error(`cygnet serve -c is not ready\n${output.stdout}\n${output.stderr.slice(-2000)}`)
  const ports = [...output.stderr.matchAll(/"address":"[^"]*:(\d+)","msg":"listening"/g)].map(([, port]) =>
    Number(port),
  )
  const [iqn = ''] = Object.keys(configuration.targets)
  const disks = (output.stdout.match(/^Ready:/gm) ?? []).length
  const subject = new Subject('cygnet', child, output, ports[0] ?? 0, iqn, disks)
  return {
    subject,
    ports,
    async reconfigure(next) {
      const done = (): number => output.stderr.match(/"msg":"configuration read again/g)?.length ?? 0
      const before = done()
      write(next)
      child.kill('SIGHUP')
      if (!(await until(() => done() > before, RELOAD_TIMEOUT_MS)))
        throw new Error(`the configuration is not read again\n${output.stderr.slice(-2000)}`)
    },
    async [Symbol.asyncDispose]() {
      await subject.crash()
    },
  }
}
