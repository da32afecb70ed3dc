import { get32, get8 } from '../scsi/fields.ts'
import { AdditionalSense } from '../scsi/additional-sense.ts'
import type { CopyList, CopySegment, CopyTarget } from '../scsi/copy.ts'
import {
  COPY_DESCRIPTORS_BYTES,
  CopyInAction,
  CopyOutAction,
  decodeCopyLid1,
  decodeCopyLid4,
  encodeCopyParameters,
  encodeCopyStatusLid1,
  encodeCopyStatusLid4,
  encodeFailedSegment,
  UNREACHABLE,
} from '../scsi/copy.ts'
import { Opcode } from '../scsi/opcodes.ts'
import type { SenseData } from '../scsi/sense.ts'
import { illegalRequest, invalidCdbField } from '../scsi/sense.ts'
import type { Nexus } from '../scsi/task.ts'
import type { Command } from './command-table.ts'
import { CopyLists } from './copy-lists.ts'
import type { CopyPart } from './copy-run.ts'
import { CopyRun } from './copy-run.ts'
import type { CopyUnits } from './copy-units.ts'
import type { Operation, Step } from './operation.ts'
import { gather } from './parameters.ts'

/** The longest header, and all descriptors. */
const LIST_LIMIT_BYTES = 48 + COPY_DESCRIPTORS_BYTES
/** Copies at the same time, of one unit: each takes memory and a place in task sets, whoever it is for. */
const CONCURRENT_COPIES = 64
export const OPERATION_IN_PROGRESS = illegalRequest(AdditionalSense.operationInProgress)

/** What a command asks for beside what is to be copied. */
export interface CopyRequest {
  /** Undefined: nobody asks for the result. */
  readonly listId: number | undefined
  readonly immediate: boolean
  /** Service action. */
  readonly action: number
}

/** Third-party copies that a unit's initiators ask for: EXTENDED COPY and what asks for its results (SPC-4 §6.4, §6.5, §6.26 to §6.30). */
export class ExtendedCopy {
  readonly #units: CopyUnits
  readonly #granularityExponent: number
  readonly lists = new CopyLists()
  #running = 0

  /** `granularityExponent`: of a block's bytes, as a power of two. */
  constructor(units: CopyUnits, granularityExponent: number) {
    this.#units = units
    this.#granularityExponent = granularityExponent
  }

  /** 10 PARAMETER LIST LENGTH (4) */
  readonly extendedCopy = (op: Operation): void => {
    const lengthBytes = get32(op.task.cdb, 10)
    if (lengthBytes === 0) return op.good()
    if (lengthBytes > LIST_LIMIT_BYTES) {
      // The descriptors alone are too long: there is no need to see them.
      return op.check(illegalRequest(AdditionalSense.parameterListLengthError))
    }
    op.receive(lengthBytes, this.#received)
  }

  readonly #received = (op: Operation): void => {
    const { cdb, nexus } = op.task
    const bytes = gather(op.task)
    if (!bytes) return op.check(illegalRequest(AdditionalSense.parameterListLengthError))
    const isLid4 = (get8(cdb, 1) & 0x1f) === CopyOutAction.extendedCopyLid4
    const list = isLid4 ? decodeCopyLid4(bytes) : decodeCopyLid1(bytes)
    if ('key' in list) return op.check(list)
    const parts = this.#parts(list, nexus)
    if ('key' in parts) return op.check(parts)
    this.run(op, parts, {
      listId: list.hasListId ? list.listId : undefined,
      immediate: list.immediate,
      action: get8(cdb, 1) & 0x1f,
    })
  }

  /**
   * Runs a copy for a command, which ends with it, or before where it is `immediate`; not beside one with the same list
   * identifier, nor beside too many. Whether it runs.
   */
  run(op: Operation, parts: readonly CopyPart[], request: CopyRequest): boolean {
    const { listId } = request
    if (listId !== undefined && this.lists.isRunning(op.task.nexus, listId)) op.check(OPERATION_IN_PROGRESS)
    else if (this.#running >= CONCURRENT_COPIES) op.busy()
    else return this.#begin(op, parts, request)
    return false
  }

  #begin(op: Operation, parts: readonly CopyPart[], { listId, immediate, action }: CopyRequest): true {
    this.#running++
    let problem: SenseData | undefined
    const run = new CopyRun(
      parts,
      () => !immediate && op.aborted,
      (ended) => {
        problem = ended
        this.#running--
        if (!immediate) op.done(undefined)
      },
      immediate,
    )
    if (listId !== undefined)
      this.lists.keep(op.task.nexus, listId, {
        action,
        get progress() {
          return run.progress
        },
        terminate: (hasEnded) => run.terminate(hasEnded),
      })
    if (immediate) op.good()
    else
      op.awaitStore((ended) => {
        if (problem) ended.check(problem)
        else ended.good()
      })
    run.start()
    return true
  }

