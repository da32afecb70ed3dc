import { MmcOpcode } from '../scsi/mmc-opcodes.ts'
import { Opcode, ServiceAction } from '../scsi/opcodes.ts'
import type { Command } from './command-table.ts'
import { CommandFlag, family } from './command-table.ts'
import { diagnosticCommands, Diagnostics } from './diagnostics.ts'
import type { DiskReadWrite } from './disk-read-write.ts'
import { preventAllowRow } from './medium-door.ts'
import type { OpticalEvents } from './optical-events.ts'
import type { OpticalInformation } from './optical-information.ts'
import type { OpticalInquiry } from './optical-inquiry.ts'
import type { OpticalRead } from './optical-read.ts'
import type { PrimaryParts } from './primary-rows.ts'
import { primaryRows } from './primary-rows.ts'
import { reservationCommands } from './reservation-commands.ts'
import type { Reservations } from './reservations.ts'
import { targetPortGroupCommands } from './target-port-group-commands.ts'
import type { TargetPortGroups } from './target-port-groups.ts'

export interface OpticalParts extends PrimaryParts {
  readonly about: OpticalInquiry
  readonly information: OpticalInformation
  readonly events: OpticalEvents
  readonly readWrite: DiskReadWrite
  readonly discRead: OpticalRead
  readonly reservations: Reservations
  readonly portGroups: TargetPortGroups
}

const { quiet, medium } = CommandFlag
/** Seconds, recommended: for what answers from memory, for one transfer. */
const QUICK = 10
const TRANSFER = 60

/**
 * The dispatch table of a CD/DVD drive. There is no command that writes, as drives for read-only discs have none. A3h and A4h
 * are MAINTENANCE IN and OUT; SEND KEY and REPORT KEY, which share their opcodes and have no service action, are refused.
 */
export const opticalCommands = (parts: OpticalParts): Command[] => [
  ...primaryRows(parts),
  preventAllowRow(parts.door),
  ...readRows(parts),
  ...informationRows(parts),
  ...driveRows(parts),
  ...diagnosticCommands(new Diagnostics()),
  ...reservationCommands(parts.reservations),
  ...targetPortGroupCommands(parts.portGroups),
]

/** READ (6) and (16) are not of MMC, but initiators that take it for a disk may send them. Byte 10 of READ (12) has STREAMING(7). */
const readRows = ({ about, readWrite, discRead }: OpticalParts): Command[] => [
  ...family({ reservation: 'read', flags: medium, timeoutS: TRANSFER, start: readWrite.read }, [
    ['READ (6)', Opcode.read6, '08 1f ff ff ff 00'],
    ['READ (10)', Opcode.read10, '28 18 ff ff ff ff 3f ff ff 00', '00 02'],
    ['READ (12)', Opcode.read12, 'a8 18 ff ff ff ff ff ff ff ff bf 00', '00 02'],
    ['READ (16)', Opcode.read16, '88 18 ff ff ff ff ff ff ff ff ff ff ff ff 3f 00', '00 02'],
  ]),
  ...family({ reservation: 'read', flags: medium, timeoutS: TRANSFER, start: discRead.readCd }, [
    ['READ CD', MmcOpcode.readCd, 'be 1e ff ff ff ff ff ff ff fe 07 00'],
  ]),
  ...family({ reservation: 'read', flags: medium, timeoutS: TRANSFER, start: discRead.readCdMsf }, [
    ['READ CD MSF', MmcOpcode.readCdMsf, 'b9 1e 00 ff ff ff ff ff ff fe 07 00'],
  ]),
  ...family({ reservation: 'allowed', flags: medium, timeoutS: QUICK, start: about.readCapacity10 }, [
    ['READ CAPACITY (10)', Opcode.readCapacity10, '25 00 00 00 00 00 00 00 00 00'],
  ]),
  {
    name: 'READ CAPACITY (16)',
    opcode: Opcode.serviceActionIn16,
    serviceAction: ServiceAction.readCapacity16,
    usage: '9e 10 00 00 00 00 00 00 00 00 ff ff ff ff 00 00',
    reservation: 'allowed',
    flags: medium,
    timeoutS: QUICK,
    start: about.readCapacity16,
  },
  ...family({ reservation: 'read', flags: medium, timeoutS: TRANSFER, start: discRead.seek }, [
    ['SEEK (10)', MmcOpcode.seek10, '2b 00 ff ff ff ff 00 00 00 00'],
  ]),
]

const discInformation = { reservation: 'read', flags: medium, timeoutS: QUICK } as const

/** What is told of the disc. */
const informationRows = ({ information }: OpticalParts): Command[] => [
  {
    ...discInformation,
    name: 'READ TOC/PMA/ATIP',
    opcode: MmcOpcode.readToc,
    usage: '43 02 0f 00 00 00 ff ff ff c0',
    start: information.readToc,
  },
  {
    ...discInformation,
    name: 'READ DISC INFORMATION',
    opcode: MmcOpcode.readDiscInformation,
    usage: '51 07 00 00 00 00 00 ff ff 00',
    start: information.readDiscInformation,
  },
  {
    ...discInformation,
    name: 'READ TRACK INFORMATION',
    opcode: MmcOpcode.readTrackInformation,
    usage: '52 03 ff ff ff ff 00 ff ff 00',
    start: information.readTrackInformation,
  },
  {
    ...discInformation,
    name: 'READ DISC STRUCTURE',
    opcode: MmcOpcode.readDiscStructure,
    usage: 'ad 0f ff ff ff ff ff ff ff ff 00 00',
    ignored: '00 00 00 00 00 00 00 00 00 00 c0',
    start: information.readDiscStructure,
  },
  {
    ...discInformation,
    name: 'GET PERFORMANCE',
    opcode: MmcOpcode.getPerformance,
    usage: 'ac 1f ff ff ff ff 00 00 ff ff ff 00',
    start: information.getPerformance,
  },
]

/** What is told of the drive, and said to it. The first two report no unit attention (MMC-6 §4.1.7). */
const driveRows = ({ information, events, discRead }: OpticalParts): Command[] => [
  {
    name: 'GET CONFIGURATION',
    opcode: MmcOpcode.getConfiguration,
    usage: '46 03 ff ff 00 00 00 ff ff 00',
    reservation: 'allowed',
    flags: quiet,
    timeoutS: QUICK,
    start: information.getConfiguration,
  },
  {
    name: 'GET EVENT STATUS NOTIFICATION',
    opcode: MmcOpcode.getEventStatusNotification,
    usage: '4a 01 00 00 ff 00 00 ff ff 00',
    reservation: 'allowed',
    flags: quiet,
    timeoutS: QUICK,
    start: events.getEventStatus,
  },
  {
    name: 'MECHANISM STATUS',
    opcode: MmcOpcode.mechanismStatus,
    usage: 'bd 00 00 00 00 00 00 00 ff ff 00 00',
    reservation: 'allowed',
    flags: 0,
    timeoutS: QUICK,
    start: events.mechanismStatus,
  },
  {
    name: 'SET CD SPEED',
    opcode: MmcOpcode.setCdSpeed,
    usage: 'bb 03 ff ff ff ff 00 00 00 00 00 00',
    reservation: 'read',
    flags: 0,
    timeoutS: QUICK,
    start: discRead.setSpeed,
  },
  {
    name: 'SET STREAMING',
    opcode: MmcOpcode.setStreaming,
    usage: 'b6 00 00 00 00 00 00 00 ff ff ff 00',
    reservation: 'read',
    flags: 0,
    timeoutS: QUICK,
    start: discRead.setStreaming,
  },
]
