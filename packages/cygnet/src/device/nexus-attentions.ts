import { AdditionalSense } from '../scsi/additional-sense.ts'
import type { Nexus } from '../scsi/task.ts'
import type { NexusLoss } from './logical-unit.ts'
import type { UnitAttention } from './unit-attention.ts'
import { UnitAttentionQueue } from './unit-attention.ts'

/** Initiator ports whose loss is remembered until they come back. */
const LOST_PORTS_LIMIT = 1024

/**
 * The unit attentions of every I_T nexus of a logical unit (SAM-5 §5.14), and of initiator ports that were lost: the
 * next nexus of such a port hears of the loss, or of a reset that it has not heard of before it was lost.
 */
export class NexusAttentions {
  readonly #queues = new Map<Nexus, UnitAttentionQueue>()
  readonly #lostPorts = new Map<string, UnitAttention>()
  #pending = 0

  /** Every nexus that is attached. */
  get nexuses(): Iterable<Nexus> {
    return this.#queues.keys()
  }

  /** Some nexus has something to hear: almost never. */
  get hasAny(): boolean {
    return this.#pending > 0
  }

  attach(nexus: Nexus): void {
    const { initiatorPortName } = nexus
    this.#queues.set(nexus, new UnitAttentionQueue())
    const code = this.#lostPorts.get(initiatorPortName) ?? AdditionalSense.powerOnOrReset
    this.#lostPorts.delete(initiatorPortName)
    this.establish(nexus, code)
  }

  detach(nexus: Nexus, loss: NexusLoss): void {
    const { initiatorPortName } = nexus
    const queue = this.#queues.get(nexus) ?? new UnitAttentionQueue()
    this.#pending -= queue.length
    this.#queues.delete(nexus)
    this.#lostPorts.delete(initiatorPortName)
    if (loss === 'logout') return
    queue.establish(AdditionalSense.nexusLoss)
    this.#lostPorts.set(initiatorPortName, queue.first ?? AdditionalSense.nexusLoss)
    if (this.#lostPorts.size <= LOST_PORTS_LIMIT) return
    for (const oldest of this.#lostPorts.keys()) {
      this.#lostPorts.delete(oldest)
      break
    }
  }

  establish(nexus: Nexus, code: UnitAttention): void {
    const queue = this.#queues.get(nexus)
    if (!queue) return
    this.#pending -= queue.length
    queue.establish(code)
    this.#pending += queue.length
  }

  /** For every nexus, except the one that caused it. */
  establishForAll(code: UnitAttention, except?: Nexus): void {
    for (const nexus of this.#queues.keys()) if (nexus !== except) this.establish(nexus, code)
  }

  /** A reset: ports that are not here hear of that when they come, rather than of their loss. */
  forgetLostPorts(): void {
    this.#lostPorts.clear()
  }

  /** The most urgent of a nexus, cleared by taking it. */
  take(nexus: Nexus): UnitAttention | undefined {
    if (this.#pending === 0) return undefined
    const code = this.#queues.get(nexus)?.take()
    if (code !== undefined) this.#pending--
    return code
  }

  /** The most urgent of a nexus, which stays pending. */
  first(nexus: Nexus): UnitAttention | undefined {
    return this.#queues.get(nexus)?.first
  }

  count(nexus: Nexus): number {
    return this.#queues.get(nexus)?.length ?? 0
  }

  clear(nexus: Nexus, code: UnitAttention): void {
    if (this.#queues.get(nexus)?.remove(code)) this.#pending--
  }
}
