/**
 * Persistent reservations with APTPL, and `kill -9` at any instant of a change: afterwards there is the old state or the new one, never
 * a mixture, and never the old one once the new one was acknowledged.
 */
import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { test } from 'node:test'
import { StateFile } from '../../packages/cygnet/src/runtime/state-file.ts'
import { CHILD_UNIT, RECORD, rememberedIn } from '../support/reserving.ts'
import { exitOf, Scratch } from '../support/scratch.ts'
import { Seeded } from '../support/seeded.ts'
import { sleep } from '../support/subject.ts'

const ROUNDS = 200
/** A change takes a few: most rounds end in the middle of one. */
const LONGEST_ROUND_MS = 60
const script = new URL('../support/reserving-child.ts', import.meta.url).pathname

class Child {
  readonly #process: ChildProcess
  #output = ''

  constructor(path: string, seed: number) {
    this.#process = spawn(process.execPath, [script, path, String(seed)], {
      stdio: ['pipe', 'pipe', 'inherit'],
    })
    this.#process.stdout?.setEncoding('utf8').on('data', (text: string) => (this.#output += text))
  }

  /** Lets it work for a while, kills it, and returns all that it said. */
  async round(ms: number): Promise<string[]> {
    const closed = new Promise((resolve) => this.#process.once('close', resolve))
    const first = new Promise((resolve) => this.#process.stdout?.once('data', resolve))
    this.#process.stdin?.write('go\n')
    await Promise.race([first, closed])
    await sleep(ms)
    await this.kill()
    await closed
    return this.#output.split('\n')
  }

  async kill(): Promise<void> {
    this.#process.kill('SIGKILL')
    await exitOf(this.#process)
  }
}

test(`${ROUNDS} rounds of changes that end in kill -9`, { timeout: 300_000 }, async (t) => {
  const scratch = new Scratch(t)
  const random = new Seeded()
  t.diagnostic(`CYGNET_SEED=${random.seed}`)
  const path = scratch.path('disk.state')
  const newChild = (): Child => new Child(path, random.between(0, 2 ** 31))
  let next = newChild()
  scratch.defer(() => next.kill())
  let before = rememberedIn(undefined)
  let acknowledged = 0
  let unfinished = 0
  let stayedNew = 0
  for (let round = 0; round < ROUNDS; round++) {
    const child = next
    // The next one starts meanwhile, and waits.
    next = newChild()
    const lines = await child.round(random.between(0, LONGEST_ROUND_MS))
    let pending: unknown
    for (const line of lines) {
      const [word = '', ...rest] = line.split(' ')
      const json = rest.join(' ')
      if (word === 'restored') {
        assert.deepEqual(JSON.parse(json), before, `round ${round}: the unit has what was on disk`)
      } else if (word === 'try' && json.endsWith('}')) pending = JSON.parse(json)
      else if (word === 'try' && json === 'null') pending = null
      else if (word === 'done') {
        before = rememberedIn(pending)
        pending = undefined
        acknowledged++
      }
    }
    const found = rememberedIn(new StateFile(path, CHILD_UNIT).get(RECORD))
    if (pending !== undefined) {
      unfinished++
      const changed = rememberedIn(pending)
      const isNew = JSON.stringify(found) === JSON.stringify(changed)
      if (isNew) stayedNew++
      if (isNew) before = changed
    }
    assert.deepEqual(found, before, `round ${round}`)
  }
  t.diagnostic(
    `${acknowledged} changes acknowledged; ${unfinished} cut short, of which ${stayedNew} had come about`,
  )
  assert.ok(acknowledged > ROUNDS / 4, 'the rounds had something to lose')
  assert.ok(unfinished > ROUNDS / 4, 'rounds ended in the middle of changes')
})
