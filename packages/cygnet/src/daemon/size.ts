import { CygnetError } from '../base/errors.ts'

const units = ['', 'K', 'M', 'G', 'T', 'P']

/**
 * Reads a size in bytes: `4096`, `512M`, `1.5T`, `1GiB`, `1gb`. Every unit is a power of 1024.
 * @throws {CygnetError} SIZE_INVALID
 */
export function parseSize(text: string): number {
  const match = /^(?<number>\d+(?:\.\d+)?)(?<unit>[KMGTP]?)(?:i?B)?$/i.exec(text)
  if (match?.groups === undefined)
    throw invalid(text, 'write a number and perhaps K, M, G, T or P, such as 512M or 1.5T')
  const { number = '', unit = '' } = match.groups
  const sizeBytes = Number(number) * 1024 ** units.indexOf(unit.toUpperCase())
  if (sizeBytes === 0) throw invalid(text, 'a disk needs at least one block')
  if (!Number.isInteger(sizeBytes)) throw invalid(text, 'that is not a whole number of bytes')
  if (!Number.isSafeInteger(sizeBytes)) throw invalid(text, 'at most 7.9P can be served')
  return sizeBytes
}

/** A size for people, exact: `1 GiB`, `1.5 TiB`, `1000 bytes`. */
export function formatSize(sizeBytes: number): string {
  for (let power = units.length - 1; power > 0; power--) {
    const inUnits = sizeBytes / 1024 ** power
    if (inUnits >= 1 && inUnits < 1024 && Number.isInteger(inUnits * 100))
      return `${inUnits} ${units[power]}iB`
  }
  return `${sizeBytes} bytes`
}

const invalid = (text: string, remedy: string): CygnetError =>
  new CygnetError('SIZE_INVALID', `"${text}" is not a size: ${remedy}.`)
