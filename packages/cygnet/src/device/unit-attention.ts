import { AdditionalSense } from '../scsi/additional-sense.ts'

/** Conditions that an initiator must hear of, most urgent first (SAM-5 §5.14: a reset outranks what it implies). */
const PRIORITY: readonly number[] = [
  AdditionalSense.powerOnOrReset,
  AdditionalSense.powerOn,
  AdditionalSense.deviceInternalReset,
  AdditionalSense.busReset,
  AdditionalSense.busDeviceReset,
  AdditionalSense.nexusLoss,
  AdditionalSense.commandsClearedByPowerLoss,
  AdditionalSense.commandsCleared,
  AdditionalSense.commandsClearedByProtocolEvent,
  AdditionalSense.reportedLunsDataChanged,
  AdditionalSense.capacityDataChanged,
  AdditionalSense.modeParametersChanged,
  AdditionalSense.inquiryDataChanged,
  AdditionalSense.mediumMayHaveChanged,
]

export type UnitAttention = AdditionalSense

const rank = (code: UnitAttention): number => {
  const index = PRIORITY.indexOf(code)
  return index < 0 ? PRIORITY.length : index
}

/** A reset, or the loss of the nexus: whoever hears of it must look at everything again. */
export const isReset = (code: UnitAttention): boolean => code >>> 8 === 0x29

/**
 * The unit attentions that one I_T nexus has not heard of yet. Each condition is pending once, so the queue is never
 * longer than the list of conditions.
 */
export class UnitAttentionQueue {
  #pending: UnitAttention[] = []

  get length(): number {
    return this.#pending.length
  }

  /** A reset takes the place of everything that was pending: whoever hears of it must look at everything again. */
  establish(code: UnitAttention): void {
    if (this.#pending.includes(code)) return
    if (isReset(code)) {
      const worst = this.#pending[0]
      // A condition that outranks this reset already says it.
      if (worst !== undefined && isReset(worst) && rank(worst) < rank(code)) return
      this.#pending = [code]
      return
    }
    this.#pending.push(code)
    this.#pending.sort((a, b) => rank(a) - rank(b))
  }

  /** The most urgent. */
  get first(): UnitAttention | undefined {
    return this.#pending[0]
  }

  /** The most urgent, which is cleared by reporting it. */
  take(): UnitAttention | undefined {
    return this.#pending.shift()
  }

  /** True where it was pending. */
  remove(code: UnitAttention): boolean {
    const index = this.#pending.indexOf(code)
    if (index >= 0) this.#pending.splice(index, 1)
    return index >= 0
  }
}
