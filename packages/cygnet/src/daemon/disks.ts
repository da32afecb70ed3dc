import { CygnetError } from '../base/errors.ts'
import type { BackingStore, StoreError } from '../store/backing-store.ts'
import { CheckerStore } from '../store/checker.ts'
import type { DiskIO, OpenOptions } from '../store/disk-io.ts'
import { openFileStore } from '../store/file.ts'
import { MemoryStore } from '../store/memory.ts'
import { type BlockSize, checkWholeBlocks } from './blocks.ts'
import type { LunState, MediumState, TraitsState, UnitKind } from './config/state.ts'

/** An open disk. */
export interface OpenDisk {
  readonly lun: number
  readonly kind: UnitKind
  readonly blockSizeBytes: BlockSize
  readonly readOnly: boolean
  /** For people: the image's path. */
  readonly name: string
  readonly sizeBytes: number
  readonly medium: MediumState
  readonly traits: TraitsState
  readonly store: BackingStore
}

/**
 * Opens all disks, or none.
 * @throws {CygnetError} of the store that could not be opened; IMAGE_BLOCKS
 */
export async function openDisks(io: DiskIO, luns: readonly LunState[]): Promise<OpenDisk[]> {
  const open: OpenDisk[] = []
  try {
    for (const { lun, kind, medium, blockSizeBytes, readOnly, traits } of luns) {
      const name = medium.kind === 'memory' ? 'memory' : medium.path
      const wantedBytes = medium.kind === 'memory' ? medium.sizeBytes : medium.createSizeBytes
      if (wantedBytes !== null) checkWholeBlocks(`A new disk (${name})`, wantedBytes, blockSizeBytes)
      const store = new CheckerStore(await openStore(io, medium, readOnly))
      const { sizeBytes } = store.geometry
      const isReadOnly = readOnly || !store.can.write
      open.push({ lun, kind, blockSizeBytes, readOnly: isReadOnly, name, sizeBytes, medium, traits, store })
      checkWholeBlocks(name, sizeBytes, blockSizeBytes)
    }
    return open
  } catch (error) {
    await closeDisks(open)
    throw error
  }
}

function openStore(io: DiskIO, medium: MediumState, readOnly: boolean): Promise<BackingStore> {
  if (medium.kind === 'memory') {
    return Promise.resolve(new MemoryStore({ sizeBytes: medium.sizeBytes, defer: setImmediate }))
  }
  const { path, createSizeBytes } = medium
  const options: OpenOptions = { readOnly, ...(createSizeBytes !== null && { createSizeBytes }) }
  return new Promise((resolve, reject) => {
    openFileStore(io, path, options, (error, store) => {
      if (store !== undefined) resolve(store)
      else reject(error ?? new CygnetError('STORE_OPEN_FAILED', `${path} cannot be opened.`))
    })
  })
}

/** What could not be made durable, where there is something. */
export const flushDisk = ({ store }: OpenDisk): Promise<StoreError | undefined> =>
  new Promise((resolve) => store.flush(resolve))

/** For disks that nothing was written to: an error then has nothing to say. */
export async function closeDisks(disks: readonly OpenDisk[]): Promise<void> {
  for (const { store } of disks) await new Promise((resolve) => store.close(resolve))
}
