import type { PooledBuffer } from '../base/pool.ts'
import { get32 } from '../scsi/fields.ts'
import { Opcode } from '../scsi/opcodes.ts'
import { invalidCdbField } from '../scsi/sense.ts'
import type { ScsiTask } from '../scsi/task.ts'
import type { BackingStore, Done } from '../store/backing-store.ts'
import { WriteFlags } from '../store/backing-store.ts'
import type { DurableRecords } from '../store/durable-records.ts'
import type { Command } from './command-table.ts'
import { CommandFlag } from './command-table.ts'
import type { DiskMedium } from './disk-medium.ts'
import type { Operation } from './operation.ts'

/** MAXIMUM ATOMIC TRANSFER LENGTH: each write goes through the record too. */
export const ATOMIC_BLOCKS = 256

const RECORD = 'atomicWrite'
const NO_BYTES = new Uint8Array(0)

interface AtomicRecord {
  /** Byte offset. */
  readonly offset: number
  readonly base64: string
}

/** A write whose data has come. */
interface Request {
  readonly op: Operation
  readonly task: ScsiTask
  readonly lengthBytes: number
  readonly offset: number
}

/**
 * WRITE ATOMIC (16) (SBC-4 §4.29, §5.49): all of the blocks are written or none, whether it is another command that looks
 * or somebody after a crash. Where the store itself does not promise that, the bytes go to a durable record first, and
 * from there once more at the next start, should it come to that; the record is gone before the status is sent, so
 * that it never writes over anything later. One at a time: this is for the few writes that need it.
 */
export class AtomicWrites {
  readonly #medium: DiskMedium
  /** Of no task: what has begun is finished, whatever becomes of the command. */
  readonly #op: Operation
  readonly #records: DurableRecords | undefined
  readonly #requests: Request[] = []
  #current: Request | undefined
  /** The current one's bytes: its task, and what it holds, may end before it does. */
  #buffer: PooledBuffer | undefined
  #whenIdle: (() => void) | undefined

  constructor(medium: DiskMedium, op: Operation, records: DurableRecords | undefined) {
    this.#medium = medium
    this.#op = op
    this.#records = medium.store.can.atomicWrites ? undefined : records
  }

  /** Calls back when none is under way. */
  close(closed: () => void): void {
    if (this.#current) this.#whenIdle = closed
    else closed()
  }

  /** 10 ATOMIC BOUNDARY (2), zero   12 TRANSFER LENGTH (2) */
  readonly writeAtomic = (op: Operation): void => {
    const medium = this.#medium
    const { cdb } = op.task
    if (!medium.locate(op, Number.POSITIVE_INFINITY)) return
    const unitBlocks = 2 ** medium.physicalExponent
    if (op.lba % unitBlocks !== 0) return op.check(invalidCdbField(2, 7))
    if (op.blocks % unitBlocks !== 0 || get32(cdb, 10) > ATOMIC_BLOCKS) {
      return op.check(invalidCdbField(12, 7))
    }
    // Half of it would be none of it.
    if (op.task.dataOutLimitBytes < op.lengthBytes) return op.check(invalidCdbField(12, 7))
    op.receive(op.lengthBytes, this.#received)
  }

  readonly #received = (op: Operation): void => {
    if (op.lengthBytes === 0) return op.good()
    const { task, lengthBytes, offset } = op
    op.awaitEvent(this.#finished)
    this.#requests.push({ op, task, lengthBytes, offset })
    if (!this.#current) this.#next()
  }

  readonly #finished = (op: Operation): void => {
    if (op.error) op.check(this.#medium.failure(op.error, 'write', op.offset))
    else op.good()
  }

  #next(): void {
    const request = this.#requests.shift()
    this.#current = request
    if (!request) return this.#whenIdle?.()
    // Aborted before it began.
    if (request.task.isDone) return this.#next()
    this.#buffer = this.#copy(request)
    const op = this.#op
    op.error = undefined
    op.offset = request.offset
    op.lengthBytes = request.lengthBytes
    this.#medium.locks.acquire(op, 'exclusive', this.#record)
  }

  #copy({ task, lengthBytes }: Request): PooledBuffer {
    const buffer = this.#medium.pool.take(lengthBytes)
    let at = 0
    for (const slice of task.dataOut) {
      buffer.bytes.set(slice, at)
      at += slice.length
    }
    return buffer
  }

  readonly #record = (op: Operation): void => {
    const { locks } = this.#medium
    // Reads wait as well: none may see one half of it old and one half new.
    locks.isolate(op)
    if (!this.#records) return this.#write(op)
    const bytes = this.#bytes(op)
    const value: AtomicRecord = {
      offset: op.offset,
      base64: Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('base64'),
    }
    op.awaitStore(this.#recorded)
    this.#records.set(RECORD, value, op.done)
  }

  readonly #recorded = (op: Operation): void => (op.error ? this.#forget(op) : this.#write(op))

  #bytes({ lengthBytes }: Operation): Uint8Array {
    return this.#buffer?.bytes.subarray(0, lengthBytes) ?? NO_BYTES
  }

  #write(op: Operation): void {
    op.awaitStore(this.#forget)
    const flags = this.#records ? WriteFlags.fua : this.#medium.writeFlags(true)
    this.#medium.store.write([this.#bytes(op)], op.offset, flags, op.done)
  }

  readonly #forget = (op: Operation): void => {
    const request = this.#current
    if (request && !request.task.isDone) request.op.error = op.error
    if (!this.#records) return this.#done(op)
    op.awaitStore(this.#forgotten)
    this.#records.set(RECORD, undefined, op.done)
  }

  readonly #forgotten = (op: Operation): void => {
    const request = this.#current
    if (op.error && request && !request.task.isDone) request.op.error ??= op.error
    this.#done(op)
  }

  readonly #done = (op: Operation): void => {
    op.phase = 'idle'
    this.#medium.locks.release(op)
    if (this.#current) this.#end(this.#current)
  }

  #end({ op, task }: Request): void {
    this.#buffer?.release()
    this.#buffer = undefined
    if (!task.isDone) op.eventCame(task)
    this.#next()
  }
}

/** Before the unit is there: finishes what a crash has interrupted. */
export function finishAtomicWrite(records: DurableRecords, store: BackingStore, done: Done): void {
  const left = records.get(RECORD) as AtomicRecord | undefined
  if (left === undefined || !store.can.write) return done(undefined)
  const bytes = Uint8Array.from(Buffer.from(left.base64, 'base64'))
  if (left.offset + bytes.length > store.geometry.sizeBytes) return done(undefined)
  store.write([bytes], left.offset, WriteFlags.fua, (error) => {
    if (error) done(error)
    else records.set(RECORD, undefined, done)
  })
}

const { medium, write } = CommandFlag

export const writeAtomicRow = (atomicWrites: AtomicWrites): Command => ({
  name: 'WRITE ATOMIC (16)',
  opcode: Opcode.writeAtomic16,
  usage: '9c 18 ff ff ff ff ff ff ff ff 00 00 ff ff 3f 00',
  reservation: 'write',
  flags: medium | write,
  timeoutS: 60,
  start: atomicWrites.writeAtomic,
})
