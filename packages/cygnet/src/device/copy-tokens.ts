import { hex } from '../base/bytes.ts'
import { AdditionalSense } from '../scsi/additional-sense.ts'
import { CopyInAction, CopyOutAction, RodType, TOKEN_LIMIT_BYTES, TOKEN_RANGES_LIMIT } from '../scsi/copy.ts'
import { get8, get16, get32, get64, set16, set32, set64 } from '../scsi/fields.ts'
import { Opcode } from '../scsi/opcodes.ts'
import type { SenseData } from '../scsi/sense.ts'
import { illegalRequest, invalidParameterField } from '../scsi/sense.ts'
import { ScsiStatus } from '../scsi/status.ts'
import type { Nexus } from '../scsi/task.ts'
import type { Command } from './command-table.ts'
import { CommandFlag } from './command-table.ts'
import type { CopyPart } from './copy-run.ts'
import type { CopyToken, CopyUnit, CopyUnits } from './copy-units.ts'
import type { ExtendedCopy } from './extended-copy.ts'
import { OPERATION_IN_PROGRESS } from './extended-copy.ts'
import type { Operation } from './operation.ts'
import { gather } from './parameters.ts'

const TOKEN_BYTES = 512
const RANGE_BYTES = 16
const LENGTH_ERROR = illegalRequest(AdditionalSense.parameterListLengthError)
const NO_SENSE = new Uint8Array(0)
const POPULATE_HEADER_BYTES = 16
const WRITE_HEADER_BYTES = 536

interface Range {
  readonly offset: number
  readonly lengthBytes: number
}

/**
 * Offloaded data transfer: POPULATE TOKEN makes a token that stands for ranges of a unit, which WRITE USING TOKEN writes
 * elsewhere (SBC-4 §5.14, §5.50). A token is of the type "access upon reference": it stands for what the ranges hold when
 * it is used. Who has it may use it, as far as its initiator can reach the unit that it is of.
 */
export class CopyTokens {
  readonly #unit: CopyUnit
  readonly #units: CopyUnits
  readonly #copy: ExtendedCopy

  constructor(unit: CopyUnit, units: CopyUnits, copy: ExtendedCopy) {
    this.#unit = unit
    this.#units = units
    this.#copy = copy
  }

  /** 6 LIST IDENTIFIER (4)   10 PARAMETER LIST LENGTH (4) */
  readonly populate = (op: Operation): void =>
    this.#receive(op, POPULATE_HEADER_BYTES, this.#populateReceived)

  readonly write = (op: Operation): void => this.#receive(op, WRITE_HEADER_BYTES, this.#writeReceived)

