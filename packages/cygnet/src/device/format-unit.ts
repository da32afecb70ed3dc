import { joinSlices } from '../base/bytes.ts'
import { AdditionalSense } from '../scsi/additional-sense.ts'
import { get8, get16, get32 } from '../scsi/fields.ts'
import { Opcode } from '../scsi/opcodes.ts'
import type { SenseData } from '../scsi/sense.ts'
import { illegalRequest, invalidCdbField, invalidParameterField } from '../scsi/sense.ts'
import type { Command } from './command-table.ts'
import { CommandFlag } from './command-table.ts'
import type { DiskMedium } from './disk-medium.ts'
import type { MediumChanges } from './medium-changes.ts'
import type { Operation } from './operation.ts'
import type { Pass } from './whole-medium-job.ts'

const CdbBit = { longList: 0x20, formatData: 0x10 } as const
const HeaderBit = { formatOptionsValid: 0x80, initializationPattern: 0x08, immediate: 0x02 } as const
/** DPRY, DCRT, STPF: meaningful for media with defects only, accepted where FOV says so. */
const DEFECT_OPTIONS = 0x70
const PATTERN_HEADER_BYTES = 4
const PatternType = { default: 0, repeat: 1 } as const

/**
 * FORMAT UNIT (SBC-4 §5.4): makes the medium as new. 1 FMTPINFO(7-6) LONGLIST(5) FMTDATA(4) CMPLST(3) DEFECT LIST FORMAT(2-0).
 * Parameter list: 0 PROTECTION FIELD USAGE(2-0)   1 FOV(7) DPRY(6) DCRT(5) STPF(4) IP(3) IMMED(1), then the length of the
 * defect list: 2 (2), or in a long list 3 P_I_INFORMATION, 4 (4); then the initialization pattern descriptor.
 */
export class FormatUnit {
  readonly #medium: DiskMedium
  readonly #changes: MediumChanges

  constructor(medium: DiskMedium, changes: MediumChanges) {
    this.#medium = medium
    this.#changes = changes
  }

  readonly format = (op: Operation): void => {
    const flags = get8(op.task.cdb, 1)
    if (!(flags & CdbBit.formatData)) {
      if (flags & CdbBit.longList) return op.check(invalidCdbField(1, 5))
      return this.#changes.format(op, this.#zeroes(), false)
    }
    // The CDB does not say how long the list is: the initiator's buffer does.
    op.receive(Math.min(op.task.dataOutLimitBytes, 8 + PATTERN_HEADER_BYTES + 0xffff), this.#received)
  }

  readonly #received = (op: Operation): void => {
    const list = joinSlices(op.task.dataOut)
    const isLong = (get8(op.task.cdb, 1) & CdbBit.longList) !== 0
    const headerBytes = isLong ? 8 : 4
    if (list.length < headerBytes) return op.check(illegalRequest(AdditionalSense.parameterListLengthError))
    const options = get8(list, 1)
    if (get8(list, 0) !== 0) return op.check(invalidParameterField(0, 7))
    if (options & DEFECT_OPTIONS && !(options & HeaderBit.formatOptionsValid)) {
      return op.check(invalidParameterField(1, 6))
    }
    if (isLong && get8(list, 3) !== 0) return op.check(invalidParameterField(3, 7))
    const defectBytes = isLong ? get32(list, 4) : get16(list, 2)
    if (defectBytes !== 0) return op.check(invalidParameterField(isLong ? 4 : 2, 7))
    const passes =
      options & HeaderBit.initializationPattern ? this.#patternPasses(list, headerBytes) : this.#zeroes()
    if ('key' in passes) return op.check(passes)
    this.#changes.format(op, passes, (options & HeaderBit.immediate) !== 0)
  }

  /** Initialization pattern descriptor: 0 SI(5)   1 TYPE   2 LENGTH (2)   4 pattern. Or what is wrong with it. */
  #patternPasses(list: Uint8Array, at: number): readonly Pass[] | SenseData {
    if (list.length < at + PATTERN_HEADER_BYTES) {
      return illegalRequest(AdditionalSense.parameterListLengthError)
    }
    const type = get8(list, at + 1)
    const lengthBytes = get16(list, at + 2)
    if (get8(list, at) !== 0) return invalidParameterField(at, 7)
    if (type === PatternType.default) {
      if (lengthBytes !== 0) return invalidParameterField(at + 2, 7)
      return this.#zeroes()
    }
    if (type !== PatternType.repeat) return invalidParameterField(at + 1, 7)
    const { blockBytes } = this.#medium
    if (lengthBytes === 0 || lengthBytes > blockBytes) return invalidParameterField(at + 2, 7)
    if (list.length < at + PATTERN_HEADER_BYTES + lengthBytes) {
      return illegalRequest(AdditionalSense.parameterListLengthError)
    }
    const pattern = list.subarray(at + PATTERN_HEADER_BYTES, at + PATTERN_HEADER_BYTES + lengthBytes)
    const block = Uint8Array.from({ length: blockBytes }, (_, i) => get8(pattern, i % lengthBytes))
    return [{ kind: 'pattern', block }]
  }

  #zeroes(): readonly Pass[] {
    return [{ kind: 'zero', mayTrim: this.#medium.isThin }]
  }
}

/** FMTPINFO must be zero: there is no protection information; so must the format of a defect list that is always empty. */
export const formatRow = (format: FormatUnit): Command => ({
  name: 'FORMAT UNIT',
  opcode: Opcode.formatUnit,
  usage: '04 38 00 00 00 00',
  ignored: '00 07 ff ff ff',
  reservation: 'write',
  flags: CommandFlag.medium | CommandFlag.write | CommandFlag.governs,
  timeoutS: 86_400,
  start: format.format,
})
