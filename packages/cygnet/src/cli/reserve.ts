import { Argument, Command, InvalidArgumentError, Option } from 'commander'
import { CygnetError } from '../base/errors.ts'
import { Reservations } from '../initiator/reservations.ts'
import { type ReservationKey, ReservationType } from '../scsi/persistent-reservation.ts'
import type { ReservationStatus } from '../scsi/reserve-commands.ts'
import { encodeIsid } from '../session/isid.ts'
import { escapeControls } from './log.ts'
import { withLunOptions } from './lun-options.ts'
import { type LunOptions, openLun } from './open-device.ts'

/** The types by their names in the standard. */
const types = {
  'write-exclusive': ReservationType.writeExclusive,
  'exclusive-access': ReservationType.exclusiveAccess,
  'write-exclusive-registrants-only': ReservationType.writeExclusiveRegistrantsOnly,
  'exclusive-access-registrants-only': ReservationType.exclusiveAccessRegistrantsOnly,
  'write-exclusive-all-registrants': ReservationType.writeExclusiveAllRegistrants,
  'exclusive-access-all-registrants': ReservationType.exclusiveAccessAllRegistrants,
} as const
type TypeName = keyof typeof types

interface ReserveOptions extends LunOptions {
  readonly reservationKey?: ReservationKey
  readonly victim?: ReservationKey
  readonly type: TypeName
  readonly persist?: true
  readonly abort?: true
  readonly json?: true
}

/** What each action does; all but `show` need `--reservation-key`. */
const actions = {
  show: undefined,
  register: (on: Reservations, key: ReservationKey, { persist }: ReserveOptions) => on.register(key, persist),
  unregister: (on: Reservations, key: ReservationKey) => on.unregister(key),
  take: (on: Reservations, key: ReservationKey, { type }: ReserveOptions) => on.take(key, types[type]),
  release: (on: Reservations, key: ReservationKey, { type }: ReserveOptions) => on.release(key, types[type]),
  preempt: (on: Reservations, key: ReservationKey, { victim, type, abort }: ReserveOptions) => {
    if (victim === undefined)
      throw new CygnetError('RESERVE_OPTIONS', 'preempt needs --victim, the key to take away.')
    return on.preempt(key, victim, types[type], abort)
  },
  clear: (on: Reservations, key: ReservationKey) => on.clear(key),
} as const
type Action = keyof typeof actions

/** A registration is the session's that made it: this ISID makes the next call of this command the same one. */
const OWN_ISID = encodeIsid({ type: 'random', random: 0xc16e7, qualifier: 0 })

export function reserveCommand(): Command {
  const command = new Command('reserve')
    .description('Look at the persistent reservations of a LUN, make and take them.')
    .argument('<LUN-URL>', 'iscsi://HOST[:PORT]/TARGET/LUN')
    .addArgument(new Argument('[ACTION]', 'what to do').choices(Object.keys(actions)).default('show'))
    .option('--reservation-key <KEY>', 'the own key: up to 16 hexadecimal digits', parseKey)
    .option('--victim <KEY>', 'preempt: the key to take away', parseKey)
    .addOption(
      new Option('--type <TYPE>', 'take, release, preempt: the type of the reservation')
        .choices(Object.keys(types))
        .default('write-exclusive'),
    )
    .option('--persist', 'register: beyond a loss of power')
    .option('--abort', 'preempt: end the commands of the other one too')
    .option('--json', 'print the reservations as JSON')
  return withLunOptions(command)
    .showHelpAfterError('(cygnet reserve --help shows the options)')
    .action(reserve)
}

async function reserve(url: string, action: Action, options: ReserveOptions): Promise<void> {
  const { disk } = await openLun(url, options, { isid: options.isid ?? OWN_ISID, readOnly: true })
  await using device = disk
  const reservations = new Reservations(device)
  const act = actions[action]
  if (act !== undefined) {
    if (options.reservationKey === undefined)
      throw new CygnetError('RESERVE_OPTIONS', `${action} needs --reservation-key, the own key.`)
    await act(reservations, options.reservationKey, options)
  }
  const status = await reservations.status()
  process.stdout.write(options.json ? `${JSON.stringify(status)}\n` : describe(status))
}

function describe({ generation, registrations }: ReservationStatus): string {
  if (registrations.length === 0) return `Nobody is registered (generation ${generation}).\n`
  const typeName = (type: number): string =>
    Object.entries(types).find(([, code]) => code === type)?.[0] ?? `type ${type}`
  const lines = registrations.map(({ key: ofOne, holds, initiator }) => {
    const who = initiator === undefined ? '' : `  ${escapeControls(initiator)}`
    return `  ${ofOne}${who}${holds === undefined ? '' : `  holds ${typeName(holds)}`}\n`
  })
  return `Registered (generation ${generation}):\n${lines.join('')}`
}

function parseKey(text: string): ReservationKey {
  const digits = /^(?:0x)?([\da-f]{1,16})$/i.exec(text)?.[1]
  if (digits === undefined || /^0+$/.test(digits))
    throw new InvalidArgumentError('A key has 1 to 16 hexadecimal digits, and is not zero.')
  return digits.toLowerCase().padStart(16, '0')
}
