import { Opcode } from '../scsi/opcodes.ts'
import { ReserveInAction, ReserveOutAction } from '../scsi/persistent-reservation.ts'
import type { Command } from './command-table.ts'
import { CommandFlag } from './command-table.ts'
import type { Reservations } from './reservations.ts'

/** Seconds, recommended. Making a change durable takes a flush. */
const TIMEOUT_S = 30

const row = { reservation: 'own', timeoutS: TIMEOUT_S } as const
const { governs } = CommandFlag

/**
 * The commands that every unit with reservations has. What they conflict with is their own affair. The bits that name a
 * third party or an extent (SPC-2 §7.21) must be zero; the fields that mean something only with these are ignored.
 */
export const reservationCommands = (reservations: Reservations): Command[] => [
  {
    ...row,
    name: 'RESERVE (6)',
    opcode: Opcode.reserve6,
    usage: '16 00 00 00 00 00',
    ignored: '00 00 ff ff ff',
    flags: governs,
    start: reservations.reserve,
  },
  {
    ...row,
    name: 'RESERVE (10)',
    opcode: Opcode.reserve10,
    usage: '56 00 00 00 00 00 00 00 00 00',
    ignored: '00 00 ff ff 00 00 00 ff ff',
    flags: governs,
    start: reservations.reserve,
  },
  {
    ...row,
    name: 'RELEASE (6)',
    opcode: Opcode.release6,
    usage: '17 00 00 00 00 00',
    ignored: '00 00 ff',
    flags: 0,
    start: reservations.release,
  },
  {
    ...row,
    name: 'RELEASE (10)',
    opcode: Opcode.release10,
    usage: '57 00 00 00 00 00 00 00 00 00',
    ignored: '00 00 ff ff 00 00 00 ff ff',
    flags: 0,
    start: reservations.release,
  },
  ...reserveInRows(reservations),
  ...reserveOutRows(reservations),
]

function reserveInRows(reservations: Reservations): Command[] {
  const rows = [
    ['READ KEYS', ReserveInAction.readKeys, reservations.readKeys],
    ['READ RESERVATION', ReserveInAction.readReservation, reservations.readReservation],
    ['REPORT CAPABILITIES', ReserveInAction.reportCapabilities, reservations.reportCapabilities],
    ['READ FULL STATUS', ReserveInAction.readFullStatus, reservations.readFullStatus],
  ] as const
  return rows.map(([name, serviceAction, start]) => ({
    ...row,
    name: `PERSISTENT RESERVE IN: ${name}`,
    reach: 'standby' as const,
    opcode: Opcode.persistentReserveIn,
    serviceAction,
    usage: `5e 0${serviceAction} 00 00 00 00 00 ff ff 00`,
    flags: 0,
    start,
  }))
}

/** SCOPE and TYPE are looked at, or ignored. */
function reserveOutRows(reservations: Reservations): Command[] {
  const rows = [
    ['REGISTER', ReserveOutAction.register, '00'],
    ['RESERVE', ReserveOutAction.reserve, 'ff'],
    ['RELEASE', ReserveOutAction.release, 'ff'],
    ['CLEAR', ReserveOutAction.clear, '00'],
    ['PREEMPT', ReserveOutAction.preempt, 'ff'],
    ['PREEMPT AND ABORT', ReserveOutAction.preemptAndAbort, 'ff'],
    ['REGISTER AND IGNORE EXISTING KEY', ReserveOutAction.registerAndIgnoreExistingKey, '00'],
    ['REGISTER AND MOVE', ReserveOutAction.registerAndMove, '00'],
  ] as const
  return rows.map(([name, serviceAction, scopeAndType]) => ({
    ...row,
    name: `PERSISTENT RESERVE OUT: ${name}`,
    reach: 'standby' as const,
    opcode: Opcode.persistentReserveOut,
    serviceAction,
    usage: `5f 0${serviceAction} ${scopeAndType} 00 00 ff ff ff ff 00`,
    ignored: '00 00 ff',
    flags: governs,
    start: reservations.reserveOut,
  }))
}
