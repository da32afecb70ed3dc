import { spawn } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type PlantedBug, plantedBugs } from './planted-bugs.ts'

const here = dirname(fileURLToPath(import.meta.url))
const sources = resolve(here, '../packages/cygnet/src')
/** What the simulator is made of. */
const FOLDERS = ['base', 'pdu', 'scsi', 'session', 'store', 'device', 'target', 'sim']
/** Of the hunt: the seeds that it may take. */
export const MOST_SEEDS = 1000

export interface Hunt {
  /** The first seed that fails; undefined where none does. */
  readonly seed: number | undefined
  readonly violation: string
}

/** Applies a patch; throws where it does not fit the sources any more. */
export function plant(text: string, { file, find, replace }: PlantedBug): string {
  const parts = text.split(find)
  if (parts.length !== 2)
    throw new Error(
      `${JSON.stringify(find)} occurs ${parts.length - 1} times in ${file}: the patch must follow.`,
    )
  return parts.join(replace)
}

/** Hunts for a bug in a copy of the sources, in a process of its own. */
export async function hunt(bug: PlantedBug): Promise<Hunt> {
  const folder = mkdtempSync(join(tmpdir(), 'cygnet-planted-'))
  try {
    const copy = join(folder, 'packages/cygnet/src')
    for (const name of FOLDERS)
      cpSync(join(sources, name), join(copy, name), {
        recursive: true,
        filter: (path) => !/\.test(?:-helper)?\.ts$/.test(basename(path)),
      })
    mkdirSync(join(folder, 'sim'))
    cpSync(join(here, 'hunt.ts'), join(folder, 'sim/hunt.ts'))
    writeFileSync(join(folder, 'package.json'), '{"type":"module"}')
    const path = join(copy, bug.file)
    writeFileSync(path, plant(readFileSync(path, 'utf8'), bug))
    return await run(join(folder, 'sim/hunt.ts'))
  } finally {
    rmSync(folder, { recursive: true })
  }
}

function run(script: string): Promise<Hunt> {
  const child = spawn(process.execPath, [script, String(MOST_SEEDS)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let output = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => (output += text))
  return new Promise((done, failed) => {
    child.on('error', failed)
    child.on('close', (code) => {
      if (code === 0) done(JSON.parse(output) as Hunt)
      else failed(new Error(`the hunt ended with exit code ${code}`))
    })
  })
}

/** Hunts for all of them, or those whose name contains `only`; true where each was found. */
export async function findPlantedBugs(
  only: string | undefined,
  say: (text: string) => void,
): Promise<boolean> {
  let isGood = true
  for (const bug of plantedBugs.filter(({ name }) => name.includes(only ?? ''))) {
    const { seed, violation } = await hunt(bug)
    isGood &&= seed !== undefined
    say(seed === undefined ? `NOT FOUND: ${bug.name}` : `${bug.name}: seed ${seed}, ${violation}`)
  }
  return isGood
}
