/**
 * `node bench/flame.ts CASE [--client]`: draws where the processor time of a case goes, in our target or in `cygnet bench`, as
 * `bench/flames/CASE.svg` or `CASE-client.svg`.
 */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { runOk, Scratch } from '../test/support/scratch.ts'
import { mainScript, startCygnet } from '../test/support/subject.ts'
import { type Case, cases } from './cases.ts'
import { type CpuProfile, callTree, flameGraph } from './flame-graph.ts'
import { makeImage } from './targets.ts'

const SECONDS = 6
const WARM_UP_SECONDS = 3
const PROFILE_INTERVAL_US = 200

const nowUs = (): number => Number(process.hrtime.bigint() / 1000n)

async function draw(scratch: Scratch, { title, load }: Case, ofClient: boolean): Promise<string> {
  const folder = scratch.path('profiles')
  mkdirSync(folder)
  const profiled = [
    '--cpu-prof',
    '--cpu-prof-dir',
    folder,
    '--cpu-prof-interval',
    String(PROFILE_INTERVAL_US),
  ]
  const image = scratch.path('image')
  makeImage(image)
  const subject = await startCygnet(scratch, {
    images: [image],
    nodeOptions: ofClient ? [] : profiled,
  })
  const startedUs = nowUs()
  const what = ['--pattern', load.pattern, '--block', String(load.blockBytes), '--depth', String(load.depth)]
  const how = ['--warm-up', String(WARM_UP_SECONDS), '--time', String(SECONDS), '--json']
  const command = [...(ofClient ? profiled : []), mainScript, 'bench', ...what, ...how, subject.url()]
  await runOk(process.execPath, command, { timeoutMs: 60_000 })
  const toUs = nowUs()
  await subject.stop()
  const [name] = readdirSync(folder)
  const profile = JSON.parse(readFileSync(join(folder, name as string), 'utf8')) as CpuProfile
  const fromUs = startedUs + WARM_UP_SECONDS * 1e6
  return flameGraph(
    `${ofClient ? 'cygnet bench' : 'cygnet serve'}: ${title}`,
    callTree(profile, { fromUs, toUs }),
  )
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { client: { type: 'boolean', default: false } },
})
const one = cases.find(({ id }) => id === positionals[0])
if (one === undefined) {
  process.stderr.write(`Name one of the cases: ${cases.map(({ id }) => id).join(', ')}.\n`)
  process.exitCode = 2
} else {
  const scratch = new Scratch()
  try {
    const svg = await draw(scratch, one, values.client)
    const file = fileURLToPath(
      new URL(`flames/${one.id}${values.client ? '-client' : ''}.svg`, import.meta.url),
    )
    mkdirSync(fileURLToPath(new URL('flames', import.meta.url)), { recursive: true })
    writeFileSync(file, svg)
    process.stderr.write(`drawn: ${file}\n`)
  } finally {
    await scratch.end()
  }
}
