/** Measures every case: its contenders in turn, round after round. */
import { runOk } from '../test/support/scratch.ts'
import { findCommand } from '../test/support/peer.ts'
import { type Case, type Contender, isFloor } from './cases.ts'
import { measure, programOf } from './clients.ts'
import { diskReadBytes } from './process-figures.ts'
import { IMAGE_BYTES, ROUND_TRIP_MS, type Settings, WARM_UP_BYTES, WINDOW_BYTES } from './settings.ts'
import type { Sample } from './sample.ts'
import type { Target, Targets } from './targets.ts'

/** The samples of one contender, in the order of the rounds. */
export interface ContenderSamples {
  readonly name: string
  readonly samples: readonly Sample[]
}

export interface CaseSamples {
  readonly id: string
  readonly contenders: readonly ContenderSamples[]
}

/** What could not be measured as it should. */
export type Report = (problem: string) => void

/** Less than this part of what a cold load could read from the disk came from there: the file was not cold. */
const COLD_PART = 0.5
/** Of one window in each round trip. */
const RELAY_PART = 0.9

export class CaseRunner {
  readonly #served: Targets
  readonly #settings: Settings
  readonly #problem: Report
  readonly #say: (line: string) => void

  constructor(served: Targets, settings: Settings, problem: Report, say: (line: string) => void) {
    this.#served = served
    this.#settings = settings
    this.#problem = problem
    this.#say = say
  }

  /** Lets each target run for a while: Node compiles what has run often, and its first seconds are another program's. */
  async warmUp(cases: readonly Case[]): Promise<void> {
    const settings = { ...this.#settings, warmUpSeconds: 0, seconds: this.#settings.firstSeconds }
    const seen = new Set<string>()
    for (const { load, contenders } of cases) {
      for (const { name, served } of contenders) {
        const target = this.#served.targets[served]
        const key = `${served} ${load.pattern} ${load.blockBytes}`
        // The others are no programs that are compiled while they run.
        if (target === undefined || served === 'tgt' || served === 'istgt' || load.isWan || seen.has(key))
          continue
        seen.add(key)
        const contender: Contender = { name, served, client: isFloor(served) ? 'floor' : 'ours' }
        const measurement = { load: { ...load, isCold: false }, contender, target, settings }
        // oxlint-disable-next-line no-await-in-loop -- one after the other
        await this.#tried(`warm-up of ${key}`, () => measure({ ...measurement, expectedIops: undefined }))
      }
    }
  }

  async run(one: Case): Promise<CaseSamples> {
    const samples = new Map<string, Sample[]>()
    const contenders = one.contenders.filter((contender) => this.#canRun(contender, one))
    const rounds = one.load.isWan ? this.#settings.wanRounds : this.#settings.rounds
    this.#say(`${one.id}: ${contenders.length} contenders, ${rounds} round${rounds === 1 ? '' : 's'}`)
    for (let round = 1; round <= rounds; round++) {
      for (const contender of contenders) {
        const before = samples.get(contender.name) ?? []
        samples.set(contender.name, before)
        const what = `${one.id}, ${contender.name}`
        // oxlint-disable-next-line no-await-in-loop -- one after the other
        const sample = await this.#tried(what, () => this.#measure(one, contender, before.at(-1)))
        if (sample) before.push(sample)
      }
    }
    if (one.load.isWan) this.#checkRelay(one.id, samples.get('floor') ?? [])
    return { id: one.id, contenders: [...samples].map(([name, all]) => ({ name, samples: all })) }
  }

  async #measure(one: Case, contender: Contender, last: Sample | undefined): Promise<Sample> {
    const target = this.#targetOf(contender)
    if (one.load.isCold) await dropFromCache(this.#served.image)
    const readBefore = diskReadBytes(target.pid)
    const sample = await measure({
      load: one.load,
      contender,
      target,
      settings: this.#settings,
      expectedIops: last?.iops,
    })
    if (one.load.isCold) {
      const wanted = Math.min(sample.bytesPerSecond * this.#settings.seconds, IMAGE_BYTES - WARM_UP_BYTES)
      const read = diskReadBytes(target.pid) - readBefore
      if (read < wanted * COLD_PART) {
        const part = ((read / wanted) * 100).toFixed(0)
        this.#problem(
          `${one.id}, ${contender.name}: only ${part} % came from the disk, the cache was not cold`,
        )
      }
    }
    return sample
  }

  /** One bare TCP connection must fill its window, or what the relay carries is what was measured. */
  #checkRelay(id: string, floor: readonly Sample[]): void {
    const mostBytesPerSecond = (WINDOW_BYTES / ROUND_TRIP_MS) * 1000
    const best = Math.max(...floor.map(({ bytesPerSecond }) => bytesPerSecond))
    if (best >= mostBytesPerSecond * RELAY_PART) return
    const part = ((best / mostBytesPerSecond) * 100).toFixed(0)
    this.#problem(`${id}: the relay carried only ${part} % of a window in a round trip`)
  }

  #targetOf({ served }: Contender): Target {
    const target = this.#served.targets[served]
    if (target === undefined) throw new Error(`${served} does not run`)
    return target
  }

  #canRun({ name, served, client }: Contender, { id }: Case): boolean {
    const program = programOf[client]
    const missing = this.#served.missing.get(served)
    const reason =
      program !== undefined && findCommand(program) === undefined ? `${program} missing` : missing
    if (reason !== undefined) this.#problem(`${id}, ${name}: ${reason}`)
    return reason === undefined
  }

  async #tried<Result>(what: string, run: () => Promise<Result>): Promise<Result | undefined> {
    try {
      return await run()
    } catch (error) {
      this.#problem(`${what}: ${error instanceof Error ? error.message : String(error)}`)
      return undefined
    }
  }
}

/** Writes what is dirty of a file, and has the system forget what it holds of it (posix_fadvise, by GNU dd). */
async function dropFromCache(file: string): Promise<void> {
  await runOk('dd', [`of=${file}`, 'oflag=nocache', 'conv=notrunc,fdatasync', 'count=0', 'status=none'])
}
