import type { PooledBuffer } from '../base/pool.ts'
import { Command, CommandFlag, getU64, MAX_PAYLOAD_BYTES, REQUEST_MAGIC } from './nbd-protocol.ts'

interface CommandTraits {
  readonly name: string
  /** Flags that it may have. */
  readonly flags: number
  readonly isWrite?: true
  /** Has an offset and a length that lie in the device. */
  readonly hasRange?: true
  /** Its length is that of memory here. */
  readonly hasBuffer?: true
}

/** What there is, apart from DISC. */
const commands: Readonly<Record<number, CommandTraits>> = {
  [Command.read]: { name: 'READ', flags: CommandFlag.fua | CommandFlag.df, hasRange: true, hasBuffer: true },
  [Command.write]: { name: 'WRITE', flags: CommandFlag.fua, isWrite: true, hasRange: true, hasBuffer: true },
  [Command.flush]: { name: 'FLUSH', flags: CommandFlag.fua },
  [Command.trim]: { name: 'TRIM', flags: CommandFlag.fua, isWrite: true, hasRange: true },
  [Command.writeZeroes]: {
    name: 'WRITE_ZEROES',
    flags: CommandFlag.fua | CommandFlag.noHole,
    isWrite: true,
    hasRange: true,
  },
  [Command.blockStatus]: { name: 'BLOCK_STATUS', flags: CommandFlag.requestOne, hasRange: true },
}

/** One request of a client. */
export class ServerRequest {
  readonly type: number
  readonly flags: number
  /** The cookie comes back as it came. */
  readonly cookieHigh: number
  readonly cookieLow: number
  readonly offset: number
  readonly lengthBytes: number
  readonly traits: CommandTraits | undefined
  /** The data of a WRITE, or room for that of a READ. */
  buffer: PooledBuffer | undefined

  /** `view`: of a request of 28 bytes, whose magic number was checked. */
  constructor(view: DataView) {
    this.flags = view.getUint16(4)
    this.type = view.getUint16(6)
    this.cookieHigh = view.getUint32(8)
    this.cookieLow = view.getUint32(12)
    this.offset = getU64(view, 16)
    this.lengthBytes = view.getUint32(24)
    this.traits = commands[this.type]
  }

  has(flag: number): boolean {
    return (this.flags & flag) !== 0
  }

  get bufferBytes(): number {
    return this.traits?.hasBuffer ? this.lengthBytes : 0
  }

  /** For errors. */
  get name(): string {
    return this.traits?.name ?? `command ${this.type}`
  }

  /** Why the request cannot be served, whatever the device is; undefined where it can. */
  get fault(): string | undefined {
    if (this.traits === undefined) return 'this command is not known here'
    if ((this.flags & ~this.traits.flags) !== 0) return `it has flags (${this.flags}) that it must not have`
    if (this.type === Command.read && this.lengthBytes > MAX_PAYLOAD_BYTES) return 'it is too long'
    return undefined
  }
}

export const isRequest = (view: DataView): boolean => view.getUint32(0) === REQUEST_MAGIC
