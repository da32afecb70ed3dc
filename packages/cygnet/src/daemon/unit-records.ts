import { accessSync, constants, mkdirSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { Logger } from 'pino'
import { hex } from '../base/bytes.ts'
import { CygnetError } from '../base/errors.ts'
import type { UnitIdentity } from '../device/identity-pages.ts'
import { StateFile } from '../runtime/state-file.ts'
import type { OpenDisk } from './disks.ts'

/**
 * Where units remember what outlives a restart beside their data: in the state folder, one file for each unit, or in a
 * file beside each image, which goes with it wherever it is moved. A disk in memory remembers nothing: it does not
 * outlive a restart itself.
 */
export class UnitRecords {
  readonly #folder: string | null
  readonly #log: Logger

  /** @throws {CygnetError} STATE_FOLDER where it cannot be made or written to */
  constructor(folder: string | null, log: Logger) {
    this.#folder = folder
    this.#log = log
    if (folder === null) return
    try {
      mkdirSync(folder, { recursive: true, mode: 0o700 })
      accessSync(folder, constants.W_OK)
    } catch (cause) {
      const { code } = cause as NodeJS.ErrnoException
      const message = `The state folder ${folder} cannot be used (${code}): let the user of the server write there, or name another.`
      throw new CygnetError('STATE_FOLDER', message, { cause })
    }
  }

  /**
   * The records of a disk; undefined where it has no place for them.
   * @throws {CygnetError} STATE_UNREADABLE, STATE_INVALID
   */
  open({ medium, name }: OpenDisk, { naa }: UnitIdentity): StateFile | undefined {
    const unit = `naa.${hex(naa)}`
    const path = medium.kind === 'memory' ? undefined : this.#pathFor(medium.path, unit)
    if (path === undefined) return undefined
    const file = new StateFile(path, unit)
    if (file.isOfAnother) {
      this.#log.warn({ path, name }, 'what it remembers is of another target or LUN, and is not used')
    }
    return file
  }

  #pathFor(image: string, unit: string): string | undefined {
    if (this.#folder !== null) return join(this.#folder, `${unit}.json`)
    if (!statSync(image).isFile()) {
      this.#log.info(
        { name: image },
        'its persistent reservations end with the server: no state folder is set',
      )
      return undefined
    }
    try {
      accessSync(dirname(image), constants.W_OK)
      return `${image}.state`
    } catch {
      this.#log.info(
        { name: image },
        'its persistent reservations end with the server: its folder is read-only',
      )
      return undefined
    }
  }
}
