import { BufferPool } from '../base/pool.ts'
import { DISC_BLOCK_BYTES } from '../scsi/mmc-address.ts'
import type { OpticalUnitOptions } from './optical-unit.ts'
import { OpticalUnit } from './optical-unit.ts'
import { pattern, TEST_IDENTITY, TestStore, TestUnit } from './disk.test-helper.ts'

/** A disc with other bytes in each block, which nobody may change. */
export class DiscStore extends TestStore {
  override readonly can = { write: false, trim: false, volatileCache: false, extents: false }

  constructor(blocks: number) {
    super(blocks * DISC_BLOCK_BYTES)
    this.bytes.set(pattern(this.bytes.length))
  }
}

/** A disc as large as `blocks` blocks, of which only the first are there. */
export class LargeDiscStore extends DiscStore {
  override readonly geometry

  constructor(blocks: number) {
    super(16)
    this.geometry = {
      sizeBytes: blocks * DISC_BLOCK_BYTES,
      alignmentBytes: 1,
      physicalBlockBytes: 4096,
      trimGranularityBytes: 4096,
    }
  }
}

/** A drive with a disc in it. */
export class TestDrive extends TestUnit<OpticalUnit> {
  readonly pool: BufferPool
  readonly store: DiscStore

  constructor(store: DiscStore = new DiscStore(64), options: Partial<OpticalUnitOptions> = {}) {
    const pool = new BufferPool({ poison: true })
    super(new OpticalUnit({ pool, identity: TEST_IDENTITY, ...options, store }))
    this.pool = pool
    this.store = store
  }
}
