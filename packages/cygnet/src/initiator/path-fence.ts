import { cdbBlocks, cdbLba } from '../scsi/cdb.ts'
import { get8, get32, get64 } from '../scsi/fields.ts'
import { Opcode } from '../scsi/opcodes.ts'
import type { ScsiCommand, Timing } from './scsi-executor.ts'
import { Waiters } from './waiters.ts'

/** For how long a write of a lost session may still land where nothing proves that it cannot, in milliseconds. */
const LANDING_MS = 2000

interface Doubt {
  /** The write that may still land. */
  readonly command: ScsiCommand
  /** Blocks [start, end). */
  readonly start: number
  readonly end: number
  /** The session that took it. */
  readonly session: object
}

/**
 * Keeps writes of lost sessions from landing on newer data.
 *
 * A write A that was on its way when its path was lost is done again by another path, and then a newer write B to the
 * same blocks may follow. But the target may hold the first A yet: received, not carried out, and in a session that the
 * target does not know to be dead. Carried out after B, it leaves A, B, A: the newer data is gone, and nobody is told.
 * Doing A twice is no harm in itself, nor is A that lands while nothing newer is there. So the second A goes out at once,
 * reads and all other writes go on, and only writes to blocks that are in doubt wait until the first A cannot land any more:
 *
 * - The lost session is reinstated: we log in with its ISID to its portal group, and RFC 7143 §6.3.5 has the target end
 *   all tasks of the old session before it answers. That may be by the lost path, when it works again, or at once by
 *   another portal of the same group (`PathSet` logs in there for this alone).
 * - Where there is no such portal, 2 seconds after the path was lost. No more of the write can arrive, as its socket is
 *   reset (under TLS the system may send what it has already), so what may be left is a command that is whole in the target, and the target's service time for it. Only a
 *   LOGICAL UNIT RESET would prove more, and that would end the tasks of other initiators as well, without an answer to
 *   them. A target whose storage can hold a write back for longer should have its portals in one portal group.
 *
 * Whatever is not replayed (COMPARE AND WRITE, requests that were given up) is in doubt as well.
 */
export class PathFence {
  readonly #timing: Timing
  readonly #waiters = new Waiters()
  readonly #settled = new WeakSet<object>()
  /** What cancels the end of waiting, by session. */
  readonly #limits = new Map<object, () => void>()
  #doubts: Doubt[] = []

  constructor(timing: Timing) {
    this.#timing = timing
  }

  /** Something that `session` took may still land. */
  hasDoubts(session: object): boolean {
    return this.#limits.has(session)
  }

  /** The command was given to `session`, which was lost before there was an answer. */
  add(command: ScsiCommand, session: object): void {
    const range = writtenBlocks(command)
    if (range === undefined || this.#settled.has(session)) return
    this.#doubts.push({ command, session, ...range })
    if (this.#limits.has(session)) return
    this.#limits.set(
      session,
      this.#timing.schedule(() => this.settle(session), LANDING_MS),
    )
  }

  /** Nothing that `session` took can land any more. */
  settle(session: object): void {
    this.#settled.add(session)
    this.#limits.get(session)?.()
    if (!this.#limits.delete(session)) return
    this.#doubts = this.#doubts.filter((doubt) => doubt.session !== session)
    this.#waiters.wake()
  }

  /** The command would write where another one may still land. */
  holds(command: ScsiCommand): boolean {
    if (this.#doubts.length === 0) return false
    const range = writtenBlocks(command)
    return (
      range !== undefined &&
      this.#doubts.some(
        (doubt) => doubt.command !== command && range.start < doubt.end && doubt.start < range.end,
      )
    )
  }

  /** Until it is worth asking `holds` again. */
  wait(signal: AbortSignal | undefined): Promise<void> {
    return this.#waiters.wait(signal)
  }

  close(error: Error): void {
    for (const cancel of this.#limits.values()) cancel()
    this.#limits.clear()
    this.#doubts = []
    this.#waiters.fail(error)
  }
}

type Blocks = Pick<Doubt, 'start' | 'end'>

/** LBA and length where they are in most CDBs. */
function transfer({ cdb }: ScsiCommand): Blocks {
  const start = cdbLba(cdb)
  return { start, end: start + cdbBlocks(cdb) }
}

/** Zero blocks mean up to the end (SBC-4 §5.50). */
function same(command: ScsiCommand): Blocks {
  const { start, end } = transfer(command)
  return { start, end: start === end ? Infinity : end }
}

function compared({ cdb }: ScsiCommand): Blocks {
  const start = get64(cdb, 2)
  return { start, end: start + get8(cdb, 13) }
}

/** From the first to the last block of all descriptors. */
function unmapped({ dataOut = [] }: ScsiCommand): Blocks {
  const [list] = dataOut
  const blocks = { start: Infinity, end: 0 }
  if (list === undefined || dataOut.length > 1) return { start: 0, end: Infinity }
  for (let at = 8; at + 16 <= list.length; at += 16) {
    const lba = get64(list, at)
    blocks.start = Math.min(blocks.start, lba)
    blocks.end = Math.max(blocks.end, lba + get32(list, at + 8))
  }
  return blocks
}

const writes: Readonly<Record<number, ((command: ScsiCommand) => Blocks) | undefined>> = {
  [Opcode.write6]: transfer,
  [Opcode.write10]: transfer,
  [Opcode.write12]: transfer,
  [Opcode.write16]: transfer,
  [Opcode.writeAndVerify10]: transfer,
  [Opcode.writeAndVerify12]: transfer,
  [Opcode.writeAndVerify16]: transfer,
  [Opcode.orWrite16]: transfer,
  [Opcode.xdWriteRead10]: transfer,
  [Opcode.writeSame10]: same,
  [Opcode.writeSame16]: same,
  [Opcode.compareAndWrite]: compared,
  [Opcode.unmap]: unmapped,
  // Write commands of 32 bytes.
  [Opcode.variableLength]: same,
}

/** The blocks that a command writes; undefined where it writes none. */
const writtenBlocks = (command: ScsiCommand): Blocks | undefined => writes[get8(command.cdb, 0)]?.(command)
