/** What `reserving-child.ts` and the test that kills it have in common. */
import { type SharedDisk } from '../../packages/cygnet/src/device/reservations.test-helper.ts'

export const CHILD_UNIT = 'naa.3000000000000001'
/** Name of the record of persistent reservations. */
export const RECORD = 'reservations'

/** Registrations and reservation in short, in an order of their own. */
export interface Remembered {
  readonly registrations: readonly string[]
  readonly reservation: string
}

const nameOf = (initiator: string, port: number, key: number): string => `${initiator} ${port} ${key}`

/** As a unit tells initiators. */
export function rememberedBy(disk: SharedDisk): Remembered {
  const entries = disk.full()
  const holders = entries.filter(({ isHolder }) => isHolder)
  return {
    registrations: entries.map(({ initiator, port, key }) => nameOf(initiator, port, key)).toSorted(),
    reservation: holders
      .map(({ initiator, port, key, type }) => `${nameOf(initiator, port, key)} type ${type}`)
      .toSorted()
      .join(', '),
  }
}

interface Record {
  readonly registrations: readonly {
    readonly initiatorPortName: string
    readonly relativeTargetPortId: number
    readonly key: string
  }[]
  readonly reservation: {
    readonly type: number
    readonly holder: { readonly initiatorPortName: string; readonly relativeTargetPortId: number } | null
  } | null
}

/** As a record says it; without one, nothing is remembered. */
export function rememberedIn(record: unknown): Remembered {
  if (record === null || record === undefined) return { registrations: [], reservation: '' }
  const { registrations, reservation } = record as Record
  const names = registrations.map((each) => ({
    each,
    name: nameOf(each.initiatorPortName, each.relativeTargetPortId, Number.parseInt(each.key, 16)),
  }))
  const holders = names.filter(
    ({ each }) =>
      reservation !== null &&
      (reservation.holder === null ||
        (reservation.holder.initiatorPortName === each.initiatorPortName &&
          reservation.holder.relativeTargetPortId === each.relativeTargetPortId)),
  )
  return {
    registrations: names.map(({ name }) => name).toSorted(),
    reservation: holders
      .map(({ name }) => `${name} type ${reservation?.type}`)
      .toSorted()
      .join(', '),
  }
}
