import { hex } from '../base/bytes.ts'
import type { Nexus } from '../scsi/task.ts'
import type { Designator } from '../scsi/vpd.ts'
import type { LogicalUnit } from './logical-unit.ts'

/** A logical unit that a copy manager can read from and write to. */
export interface CopyUnit extends LogicalUnit {
  readonly blockSizeBytes: number
  readonly blocks: number
  /** The nexus that the initiator port of `nexus` has with this unit. */
  nexusLike(nexus: Nexus): Nexus | undefined
}

/** Tokens that are kept; the oldest makes room. */
const TOKENS_LIMIT = 256

/** What a ROD token stands for. */
export interface CopyToken {
  readonly unit: CopyUnit
  readonly ranges: readonly { readonly offset: number; readonly lengthBytes: number }[]
}

/** The logical units of one server, by what identifies them: whom a third-party copy can be between. */
export class CopyUnits {
  readonly #units = new Map<string, CopyUnit>()
  readonly #tokens = new Map<string, CopyToken>()
  readonly random: (lengthBytes: number) => Uint8Array

  /** `random`: bytes that nobody can guess, for tokens. */
  constructor(random: (lengthBytes: number) => Uint8Array) {
    this.random = random
  }

  keepToken(token: string, what: CopyToken): void {
    this.#tokens.set(token, what)
    if (this.#tokens.size <= TOKENS_LIMIT) return
    for (const oldest of this.#tokens.keys()) {
      this.#tokens.delete(oldest)
      break
    }
  }

  findToken(token: string): CopyToken | undefined {
    return this.#tokens.get(token)
  }

  dropToken(token: string): void {
    this.#tokens.delete(token)
  }

  add(unit: CopyUnit, designators: readonly Designator[]): void {
    for (const { type, value } of designators) this.#units.set(keyOf(type, value), unit)
  }

  /** It is closed; what tokens stand for is gone with it. */
  remove(unit: CopyUnit): void {
    for (const [key, other] of this.#units) if (other === unit) this.#units.delete(key)
    for (const [token, { unit: other }] of this.#tokens) if (other === unit) this.#tokens.delete(token)
  }

  find(designatorType: number, designator: Uint8Array): CopyUnit | undefined {
    return this.#units.get(keyOf(designatorType, designator))
  }
}

const keyOf = (type: number, value: Uint8Array): string => `${type} ${hex(value)}`
