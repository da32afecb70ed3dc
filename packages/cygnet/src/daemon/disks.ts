import { CygnetError } from '../base/errors.ts'
import type { BackingStore } from '../store/backing-store.ts'
import type { DiskIO, OpenOptions } from '../store/disk-io.ts'
import { openFileStore } from '../store/file.ts'
import { MemoryStore } from '../store/memory.ts'
import { type BlockSize, checkWholeBlocks } from './blocks.ts'

export type DiskOptions =
  | {
      readonly kind: 'file'
      /** A regular file or a block device. */
      readonly path: string
      /** Creates a missing file sparse with this size. */
      readonly createSizeBytes?: number
    }
  | { readonly kind: 'memory'; readonly sizeBytes: number }

export interface DiskFormat {
  readonly blockSizeBytes: BlockSize
  readonly readOnly: boolean
}

/** An open disk, its LUN the place in the list. */
export interface OpenDisk extends DiskFormat {
  readonly lun: number
  /** For people: the image's path. */
  readonly name: string
  readonly sizeBytes: number
  readonly store: BackingStore
}

/**
 * Opens all disks, or none.
 * @throws {CygnetError} of the store that could not be opened; IMAGE_BLOCKS
 */
export async function openDisks(
  io: DiskIO,
  disks: readonly DiskOptions[],
  format: DiskFormat,
): Promise<OpenDisk[]> {
  const open: OpenDisk[] = []
  try {
    for (const [lun, disk] of disks.entries()) {
      const name = disk.kind === 'memory' ? 'memory' : disk.path
      const wantedBytes = disk.kind === 'memory' ? disk.sizeBytes : disk.createSizeBytes
      if (wantedBytes !== undefined)
        checkWholeBlocks(`A new disk (${name})`, wantedBytes, format.blockSizeBytes)
      const store = await openStore(io, disk, format)
      const { sizeBytes } = store.geometry
      open.push({ ...format, readOnly: format.readOnly || !store.can.write, lun, name, sizeBytes, store })
      checkWholeBlocks(name, sizeBytes, format.blockSizeBytes)
    }
    return open
  } catch (error) {
    await closeDisks(open)
    throw error
  }
}

function openStore(io: DiskIO, disk: DiskOptions, { readOnly }: DiskFormat): Promise<BackingStore> {
  if (disk.kind === 'memory') return Promise.resolve(new MemoryStore({ sizeBytes: disk.sizeBytes }))
  const { path, createSizeBytes } = disk
  const options: OpenOptions = { readOnly, ...(createSizeBytes !== undefined && { createSizeBytes }) }
  return new Promise((resolve, reject) => {
    openFileStore(io, path, options, (error, store) => {
      if (store !== undefined) resolve(store)
      else reject(error ?? new CygnetError('STORE_OPEN_FAILED', `${path} cannot be opened.`))
    })
  })
}

/** For disks that nothing was written to: an error then has nothing to say. */
export async function closeDisks(disks: readonly OpenDisk[]): Promise<void> {
  for (const { store } of disks) await new Promise((resolve) => store.close(resolve))
}
