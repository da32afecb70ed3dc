/**
 * Writes to a disk at random through one connection, and keeps account of what each unit of 4 KiB may hold: a unit's last durable
 * version and every later one that was sent. A version becomes durable when its FUA write, or a SYNCHRONIZE CACHE sent after its
 * write was acknowledged, ends with GOOD.
 */
import assert from 'node:assert/strict'
import type { CommandResult, RawInitiator } from './raw-initiator.ts'
import type { Seeded } from './seeded.ts'

const UNIT_BYTES = 4096
const SECTOR_BYTES = 512
const SECTORS = UNIT_BYTES / SECTOR_BYTES
const UNITS_IN_READ = 64

interface Unit {
  /** Versions that the unit may hold; a crash leaves one of them, and may tear the newest ones. */
  allowed: Set<number>
  /** Version of the last acknowledged write. */
  acknowledged: number
  busy: boolean
}

/** The bytes of one version of a unit: version 0 is a blank disk. */
function fill(target: Buffer, unit: number, version: number): void {
  if (version === 0) return
  for (let offset = 0; offset < target.length; offset += 8) {
    target.writeUInt32BE(unit, offset)
    target.writeUInt32BE(version, offset + 4)
  }
}

export class RecordingWriter {
  /** Durable acknowledgements counted so far. */
  durable = 0
  writes = 0
  readonly #random: Seeded
  readonly #units: Unit[]
  readonly #lun: number
  #version = 0

  constructor(random: Seeded, units: number, lun: number) {
    this.#random = random
    this.#lun = lun
    this.#units = Array.from({ length: units }, () => ({
      allowed: new Set([0]),
      acknowledged: 0,
      busy: false,
    }))
  }

  /** One random command to its end. Rejects when the connection is lost. */
  async step(initiator: RawInitiator): Promise<void> {
    if (this.#random.next() < 0.15) return this.#synchronize(initiator)
    await this.#write(initiator, this.#random.next() < 0.5)
  }

  /** Reads everything and compares. Afterwards each unit holds just what was found. */
  async verify(initiator: RawInitiator): Promise<void> {
    for (let first = 0; first < this.#units.length; first += UNITS_IN_READ) {
      const count = Math.min(UNITS_IN_READ, this.#units.length - first)
      const cdb = rw10(0x28, first * SECTORS, count * SECTORS)
      const options = { lun: this.#lun, read: count * UNIT_BYTES }
      let result = await initiator.command(cdb, options)
      // A restarted target first reports its power-on unit attention.
      if (result.senseKey === 6) result = await initiator.command(cdb, options)
      good(result)
      for (let index = 0; index < count; index++) {
        this.#check(first + index, result.data.subarray(index * UNIT_BYTES, (index + 1) * UNIT_BYTES))
      }
    }
  }

  /** Nothing is on its way any more: everything acknowledged is the only thing that may be found. */
  settle(): void {
    for (const unit of this.#units) unit.allowed = new Set([unit.acknowledged])
  }

  #check(index: number, found: Buffer): void {
    const unit = this.#units[index]
    assert.ok(unit)
    const seen = new Set<number>()
    for (let sector = 0; sector < SECTORS; sector++) {
      const bytes = found.subarray(sector * SECTOR_BYTES, (sector + 1) * SECTOR_BYTES)
      const version = bytes.readUInt32BE(4)
      const expected = Buffer.alloc(SECTOR_BYTES)
      fill(expected, index, version)
      const may = [...unit.allowed].join(' or ')
      const where = `unit ${index}, sector ${sector}: version ${version} where ${may} may be`
      assert.ok(unit.allowed.has(version), where)
      assert.ok(bytes.equals(expected), `${where}, torn inside a sector`)
      seen.add(version)
    }
    unit.allowed = seen
    unit.acknowledged = Math.max(...seen)
    unit.busy = false
  }

  async #write(initiator: RawInitiator, fua: boolean): Promise<void> {
    const count = this.#random.between(1, 8)
    const first = this.#random.between(0, this.#units.length - count)
    const units = this.#units.slice(first, first + count)
    // One write at a time for each unit, so that the order of versions is known.
    if (units.some((unit) => unit.busy)) return
    const version = ++this.#version
    const data = Buffer.alloc(count * UNIT_BYTES)
    for (const [index, unit] of units.entries()) {
      unit.busy = true
      unit.allowed.add(version)
      fill(data.subarray(index * UNIT_BYTES, (index + 1) * UNIT_BYTES), first + index, version)
    }
    const cdb = rw10(0x2a, first * SECTORS, count * SECTORS, fua ? 0x08 : 0)
    good(await initiator.command(cdb, { lun: this.#lun, write: data }))
    this.writes++
    if (fua) this.durable += count
    for (const unit of units) {
      unit.busy = false
      unit.acknowledged = version
      if (fua) unit.allowed = new Set([version])
    }
  }

  async #synchronize(initiator: RawInitiator): Promise<void> {
    const before = this.#units.map((unit) => unit.acknowledged)
    good(await initiator.command(rw10(0x35, 0, 0), { lun: this.#lun }))
    for (const [index, unit] of this.#units.entries()) {
      const durable = before[index] ?? 0
      if (!unit.allowed.has(durable) || unit.allowed.size === 1) continue
      this.durable++
      for (const version of unit.allowed) if (version < durable) unit.allowed.delete(version)
    }
  }
}

/** A 10-byte CDB with LBA and length. */
export function rw10(opcode: number, lba: number, blocks: number, flags = 0): Buffer {
  const cdb = Buffer.alloc(10)
  cdb[0] = opcode
  cdb[1] = flags
  cdb.writeUInt32BE(lba, 2)
  cdb.writeUInt16BE(blocks, 7)
  return cdb
}

function good(result: CommandResult): void {
  const sense = `sense ${result.senseKey.toString(16)}/${result.asc.toString(16)}`
  assert.deepEqual([result.response, result.status], [0, 0], sense)
}
