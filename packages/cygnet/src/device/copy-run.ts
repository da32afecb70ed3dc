import { encodeSense } from '../scsi/sense.ts'
import type { SenseData } from '../scsi/sense.ts'
import { blockCdb } from '../scsi/cdb.ts'
import type { CopyProgress } from '../scsi/copy.ts'
import { DEVICE_FAILURE, TERMINATED } from '../scsi/copy.ts'
import { Opcode } from '../scsi/opcodes.ts'
import { ScsiStatus } from '../scsi/status.ts'
import type { Nexus, TaskOwner } from '../scsi/task.ts'
import { ScsiTask, TaskAttribute } from '../scsi/task.ts'
import type { CopyUnit } from './copy-units.ts'
import { WRITE_SAME_BLOCKS } from './disk-inquiry.ts'

/** A unit as one initiator reaches it. */
export interface CopyEnd {
  readonly unit: CopyUnit
  readonly nexus: Nexus
}

/** Bytes from one place to another. Whole blocks on both sides. */
export interface CopyPart {
  /** undefined: zeroes. */
  readonly source: CopyEnd | undefined
  readonly sourceOffset: number
  readonly destination: CopyEnd
  readonly destinationOffset: number
  readonly lengthBytes: number
}

/** Memory that one copy takes. */
const PIECE_BYTES = 1024 * 1024
const NO_SENSE = new Uint8Array(0)
const NDOB = 0x01

/**
 * Copies part after part, piece by piece, by reads and writes of its own at the units: whatever those ask of the
 * initiator's own commands (reservations, write protection, ranges) they ask of these. They wait in no task
 * set, as the command that they are for has its place there; they hear no unit attentions, which are for the initiator.
 */
export class CopyRun implements TaskOwner {
  readonly #parts: readonly CopyPart[]
  readonly #isCancelled: () => boolean
  readonly #finished: (problem: SenseData | undefined) => void
  readonly #isInBackground: boolean
  /** Who waits for the end of a copy that is to end early. */
  #terminated: (() => void)[] | undefined
  #part = 0
  /** Done of this part. */
  #position = 0
  /** Of the read or write under way. */
  #stepBytes = 0
  #bytesDone = 0
  #held: ScsiTask | undefined
  #problem: SenseData | undefined
  #hasEnded = false

  /** `isCancelled` is asked between pieces. `finished` is called once, perhaps inside `start`. */
  constructor(
    parts: readonly CopyPart[],
    isCancelled: () => boolean,
    finished: (problem: SenseData | undefined) => void,
    isInBackground: boolean,
  ) {
    this.#isInBackground = isInBackground
    this.#parts = parts
    this.#isCancelled = isCancelled
    this.#finished = finished
  }

  get progress(): CopyProgress {
    const problem = this.#problem
    return {
      state: this.#state,
      isInBackground: this.#isInBackground,
      status: problem ? ScsiStatus.checkCondition : ScsiStatus.good,
      sense: problem ? encodeSense(problem, false) : NO_SENSE,
      segmentsDone: this.#part,
      bytesDone: this.#bytesDone,
    }
  }

  get #state(): CopyProgress['state'] {
    if (!this.#hasEnded) return 'running'
    if (this.#problem === TERMINATED) return 'terminated'
    return this.#problem ? 'failed' : 'good'
  }

  /** COPY OPERATION ABORT: ends after the read or write under way. `ended`, unless it has ended already: false. */
  terminate(ended: () => void): boolean {
    if (this.#hasEnded) return false
    this.#terminated = [...(this.#terminated ?? []), ended]
    return true
  }

  start(): void {
    this.#next()
  }

  #next(): void {
    let part = this.#parts[this.#part]
    while (part && this.#position === part.lengthBytes) {
      part = this.#parts[++this.#part]
      this.#position = 0
    }
    if (!part) return this.#end(undefined)
    if (this.#terminated) return this.#end(TERMINATED)
    if (this.#isCancelled()) return this.#end(DEVICE_FAILURE)
    const { source, destination } = part
    const rest = part.lengthBytes - this.#position
    if (!source) {
      const { blockSizeBytes } = destination.unit
      this.#stepBytes = Math.min(rest, WRITE_SAME_BLOCKS * blockSizeBytes)
      return this.#submit(destination, Opcode.writeSame16, part.destinationOffset, NDOB)
    }
    this.#stepBytes = Math.min(rest, PIECE_BYTES)
    this.#submit(source, Opcode.read16, part.sourceOffset, 0)
  }

  #submit({ unit, nexus }: CopyEnd, opcode: Opcode, partOffset: number, flags: number): void {
    const { blockSizeBytes } = unit
    const lba = (partOffset + this.#position) / blockSizeBytes
    const cdb = blockCdb(opcode, lba, this.#stepBytes / blockSizeBytes, flags)
    const isRead = opcode === Opcode.read16
    const dataOutBytes = opcode === Opcode.write16 ? this.#stepBytes : 0
    const { simple } = TaskAttribute
    const task = new ScsiTask(this, nexus, 0, 0, simple, cdb, isRead ? this.#stepBytes : 0, dataOutBytes)
    task.isOfCopy = true
    unit.submit(task)
  }

  taskWantsData(task: ScsiTask): void {
    const held = this.#held
    task.dataOut = held ? [held.dataIn] : []
    this.#parts[this.#part]?.destination.unit.resume(task)
  }

  taskDone(task: ScsiTask): void {
    const part = this.#parts[this.#part]
    if (task.aborted || task.status !== ScsiStatus.good || !part) {
      task.dataInBuffer?.release()
      return this.#end(DEVICE_FAILURE)
    }
    if (task.dataIn.length > 0) {
      this.#held = task
      return this.#submit(part.destination, Opcode.write16, part.destinationOffset, 0)
    }
    this.#letGo()
    this.#position += this.#stepBytes
    this.#bytesDone += this.#stepBytes
    this.#next()
  }

  #letGo(): void {
    this.#held?.dataInBuffer?.release()
    this.#held = undefined
  }

  #end(problem: SenseData | undefined): void {
    this.#letGo()
    this.#problem = problem
    this.#hasEnded = true
    this.#finished(problem)
    for (const ended of this.#terminated ?? []) ended()
  }
}
