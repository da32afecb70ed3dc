import { get8, get16 } from '../scsi/fields.ts'
import { AdditionalSense } from '../scsi/additional-sense.ts'
import { Opcode, SanitizeAction } from '../scsi/opcodes.ts'
import { illegalRequest, invalidCdbField, invalidParameterField } from '../scsi/sense.ts'
import type { Command } from './command-table.ts'
import { CommandFlag } from './command-table.ts'
import type { DiskMedium } from './disk-medium.ts'
import type { MediumChanges } from './medium-changes.ts'
import type { Operation } from './operation.ts'
import { gather } from './parameters.ts'
import type { Pass } from './whole-medium-job.ts'

const Bit = { immediate: 0x80, ause: 0x20 } as const
const INVERT = 0x80
const HEADER_BYTES = 4
/** SBC-4 §5.30.2: 0 INVERT(7) TEST(6-5) OVERWRITE COUNT(4-0)   2 INITIALIZATION PATTERN LENGTH (2)   4 INITIALIZATION PATTERN */
const OVERWRITE_RESERVED = 0x60

/**
 * SANITIZE (SBC-4 §5.30). 1 IMMED(7) ZNR(6) AUSE(5) SERVICE ACTION(4-0)   7 PARAMETER LIST LENGTH (2).
 * What it can promise ends at the store: a file system that writes elsewhere keeps old bytes where nothing here can reach.
 */
export class Sanitize {
  readonly #medium: DiskMedium
  readonly #changes: MediumChanges

  constructor(medium: DiskMedium, changes: MediumChanges) {
    this.#medium = medium
    this.#changes = changes
  }

  readonly overwrite = (op: Operation): void => {
    const lengthBytes = get16(op.task.cdb, 7)
    const { blockBytes } = this.#medium
    if (lengthBytes <= HEADER_BYTES || lengthBytes > HEADER_BYTES + blockBytes) {
      return op.check(invalidCdbField(7, 7))
    }
    op.receive(lengthBytes, this.#overwriteReceived)
  }

  readonly #overwriteReceived = (op: Operation): void => {
    const list = gather(op.task)
    if (!list) return op.check(illegalRequest(AdditionalSense.parameterListLengthError))
    const count = get8(list, 0) & 0x1f
    const patternBytes = get16(list, 2)
    if (get8(list, 0) & OVERWRITE_RESERVED) return op.check(invalidParameterField(0, 6))
    if (count === 0) return op.check(invalidParameterField(0, 4))
    if (patternBytes === 0 || HEADER_BYTES + patternBytes > list.length) {
      return op.check(invalidParameterField(2, 7))
    }
    const pattern = list.subarray(HEADER_BYTES, HEADER_BYTES + patternBytes)
    const inverts = (get8(list, 0) & INVERT) !== 0
    this.#begin(op, overwritePasses(pattern, count, inverts, this.#medium.blockBytes))
  }

  /** Releases everything; what the store cannot release, it zeroes. */
  readonly blockErase = (op: Operation): void =>
    this.#withoutParameters(op, [{ kind: 'zero', mayTrim: true }])

  readonly cryptographicErase = (op: Operation): void => this.#withoutParameters(op, [{ kind: 'new-key' }])

  #withoutParameters(op: Operation, passes: readonly Pass[]): void {
    if (get16(op.task.cdb, 7) !== 0) op.check(invalidCdbField(7, 7))
    else this.#begin(op, passes)
  }

  #begin(op: Operation, passes: readonly Pass[]): void {
    const flags = get8(op.task.cdb, 1)
    this.#changes.sanitize(op, passes, (flags & Bit.immediate) !== 0, (flags & Bit.ause) !== 0)
  }

  readonly exitFailureMode = (op: Operation): void => {
    if (get16(op.task.cdb, 7) !== 0) op.check(invalidCdbField(7, 7))
    else this.#changes.exitFailure(op)
  }
}

/** With INVERT every other pass has the bits inverted, such that the last one has the pattern as it was given. */
function overwritePasses(
  pattern: Uint8Array,
  count: number,
  inverts: boolean,
  blockBytes: number,
): readonly Pass[] {
  const block = Uint8Array.from({ length: blockBytes }, (_, i) => get8(pattern, i % pattern.length))
  const inverted = block.map((byte) => ~byte)
  return Array.from({ length: count }, (_, i) => ({
    kind: 'pattern',
    block: inverts && (count - 1 - i) % 2 === 1 ? inverted : block,
  }))
}

const { medium, write, governs } = CommandFlag
/** Seconds, recommended, for a terabyte or so. */
const TIMEOUT_S = 86_400

/** Block erase needs a store that can release space (SBC-4 §4.11.3), cryptographic erase one that keeps its bytes encrypted. */
export function sanitizeCommands(
  sanitize: Sanitize,
  can: { readonly trim: boolean; readonly renewKey: boolean },
): Command[] {
  const row = {
    opcode: Opcode.sanitize,
    reservation: 'write',
    flags: medium | write | governs,
    timeoutS: TIMEOUT_S,
  } as const
  const usage = (action: number): string => `48 ${(action | 0xa0).toString(16)} 00 00 00 00 00 ff ff 00`
  const { overwrite, blockErase, cryptographicErase, exitFailureMode } = SanitizeAction
  const rows: (Command | false)[] = [
    {
      ...row,
      name: 'SANITIZE OVERWRITE',
      serviceAction: overwrite,
      usage: usage(overwrite),
      start: sanitize.overwrite,
    },
    can.trim && {
      ...row,
      name: 'SANITIZE BLOCK ERASE',
      serviceAction: blockErase,
      usage: usage(blockErase),
      start: sanitize.blockErase,
    },
    can.renewKey && {
      ...row,
      name: 'SANITIZE CRYPTOGRAPHIC ERASE',
      serviceAction: cryptographicErase,
      usage: usage(cryptographicErase),
      start: sanitize.cryptographicErase,
    },
    {
      ...row,
      name: 'SANITIZE EXIT FAILURE MODE',
      serviceAction: exitFailureMode,
      usage: usage(exitFailureMode),
      start: sanitize.exitFailureMode,
    },
  ]
  return rows.filter((each) => each !== false)
}
