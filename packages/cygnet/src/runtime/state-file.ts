import { readFileSync } from 'node:fs'
import { open, rename, unlink } from 'node:fs/promises'
import { dirname } from 'node:path'
import { CygnetError } from '../base/errors.ts'
import type { Done } from '../store/backing-store.ts'
import type { DurableRecords } from '../store/durable-records.ts'
import { storeErrorOf } from './disk-io-errors.ts'

/** What a state file needs of the file system; each resolves when stable storage holds what it did, but for the names. */
export interface StateFolder {
  /** Creates the file, or replaces its content: written and flushed (fsync). */
  write(path: string, text: string): Promise<void>
  rename(from: string, to: string): Promise<void>
  /** No error where there is no such file. */
  remove(path: string): Promise<void>
  /** Makes the names in the folder durable. */
  syncNames(folder: string): Promise<void>
}

/** Only the server's user may read who has reserved what. */
const MODE = 0o600

export const stateFolder: StateFolder = {
  async write(path, text) {
    const file = await open(path, 'w', MODE)
    try {
      await file.writeFile(text)
      await file.sync()
    } finally {
      await file.close()
    }
  },
  rename,
  async remove(path) {
    try {
      await unlink(path)
    } catch (error) {
      if (!isMissing(error)) throw error
    }
  },
  async syncNames(folder) {
    // Windows opens no folders, and makes a rename durable itself.
    if (process.platform === 'win32') return
    const directory = await open(folder, 'r')
    try {
      await directory.sync()
    } finally {
      await directory.close()
    }
  },
}

const isMissing = (error: unknown): boolean => (error as NodeJS.ErrnoException).code === 'ENOENT'

type Records = Readonly<Record<string, unknown>>

interface Change {
  readonly name: string
  readonly value: unknown
  readonly done: Done
}

/**
 * The records of one logical unit in a small JSON file, there while there is something to remember:
 *   { "unit": "naa.3…", "records": { "reservations": { … } } }
 * A change is written to a file beside it, flushed, and takes its place by a rename that is flushed too: a crash leaves
 * the old file or the new one. One change follows the other.
 */
export class StateFile implements DurableRecords {
  readonly path: string
  readonly #unit: string
  readonly #folder: StateFolder
  #records: Records
  readonly #changes: Change[] = []
  /** The file was there, but remembers another unit: it is as good as none, and the next change replaces it. */
  readonly isOfAnother: boolean

  /** `unit` says whose records these are. @throws {CygnetError} STATE_UNREADABLE, STATE_INVALID */
  constructor(path: string, unit: string, folder: StateFolder = stateFolder) {
    this.path = path
    this.#unit = unit
    this.#folder = folder
    const content = read(path)
    this.isOfAnother = content !== undefined && content.unit !== unit
    this.#records = content === undefined || this.isOfAnother ? {} : content.records
  }

  get(name: string): unknown {
    return this.#records[name]
  }

  set(name: string, value: unknown, done: Done): void {
    this.#changes.push({ name, value, done })
    if (this.#changes.length === 1) void this.#save()
  }

  async #save(): Promise<void> {
    for (let change = this.#changes[0]; change !== undefined; change = this.#changes[0]) {
      const { name, value, done } = change
      const { [name]: _, ...others } = this.#records
      const records = value === undefined ? others : { ...others, [name]: value }
      let error: NodeJS.ErrnoException | undefined
      try {
        await this.#put(records)
        this.#records = records
      } catch (cause) {
        error = cause as NodeJS.ErrnoException
      }
      // Behind this one waits what is changed because of it.
      done(error && storeErrorOf(error))
      this.#changes.shift()
    }
  }

  async #put(records: Records): Promise<void> {
    const { path } = this
    const folder = dirname(path)
    if (Object.keys(records).length === 0) {
      await this.#folder.remove(path)
    } else {
      const next = `${path}.new`
      await this.#folder.write(next, `${JSON.stringify({ unit: this.#unit, records }, undefined, 2)}\n`)
      await this.#folder.rename(next, path)
    }
    await this.#folder.syncNames(folder)
  }
}

interface Content {
  readonly unit: unknown
  readonly records: Records
}

function read(path: string): Content | undefined {
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch (cause) {
    if (isMissing(cause)) return undefined
    const { code } = cause as NodeJS.ErrnoException
    throw new CygnetError('STATE_UNREADABLE', `${path} cannot be read (${code}): check its permissions.`, {
      cause,
    })
  }
  const content = parse(text)
  if (content) return content
  throw new CygnetError(
    'STATE_INVALID',
    `${path} is not what was written there: restore it, or delete it to give up the reservations that it holds.`,
  )
}

function parse(text: string): Content | undefined {
  try {
    const content = JSON.parse(text) as Partial<Content> | null
    const isOurs = typeof content?.records === 'object' && content.records !== null && 'unit' in content
    return isOurs ? (content as Content) : undefined
  } catch {
    return undefined
  }
}
