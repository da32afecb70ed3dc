import { readFileSync, statSync } from 'node:fs'
import { isAbsolute, join, normalize } from 'node:path'
import { type Finding, warningAt } from './finding.ts'
import type { Path } from './problem.ts'

/** Read, write or run by others than owner and group. */
const OTHERS = 0o007

export type Environment = Readonly<Record<string, string | undefined>>

export interface Surroundings {
  /** Where relative paths start: the folder of the file. */
  readonly folder: string
  readonly environment: Environment
}

export const resolvePath = (folder: string, path: string): string =>
  isAbsolute(path) ? normalize(path) : join(folder, path)

/** Why a file cannot be read; undefined where it can. */
export function fileFault(path: string, mostBytes: number): { found: string; remedy: string } | undefined {
  const stats = statSync(path, { throwIfNoEntry: false })
  if (stats === undefined)
    return {
      found: `no file ${path}`,
      remedy: 'create it, or correct the path; it starts at the folder of this file',
    }
  if (!stats.isFile()) return { found: `${path}, which is no file`, remedy: 'correct the path' }
  if (stats.size > mostBytes)
    return {
      found: `${stats.size} bytes in ${path}`,
      remedy: `at most ${mostBytes} are read: correct the path`,
    }
  try {
    readFileSync(path)
  } catch (error) {
    const found = `${path}, which cannot be read (${(error as NodeJS.ErrnoException).code})`
    return { found, remedy: 'let the user of the server read it' }
  }
  return undefined
}

/** Finds what is private and yet open to others. */
export function warnAboutRights(file: string, path: Path): Finding[] {
  if (!isOpenToOthers(file)) return []
  const found = `${file}, which other users of this machine may use`
  return [warningAt(path, { expected: 'a private file', found, remedy: `chmod o= ${file}` })]
}

/** Whether users of this machine other than owner and group may use the file; never on Windows, which has other rights. */
const isOpenToOthers = (path: string): boolean =>
  process.platform !== 'win32' && ((statSync(path, { throwIfNoEntry: false })?.mode ?? 0) & OTHERS) !== 0
