import { get8, get16, get32, set16, set32 } from '../scsi/fields.ts'
import { hex } from '../base/bytes.ts'
import { ReserveOutAction } from '../scsi/persistent-reservation.ts'
import { encodeTransportId } from '../scsi/transport-id.ts'
import type { Nexus, ScsiTask } from '../scsi/task.ts'
import type { Done, StoreError } from '../store/backing-store.ts'
import type { DurableRecords } from '../store/durable-records.ts'
import type { Outcome } from './disk.test-helper.ts'
import { cdbOf, nexusNamed, senseOf, TestDisk } from './disk.test-helper.ts'
import type { DiskUnitOptions } from './disk-unit.ts'
import { TargetPortGroups } from './target-port-groups.ts'

/** For the tests of reservations: initiators that share a disk, and short ways to reserve it. */

/** Records in memory, durable at once or when the test says. */
export class TestRecords implements DurableRecords {
  readonly saved = new Map<string, unknown>()
  readonly calls: unknown[] = []
  deferred = false
  failNext: StoreError | undefined
  readonly #waiting: (() => void)[] = []

  get(name: string): unknown {
    return this.saved.get(name)
  }

  set(name: string, value: unknown, done: Done): void {
    this.calls.push(value)
    const error = this.failNext
    this.failNext = undefined
    const finish = (): void => {
      if (!error) this.saved.set(name, structuredClone(value))
      done(error)
    }
    if (this.deferred) this.#waiting.push(finish)
    else finish()
  }

  get waiting(): number {
    return this.#waiting.length
  }

  release(): void {
    this.#waiting.shift()?.()
  }
}

/** A nexus through another target port of the same target. */
export const throughPort = (nexus: Nexus, relativeTargetPortId: number): Nexus => ({
  ...nexus,
  targetPortName: `iqn.2026-11.test:target,t,0x000${relativeTargetPortId}`,
  relativeTargetPortId,
})

export interface OutOptions {
  readonly type?: number
  readonly key?: number
  readonly actionKey?: number
  /** Byte 20: SPEC_I_PT(3) ALL_TG_PT(2) APTPL(0). */
  readonly flags?: number
  /** What follows byte 24, its length before it. */
  readonly transportIds?: readonly Uint8Array[]
  /** PARAMETER LIST LENGTH, where it is not the list's own. */
  readonly lengthBytes?: number
}

/** The CDB and parameter list of PERSISTENT RESERVE OUT. */
export function reserveOut(action: number, options: OutOptions): { cdb: Uint8Array; dataOut: Uint8Array } {
  const { type = 0, key = 0, actionKey = 0, flags = 0, transportIds } = options
  const ids = transportIds?.flatMap((id) => [...id]) ?? []
  const dataOut = new Uint8Array(24 + (transportIds ? 4 + ids.length : 0))
  set32(dataOut, 4, key)
  set32(dataOut, 12, actionKey)
  dataOut[20] = flags
  if (transportIds) {
    set32(dataOut, 24, ids.length)
    dataOut.set(ids, 28)
  }
  return { cdb: outCdb(action, type, options.lengthBytes ?? dataOut.length), dataOut }
}

export function outCdb(action: number, type: number, lengthBytes: number): Uint8Array {
  const cdb = cdbOf('5f 00 00 00 00 00000000 00')
  cdb[1] = action
  cdb[2] = type
  set32(cdb, 5, lengthBytes)
  return cdb
}

export interface FullStatusEntry {
  readonly key: number
  readonly isHolder: boolean
  readonly type: number
  readonly port: number
  readonly initiator: string
}

/** A disk with two target ports and three initiators; `a2` is the first through the other port. */
export class SharedDisk {
  readonly disk: TestDisk
  readonly a: Nexus
  readonly b = nexusNamed('b')
  readonly c = nexusNamed('c')
  readonly a2: Nexus
  /** Never registered: asks, so that the others have their unit attentions left. */
  readonly observer = nexusNamed('observer')

  constructor(options: Partial<DiskUnitOptions> = {}) {
    const portGroups = new TargetPortGroups([
      [1, 'optimized'],
      [2, 'optimized'],
    ])
    this.disk = new TestDisk(64, { portGroups, ...options })
    this.a = this.disk.nexus
    this.a2 = throughPort(this.a, 2)
    for (const nexus of [this.b, this.c, this.a2, this.observer]) this.disk.attach(nexus)
  }

