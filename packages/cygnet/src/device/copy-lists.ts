import type { CopyProgress } from '../scsi/copy.ts'
import type { Nexus } from '../scsi/task.ts'

/** Results of a nexus that are kept until there are more. */
const KEPT = 32

/** A copy that a list identifier stands for. */
export interface CopyResult {
  readonly progress: CopyProgress
  /** Service action of the command that it was. */
  readonly action: number
  /** Ends it early, and calls back then; false where it has ended already. Not where it is no copy that takes time. */
  readonly terminate?: (ended: () => void) => boolean
  /** A ROD token that it made. */
  readonly token?: Uint8Array
}

/** The results of third-party copies, by the nexus that they were for and its list identifier. */
export class CopyLists {
  readonly #lists = new WeakMap<Nexus, Map<number, CopyResult>>()

  keep(nexus: Nexus, listId: number, result: CopyResult): void {
    const lists = this.#lists.get(nexus) ?? new Map<number, CopyResult>()
    this.#lists.set(nexus, lists)
    lists.delete(listId)
    lists.set(listId, result)
    if (lists.size <= KEPT) return
    for (const [oldest, { progress }] of lists) {
      if (progress.state === 'running') continue
      lists.delete(oldest)
      break
    }
  }

  find(nexus: Nexus, listId: number): CopyResult | undefined {
    return this.#lists.get(nexus)?.get(listId)
  }

  isRunning(nexus: Nexus, listId: number): boolean {
    return this.find(nexus, listId)?.progress.state === 'running'
  }
}
