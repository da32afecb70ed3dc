import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, it } from 'node:test'
import type { StoreError } from '../store/backing-store.ts'
import type { StateFolder } from './state-file.ts'
import { StateFile, stateFolder } from './state-file.ts'

const folder = mkdtempSync(join(tmpdir(), 'cygnet-state-'))
after(() => rmSync(folder, { recursive: true }))
let count = 0
const newPath = (): string => join(folder, `disk${count++}.state`)
const UNIT = 'naa.3000000000000001'

const set = (file: StateFile, name: string, value: unknown): Promise<StoreError | undefined> =>
  new Promise((resolve) => file.set(name, value, resolve))

describe('a state file', () => {
  it('gives back after a restart what was saved', async () => {
    const path = newPath()
    const file = new StateFile(path, UNIT)
    assert.equal(file.get('a'), undefined)
    assert.equal(await set(file, 'a', { keys: ['1', '2'] }), undefined)
    assert.equal(await set(file, 'b', 7), undefined)
    const again = new StateFile(path, UNIT)
    assert.deepEqual([again.get('a'), again.get('b')], [{ keys: ['1', '2'] }, 7])
    assert.equal(statSync(path).mode & 0o777, 0o600)
  })

  it('is there only while there is something to remember', async () => {
    const path = newPath()
    const file = new StateFile(path, UNIT)
    assert.equal(await set(file, 'a', undefined), undefined)
    await set(file, 'a', 1)
    assert.ok(readdirSync(folder).some((name) => path.endsWith(name)))
    await set(file, 'a', undefined)
    assert.ok(!readdirSync(folder).some((name) => path.endsWith(name) || name.endsWith('.new')))
  })

  it('saves changes one after the other, each before its own completion', async () => {
    const path = newPath()
    const file = new StateFile(path, UNIT)
    const seen: unknown[] = []
    const changes = [1, 2, 3].map(
      (value) =>
        new Promise<void>((resolve) => {
          file.set('a', value, () => {
            seen.push((JSON.parse(readFileSync(path, 'utf8')) as { records: { a: number } }).records.a)
            resolve()
          })
        }),
    )
    await Promise.all(changes)
    assert.deepEqual(seen, [1, 2, 3])
  })

  it('completes each change once, also one that was made when another was completed', async () => {
    const file = new StateFile(newPath(), UNIT)
    const completed: string[] = []
    await new Promise<void>((resolve) => {
      file.set('a', 1, () => {
        completed.push('first')
        file.set('b', 2, () => void completed.push('second'))
        file.set('c', 3, () => resolve())
      })
    })
    await set(file, 'd', 4)
    assert.deepEqual(completed, ['first', 'second'])
    assert.deepEqual(
      ['a', 'b', 'c', 'd'].map((name) => file.get(name)),
      [1, 2, 3, 4],
    )
  })

  it('of another unit is as good as none', async () => {
    const path = newPath()
    await set(new StateFile(path, 'naa.3000000000000002'), 'a', 1)
    const file = new StateFile(path, UNIT)
    assert.equal(file.isOfAnother, true)
    assert.equal(file.get('a'), undefined)
  })

  it('that cannot be understood is not overlooked', () => {
    for (const text of ['', '{', 'null', '{"unit":1}', '{"records":null,"unit":""}', '{"records":{}}']) {
      const path = newPath()
      writeFileSync(path, text)
      assert.throws(() => new StateFile(path, UNIT), { code: 'STATE_INVALID' }, text)
    }
    assert.throws(() => new StateFile(folder, UNIT), { code: 'STATE_UNREADABLE' })
  })

  it('keeps the old value where the new one could not be saved', async () => {
    const path = newPath()
    let fails = false
    const failing: StateFolder = {
      ...stateFolder,
      write: (...args) =>
        fails
          ? Promise.reject(Object.assign(new Error('full'), { code: 'ENOSPC' }))
          : stateFolder.write(...args),
    }
    const file = new StateFile(path, UNIT, failing)
    await set(file, 'a', 1)
    fails = true
    assert.equal((await set(file, 'a', 2))?.failure, 'no-space')
    assert.equal(file.get('a'), 1)
    fails = false
    await set(file, 'b', 1)
    assert.equal(new StateFile(path, UNIT).get('a'), 1, 'what failed is not saved with the next change')
  })
})

/** A folder on a disk that loses at a power cut what was not flushed: names until their folder is. */
class PowerCut implements StateFolder {
  readonly #files = new Map<string, string>()
  #names = new Map<string, string>()
  #left: number

  /** The power goes in the middle of step `steps`. */
  constructor(steps: number) {
    this.#left = steps
  }

  /** What is there afterwards: names may be as they were, or as they are. */
  survivors(path: string): (string | undefined)[] {
    return [this.#names.get(path), this.#files.get(path)]
  }

  #step(effect: () => void): Promise<void> {
    if (this.#left-- <= 0) return Promise.reject(Object.assign(new Error('no power'), { code: 'EIO' }))
    effect()
    return Promise.resolve()
  }

  write(path: string, text: string): Promise<void> {
    return this.#step(() => this.#files.set(path, text))
  }

  rename(from: string, to: string): Promise<void> {
    return this.#step(() => {
      this.#files.set(to, this.#files.get(from) ?? '')
      this.#files.delete(from)
    })
  }

  remove(path: string): Promise<void> {
    return this.#step(() => this.#files.delete(path))
  }

  syncNames(): Promise<void> {
    return this.#step(() => (this.#names = new Map(this.#files)))
  }
}

describe('a power cut', () => {
  it('leaves the old records or the new ones, and the new ones once they were acknowledged', async () => {
    const path = newPath()
    const values = [1, 2, undefined, 3]
    for (let steps = 0; steps <= 12; steps++) {
      const disk = new PowerCut(steps)
      const file = new StateFile(path, UNIT, disk)
      let acknowledged: unknown
      let attempted: unknown
      for (const value of values) {
        attempted = value
        if (await set(file, 'a', value)) break
        acknowledged = value
      }
      for (const text of disk.survivors(path)) {
        const content = text === undefined ? undefined : (JSON.parse(text) as { records: { a: unknown } })
        assert.ok([acknowledged, attempted].includes(content?.records.a), `after ${steps} steps: ${text}`)
      }
    }
  })
})
