import fs from 'node:fs'

export interface BlockDeviceFacts {
  readonly sizeBytes: number
  readonly physicalBlockBytes: number
  /** The device zeroes ranges by itself, without being sent the zeroes. */
  readonly canZero: boolean
}

/**
 * What Linux knows of a block device, from /sys: fstat says nothing of its size. `device` is fstat's `rdev`.
 * Undefined where /sys does not know the device.
 */
export function blockDeviceFacts(
  device: number,
  readText: (path: string) => string | undefined = readTextFile,
): BlockDeviceFacts | undefined {
  // The encoding of dev_t: 12 bits of the major number above 8 bits of the minor, whose other bits are higher up.
  const major = Math.floor(device / 256) % 4096
  const minor = (device % 256) + Math.floor(device / 0x10_0000) * 256
  const directory = `/sys/dev/block/${major}:${minor}`
  // A partition has no queue of its own: its parent directory is the disk.
  const queue = (name: string): number =>
    Number(readText(`${directory}/queue/${name}`) ?? readText(`${directory}/../queue/${name}`) ?? 0)
  const sectors = Number(readText(`${directory}/size`))
  if (!Number.isSafeInteger(sectors * 512) || sectors === 0) return undefined
  return {
    // /sys counts in 512-byte sectors, whatever the device's own are.
    sizeBytes: sectors * 512,
    physicalBlockBytes: queue('physical_block_size') || 512,
    canZero: queue('write_zeroes_max_bytes') > 0,
  }
}

function readTextFile(path: string): string | undefined {
  try {
    return fs.readFileSync(path, 'latin1')
  } catch {
    return undefined
  }
}
