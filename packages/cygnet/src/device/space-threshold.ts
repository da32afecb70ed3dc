import { set32 } from '../scsi/fields.ts'
import type { Done, StoreSpace } from '../store/backing-store.ts'
import type { DiskMedium } from './disk-medium.ts'
import type { Operation, Step } from './operation.ts'

/** Space is counted, and thresholds are set, in pieces of this size: a threshold set (SBC-4 §4.7.3.8). */
const SET_BYTES = 1024 * 1024

/** Parameters of the logical block provisioning log page (SBC-4 §6.4.5), and whose resources they count. */
const Resource = { available: 0x0001, used: 0x0002 } as const
const Scope = { thisUnit: 1, shared: 2 } as const

/** THRESHOLD EXPONENT: blocks of a threshold set, as a power of two. */
export const thresholdExponent = (blockBytes: number): number => Math.log2(SET_BYTES / blockBytes)

/** A threshold in threshold sets, rounded up. */
export const thresholdCount = (bytes: number): number => Math.min(Math.ceil(bytes / SET_BYTES), 0xffff_ffff)

/** What a disk counts of its space: 0 PARAMETER CODE (2)   2 control   3 LENGTH   4 COUNT (4)   8 SCOPE(1-0) */
export interface SpaceParameter {
  readonly code: number
  readonly value: Uint8Array
}

function spaceParameter(code: number, bytes: number, scope: number): SpaceParameter {
  const value = new Uint8Array(8)
  set32(value, 0, Math.min(Math.floor(bytes / SET_BYTES), 0xffff_ffff))
  value[4] = scope
  return { code, value }
}

/**
 * How much space is left for a thin disk to grow into, and the threshold below which its initiators are told (SBC-4
 * §4.7.3.8: soft, armed by decreasing). The space is that of a file system, which others use too: nothing in here sees it
 * change, so somebody has to have it looked at every now and then. A threshold that was crossed tells once, and again only
 * after there was more space meanwhile.
 */
export class SpaceThreshold {
  readonly #medium: DiskMedium
  readonly #limitCount: () => number | undefined
  readonly #reached: () => void
  #space: StoreSpace = { usedBytes: 0, availableBytes: Number.MAX_SAFE_INTEGER }
  #isReached = false
  /** Who waits for the look that is under way. */
  #looking: Done[] = []

  /** `limitCount`: the threshold in threshold sets, undefined where none is enabled. `reached`: everybody must hear of it. */
  constructor(medium: DiskMedium, limitCount: () => number | undefined, reached: () => void) {
    this.#medium = medium
    this.#limitCount = limitCount
    this.#reached = reached
  }

  /**
   * Looks at the space that there is now; what the store cannot tell stays as it was. One look at a time, whose answer is
   * everybody's: a file system that hangs must not take a thread with each one.
   */
  look(done: Done): void {
    const { store } = this.#medium
    if (!store.space) return done(undefined)
    this.#looking.push(done)
    if (this.#looking.length > 1) return
    store.space((error, space) => {
      if (space) this.#space = space
      this.judge()
      const looking = this.#looking
      this.#looking = []
      for (const each of looking) each(error)
    })
  }

  /** For a command that goes on with `step`. */
  lookFor(op: Operation, step: Step): void {
    op.awaitStore(step)
    this.look(op.done)
  }

  /** Compares again: the space or the threshold has changed. */
  judge(): void {
    const limit = this.#limitCount()
    const wasReached = this.#isReached
    this.#isReached = limit !== undefined && Math.floor(this.#space.availableBytes / SET_BYTES) <= limit
    if (this.#isReached && !wasReached) this.#reached()
  }

  get parameters(): readonly SpaceParameter[] {
    const { availableBytes, usedBytes } = this.#space
    return [
      spaceParameter(Resource.available, availableBytes, Scope.shared),
      spaceParameter(Resource.used, usedBytes, Scope.thisUnit),
    ]
  }
}