  out(nexus: Nexus, action: number, options: OutOptions = {}): string {
    const { cdb, dataOut } = reserveOut(action, options)
    return resultOf(this.disk.run(cdb, { dataOut }, nexus))
  }

  /** Submits and leaves it. */
  submitOut(nexus: Nexus, action: number, options: OutOptions = {}): ScsiTask {
    const { cdb, dataOut } = reserveOut(action, options)
    return this.disk.submit(cdb, { dataOut }, nexus)
  }

  register(nexus: Nexus, actionKey: number, more: OutOptions = {}): string {
    return this.out(nexus, ReserveOutAction.register, { actionKey, ...more })
  }

  reserve(nexus: Nexus, key: number, type: number): string {
    return this.out(nexus, ReserveOutAction.reserve, { key, type })
  }

  move(nexus: Nexus, key: number, actionKey: number, to: Nexus, unregisters = false, aptpl = false): string {
    const id = encodeTransportId(to.initiatorPortName)
    const dataOut = new Uint8Array(24 + id.length)
    set32(dataOut, 4, key)
    set32(dataOut, 12, actionKey)
    dataOut[17] = (unregisters ? 2 : 0) | (aptpl ? 1 : 0)
    set16(dataOut, 18, to.relativeTargetPortId)
    set32(dataOut, 20, id.length)
    dataOut.set(id, 24)
    const cdb = outCdb(ReserveOutAction.registerAndMove, 0, dataOut.length)
    return resultOf(this.disk.run(cdb, { dataOut }, nexus))
  }

  run(nexus: Nexus, cdb: string): string {
    return resultOf(this.disk.run(cdbOf(cdb), {}, nexus))
  }

  /** Registered keys in order, as `1 2 3`. */
  keys(nexus: Nexus = this.observer): string {
    const { data } = this.disk.run(cdbOf('5e 00 0000000000 ffff 00'), {}, nexus)
    const keys: number[] = []
    for (let at = 8; at < data.length; at += 8) keys.push(get32(data, at + 4))
    return keys.join(' ')
  }

  generation(): number {
    return get32(this.disk.run(cdbOf('5e 00 0000000000 ffff 00'), {}, this.observer).data, 0)
  }

  /** The reservation as `key/type`, or nothing. */
  held(): string {
    const { data } = this.disk.run(cdbOf('5e 01 0000000000 ffff 00'), {}, this.observer)
    return get32(data, 4) === 0 ? '' : `${get32(data, 12)}/${get8(data, 21)}`
  }

  full(): FullStatusEntry[] {
    const { data } = this.disk.run(cdbOf('5e 03 0000000000 ffff 00'), {}, this.observer)
    const list: FullStatusEntry[] = []
    for (let at = 8; at < data.length; at += 24 + get32(data, at + 20)) {
      const id = data.subarray(at + 28, at + 24 + get32(data, at + 20))
      list.push({
        key: get32(data, at + 4),
        isHolder: (get8(data, at + 12) & 1) !== 0,
        type: get8(data, at + 13),
        port: get16(data, at + 18),
        initiator: new TextDecoder().decode(id).replace(/\0+$/, ''),
      })
    }
    return list
  }

  capabilities(): string {
    return hex(this.disk.run(cdbOf('5e 02 0000000000 ffff 00'), {}, this.observer).data)
  }

  /** The unit attentions that nexuses have not heard of, heard by asking. */
  attentions(nexus: Nexus): string[] {
    const heard: string[] = []
    for (;;) {
      const { data } = this.disk.run(cdbOf('03 00 0000 fc 00'), {}, nexus)
      if ((get8(data, 2) & 0x0f) !== 6) return heard
      heard.push(get16(data, 12).toString(16))
    }
  }
}

/** `good`, `conflict`, or the sense data in short, with the place of the wrong field. */
export function resultOf(outcome: Outcome): string {
  if (outcome.aborted) return 'aborted'
  if (outcome.status === 0) return 'good'
  if (outcome.status === 0x18) return 'conflict'
  const field = outcome.sense?.field
  if (!field) return senseOf(outcome)
  return `${senseOf(outcome)} ${field.in} ${field.byte}${field.bit === undefined ? '' : `.${field.bit}`}`
}