  #receive(op: Operation, headerBytes: number, then: (op: Operation) => void): void {
    const lengthBytes = get32(op.task.cdb, 10)
    if (lengthBytes === 0) return op.good()
    if (lengthBytes < headerBytes || lengthBytes > headerBytes + TOKEN_RANGES_LIMIT * RANGE_BYTES) {
      return op.check(LENGTH_ERROR)
    }
    op.receive(lengthBytes, then)
  }

  /** 2 RTV(1) IMMED(0)   4 INACTIVITY TIMEOUT (4)   8 ROD TYPE (4)   14 RANGE DESCRIPTORS LENGTH (2)   16 ranges */
  readonly #populateReceived = (op: Operation): void => {
    const list = gather(op.task)
    if (!list) return op.check(LENGTH_ERROR)
    const { cdb, nexus } = op.task
    if (this.#copy.lists.isRunning(nexus, get32(cdb, 6))) return op.check(OPERATION_IN_PROGRESS)
    const type = get8(list, 2) & 2 ? get32(list, 8) : RodType.any
    if (type !== RodType.any && type !== RodType.accessUponReference) {
      return op.check(illegalRequest(AdditionalSense.unsupportedTokenType))
    }
    const ranges = this.#ranges(list, POPULATE_HEADER_BYTES, get16(list, 14))
    if ('key' in ranges) return op.check(ranges)
    const lengthBytes = sum(ranges)
    if (lengthBytes > TOKEN_LIMIT_BYTES) return op.check(invalidParameterField(14, 7))
    const token = this.#newToken(ranges, lengthBytes)
    const progress = {
      state: 'good',
      isInBackground: false,
      status: ScsiStatus.good,
      sense: NO_SENSE,
      segmentsDone: ranges.length,
      bytesDone: lengthBytes,
    } as const
    this.#copy.lists.keep(nexus, get32(cdb, 6), { progress, token, action: CopyOutAction.populateToken })
    op.good()
  }

  /** ROD token (SPC-4 §6.1): 0 TYPE (4)   6 LENGTH (2)   8 IDENTIFIER (8)   56 BYTES REPRESENTED (8)   128 what makes it secret */
  #newToken(ranges: readonly Range[], lengthBytes: number): Uint8Array {
    const token = new Uint8Array(TOKEN_BYTES)
    set32(token, 0, RodType.accessUponReference)
    set16(token, 6, TOKEN_BYTES - 8)
    set64(token, 56, lengthBytes)
    const secret = this.#units.random(32)
    token.set(secret.subarray(0, 8), 8)
    token.set(secret, 128)
    this.#units.keepToken(hex(token), { unit: this.#unit, ranges })
    return token
  }

  /** 2 DEL_TKN(1) IMMED(0)   8 OFFSET INTO ROD (8), blocks   16 ROD TOKEN (512)   534 RANGE DESCRIPTORS LENGTH (2)   536 ranges */
  readonly #writeReceived = (op: Operation): void => {
    const list = gather(op.task)
    if (!list) return op.check(LENGTH_ERROR)
    const { nexus, cdb } = op.task
    const ranges = this.#ranges(list, WRITE_HEADER_BYTES, get16(list, 534))
    if ('key' in ranges) return op.check(ranges)
    const bytes = list.subarray(16, 16 + TOKEN_BYTES)
    const isZero = get32(bytes, 0) === RodType.zero
    const token = isZero ? undefined : this.#units.findToken(hex(bytes))
    if (!isZero && !token) return op.check(illegalRequest(AdditionalSense.tokenUnknown))
    const offset = get64(list, 8) * this.#unit.blockSizeBytes
    if (token && offset > sum(token.ranges)) return op.check(invalidParameterField(8, 7))
    const parts = this.#parts(token, offset, ranges, nexus)
    if (!parts) return op.check(illegalRequest(AdditionalSense.invalidTokenCauseNotReportable))
    const runs = this.#copy.run(op, parts, {
      listId: get32(cdb, 6),
      immediate: (get8(list, 2) & 1) !== 0,
      action: CopyOutAction.writeUsingToken,
    })
    if (runs && token && get8(list, 2) & 2) this.#units.dropToken(hex(bytes))
  }

  /** LBA (8), NUMBER OF BLOCKS (4), reserved (4) */
  #ranges(list: Uint8Array, from: number, lengthBytes: number): readonly Range[] | SenseData {
    const { blocks, blockSizeBytes } = this.#unit
    if (lengthBytes % RANGE_BYTES !== 0) return invalidParameterField(from - 2, 7)
    if (from + lengthBytes > list.length) return LENGTH_ERROR
    const ranges: Range[] = []
    for (let at = from; at < from + lengthBytes; at += RANGE_BYTES) {
      const lba = get64(list, at)
      const count = get32(list, at + 8)
      if (lba + count > blocks) return illegalRequest(AdditionalSense.lbaOutOfRange)
      ranges.push({ offset: lba * blockSizeBytes, lengthBytes: count * blockSizeBytes })
    }
    return ranges
  }

  /** What goes where, as far as the token reaches. Undefined where the initiator cannot reach it, or blocks do not fit. */
  #parts(
    token: CopyToken | undefined,
    offset: number,
    ranges: readonly Range[],
    nexus: Nexus,
  ): readonly CopyPart[] | undefined {
    const destination = { unit: this.#unit, nexus }
    if (!token) {
      return ranges.map((range) => ({
        source: undefined,
        sourceOffset: 0,
        destination,
        destinationOffset: range.offset,
        lengthBytes: range.lengthBytes,
      }))
    }
    // By the same session: see `ExtendedCopy`.
    if (token.unit.nexusLike(nexus) !== nexus || offset % token.unit.blockSizeBytes !== 0) return undefined
    const source = { unit: token.unit, nexus }
    const parts: CopyPart[] = []
    let skip = offset
    let range = 0
    let used = 0
    for (const from of token.ranges) {
      let position = Math.min(skip, from.lengthBytes)
      skip -= position
      for (let to = ranges[range]; to && position < from.lengthBytes; to = ranges[range]) {
        const lengthBytes = Math.min(from.lengthBytes - position, to.lengthBytes - used)
        if (lengthBytes % token.unit.blockSizeBytes !== 0 || lengthBytes % this.#unit.blockSizeBytes !== 0) {
          return undefined
        }
        parts.push({
          source,
          sourceOffset: from.offset + position,
          destination,
          destinationOffset: to.offset + used,
          lengthBytes,
        })
        position += lengthBytes
        used += lengthBytes
        if (used === to.lengthBytes) {
          range++
          used = 0
        }
      }
    }
    return parts
  }
}

const sum = (ranges: readonly Range[]): number =>
  ranges.reduce((total, { lengthBytes }) => total + lengthBytes, 0)

export function tokenCommands(tokens: CopyTokens, copy: ExtendedCopy): Command[] {
  const row = { opcode: Opcode.thirdPartyCopyOut, timeoutS: 600 } as const
  return [
    {
      ...row,
      name: 'POPULATE TOKEN',
      serviceAction: CopyOutAction.populateToken,
      usage: '83 10 00 00 00 00 ff ff ff ff ff ff ff ff 3f 00',
      reservation: 'read',
      flags: CommandFlag.medium,
      start: tokens.populate,
    },
    {
      ...row,
      name: 'WRITE USING TOKEN',
      serviceAction: CopyOutAction.writeUsingToken,
      usage: '83 11 00 00 00 00 ff ff ff ff ff ff ff ff 3f 00',
      reservation: 'write',
      flags: CommandFlag.medium | CommandFlag.write,
      start: tokens.write,
    },
    {
      name: 'RECEIVE ROD TOKEN INFORMATION',
      opcode: Opcode.thirdPartyCopyIn,
      serviceAction: CopyInAction.rodTokenInformation,
      usage: '84 07 ff ff ff ff 00 00 00 00 ff ff ff ff 00 00',
      reservation: 'read',
      flags: 0,
      timeoutS: 10,
      start: copy.results,
    },
  ]
}