  #parts({ segments, targets }: CopyList, nexus: Nexus): readonly CopyPart[] | SenseData {
    const parts: CopyPart[] = []
    for (const segment of segments) {
      const part = this.#part(segment, targets, nexus)
      if (!part) return UNREACHABLE
      parts.push(part)
    }
    return parts
  }

  #part(segment: CopySegment, targets: readonly CopyTarget[], nexus: Nexus): CopyPart | undefined {
    const source = this.#end(targets[segment.source], nexus)
    const destination = this.#end(targets[segment.destination], nexus)
    if (!source || !destination) return undefined
    const from = source.unit.blockSizeBytes
    const to = destination.unit.blockSizeBytes
    const unitBytes = { sourceBlocks: from, destinationBlocks: to, bytes: 1 }[segment.unit]
    const lengthBytes = segment.length * unitBytes
    const sourceOffset = segment.sourceLba * from + segment.sourceByteOffset
    const destinationOffset = segment.destinationLba * to + segment.destinationByteOffset
    // Whole blocks: that is our DATA SEGMENT GRANULARITY.
    if (lengthBytes % from !== 0 || lengthBytes % to !== 0) return undefined
    if (sourceOffset % from !== 0 || destinationOffset % to !== 0) return undefined
    if (sourceOffset + lengthBytes > source.unit.blocks * from) return undefined
    if (destinationOffset + lengthBytes > destination.unit.blocks * to) return undefined
    return { source, sourceOffset, destination, destinationOffset, lengthBytes }
  }

  /**
   * The unit that a descriptor means, where the initiator reaches it by the same session. Another session with the same name
   * proves nothing: what one target lets in under a name need not be what another one does.
   */
  #end(target: CopyTarget | undefined, nexus: Nexus): CopyPart['destination'] | undefined {
    const unit = target && this.#units.find(target.designatorType, target.designator)
    return unit?.nexusLike(nexus) === nexus ? { unit, nexus } : undefined
  }

  /** COPY OPERATION ABORT (SPC-4 §6.3): 2 LIST IDENTIFIER (4). It ends when the copy has ended. */
  readonly abort: Step = (op) => {
    const { task } = op
    op.awaitEvent((ended) => ended.good())
    const result = this.lists.find(task.nexus, get32(task.cdb, 2))
    if (!result?.terminate?.(() => op.eventCame(task))) op.check(invalidCdbField(2, 7))
  }

  /** 2 LIST IDENTIFIER, of one byte or four   10 ALLOCATION LENGTH (4) */
  readonly results: Step = (op) => {
    const { cdb, nexus } = op.task
    const action = get8(cdb, 1) & 0x1f
    const isLid4 = action === CopyInAction.copyStatusLid4 || action === CopyInAction.rodTokenInformation
    const result = this.lists.find(nexus, isLid4 ? get32(cdb, 2) : get8(cdb, 2))
    if (!result) return op.check(invalidCdbField(2, 7))
    const { progress, token, action: asked } = result
    const allocationBytes = get32(cdb, 10)
    if (action === CopyInAction.copyStatusLid1) op.reply(encodeCopyStatusLid1(progress), allocationBytes)
    else if (action === CopyInAction.failedSegmentDetails) {
      op.reply(
        progress.state === 'failed' ? encodeFailedSegment(progress) : new Uint8Array(4),
        allocationBytes,
      )
    } else {
      const unitBytes = action === CopyInAction.rodTokenInformation ? 2 ** this.#granularityExponent : 1
      op.reply(encodeCopyStatusLid4(progress, { action, asked, unitBytes, token }), allocationBytes)
    }
  }

  readonly operatingParameters: Step = (op) => {
    const bytes = encodeCopyParameters(CONCURRENT_COPIES, this.#granularityExponent)
    op.reply(bytes, get32(op.task.cdb, 10))
  }
}

const row = { reservation: 'write', flags: 0, timeoutS: 600 } as const

export function copyCommands(copy: ExtendedCopy): Command[] {
  const out = Opcode.thirdPartyCopyOut
  const into = Opcode.thirdPartyCopyIn
  const lid1 = (action: number): string => `84 0${action} ff 00 00 00 00 00 00 00 ff ff ff ff 00 00`
  return [
    {
      ...row,
      name: 'EXTENDED COPY (LID1)',
      opcode: out,
      serviceAction: CopyOutAction.extendedCopyLid1,
      usage: '83 00 00 00 00 00 00 00 00 00 ff ff ff ff 00 00',
      start: copy.extendedCopy,
    },
    {
      ...row,
      name: 'EXTENDED COPY (LID4)',
      opcode: out,
      serviceAction: CopyOutAction.extendedCopyLid4,
      usage: '83 01 00 00 00 00 00 00 00 00 ff ff ff ff 00 00',
      start: copy.extendedCopy,
    },
    {
      ...row,
      name: 'COPY OPERATION ABORT',
      opcode: out,
      serviceAction: CopyOutAction.copyOperationAbort,
      usage: '83 1c ff ff ff ff 00 00 00 00 00 00 00 00 00 00',
      start: copy.abort,
    },
    {
      ...row,
      name: 'RECEIVE COPY STATUS (LID1)',
      opcode: into,
      serviceAction: CopyInAction.copyStatusLid1,
      usage: lid1(CopyInAction.copyStatusLid1),
      start: copy.results,
    },
    {
      ...row,
      name: 'RECEIVE COPY OPERATING PARAMETERS',
      opcode: into,
      serviceAction: CopyInAction.operatingParameters,
      usage: lid1(CopyInAction.operatingParameters),
      start: copy.operatingParameters,
    },
    {
      ...row,
      name: 'RECEIVE COPY FAILURE DETAILS (LID1)',
      opcode: into,
      serviceAction: CopyInAction.failedSegmentDetails,
      usage: lid1(CopyInAction.failedSegmentDetails),
      start: copy.results,
    },
    {
      ...row,
      name: 'RECEIVE COPY STATUS (LID4)',
      opcode: into,
      serviceAction: CopyInAction.copyStatusLid4,
      usage: '84 05 ff ff ff ff 00 00 00 00 ff ff ff ff 00 00',
      start: copy.results,
    },
  ]
}
