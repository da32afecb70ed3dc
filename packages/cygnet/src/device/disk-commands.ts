import { Opcode, ServiceAction } from '../scsi/opcodes.ts'
import type { AtomicWrites } from './atomic-writes.ts'
import { writeAtomicRow } from './atomic-writes.ts'
import type { CopyTokens } from './copy-tokens.ts'
import { tokenCommands } from './copy-tokens.ts'
import type { Command } from './command-table.ts'
import { CommandFlag, family } from './command-table.ts'
import { diagnosticCommands, Diagnostics } from './diagnostics.ts'
import type { DiskAtomic } from './disk-atomic.ts'
import type { DiskCache } from './disk-cache.ts'
import type { DiskInquiry } from './disk-inquiry.ts'
import type { DiskLbaStatus } from './disk-lba-status.ts'
import type { DiskMedium } from './disk-medium.ts'
import type { DiskModes } from './disk-modes.ts'
import type { DiskProvisioning } from './disk-provisioning.ts'
import type { DiskReadWrite } from './disk-read-write.ts'
import type { DiskVerify } from './disk-verify.ts'
import type { DiskXor } from './disk-xor.ts'
import type { ExtendedCopy } from './extended-copy.ts'
import { copyCommands } from './extended-copy.ts'
import type { FormatUnit } from './format-unit.ts'
import { formatRow } from './format-unit.ts'
import type { LogPages } from './log-pages.ts'
import { logSenseRow } from './log-pages.ts'
import type { LogSelect } from './log-select.ts'
import { logSelectRow } from './log-select.ts'
import type { MediumDoor } from './medium-door.ts'
import { preventAllowRow } from './medium-door.ts'
import { defectCommands } from './read-defect-data.ts'
import type { PrimaryParts } from './primary-rows.ts'
import { primaryRows } from './primary-rows.ts'
import { reportReferralsRow } from './report-referrals.ts'
import { reservationCommands } from './reservation-commands.ts'
import type { Reservations } from './reservations.ts'
import type { Sanitize } from './sanitize.ts'
import { sanitizeCommands } from './sanitize.ts'
import { targetPortGroupCommands } from './target-port-group-commands.ts'
import type { TargetPortGroups } from './target-port-groups.ts'
import type { UnitInformation } from './unit-information.ts'
import { informationCommands } from './unit-information.ts'

export interface DiskParts extends PrimaryParts {
  readonly medium: DiskMedium
  readonly about: DiskInquiry
  readonly modes: DiskModes
  readonly cache: DiskCache
  readonly readWrite: DiskReadWrite
  readonly verify: DiskVerify
  readonly atomic: DiskAtomic
  readonly provisioning: DiskProvisioning
  readonly lbaStatus: DiskLbaStatus
  readonly xor: DiskXor
  readonly door: MediumDoor
  readonly sanitize: Sanitize
  readonly format: FormatUnit
  readonly canRenewKey: boolean
  readonly logs: LogPages
  readonly logSelect: LogSelect
  readonly information: UnitInformation
  readonly copy: ExtendedCopy
  /** Only where there is somebody to keep them. */
  readonly tokens: CopyTokens | undefined
  /** Only where they can be kept whole. */
  readonly atomicWrites: AtomicWrites | undefined
  /** UNMAP exists only where the store can release space. */
  readonly canUnmap: boolean
  /** ANCHOR of UNMAP and WRITE SAME is looked at, else refused by the table: blocks are mapped or not. */
  readonly canAnchor: boolean
  readonly reservations: Reservations
  readonly portGroups: TargetPortGroups
}

const { medium, write } = CommandFlag
/** Seconds, recommended: for what answers from memory, for one transfer, for what goes over much of the medium. */
const QUICK = 10
const TRANSFER = 60
const LONG = 300

/** The dispatch table of a disk. DPO (10h) and FUA (08h) are in byte 1, the group number in byte 6, 14 or 10. */
export const diskCommands = (parts: DiskParts): Command[] => [
  ...primaryRows(parts),
  ...mediumRows(parts),
  ...writeRows(parts),
  ...(parts.canUnmap ? [unmapRow(parts)] : []),
  ...(parts.door.isRemovable ? [preventAllowRow(parts.door)] : []),
  ...(parts.atomicWrites ? [writeAtomicRow(parts.atomicWrites)] : []),
  ...copyCommands(parts.copy),
  ...(parts.tokens ? tokenCommands(parts.tokens, parts.copy) : []),
  ...defectCommands,
  logSenseRow(parts.logs),
  logSelectRow(parts.logSelect),
  ...informationCommands(parts.information),
  ...diagnosticCommands(new Diagnostics()),
  formatRow(parts.format),
  ...sanitizeCommands(parts.sanitize, { trim: parts.canUnmap, renewKey: parts.canRenewKey }),
  ...reservationCommands(parts.reservations),
  ...targetPortGroupCommands(parts.portGroups),
  reportReferralsRow(parts.medium, parts.portGroups),
]

const mediumRows = ({ about, cache, lbaStatus, readWrite, verify }: DiskParts): Command[] => [
  ...family({ reservation: 'read', flags: medium, timeoutS: TRANSFER, start: readWrite.read }, [
    ['READ (6)', Opcode.read6, '08 1f ff ff ff 00'],
    ['READ (10)', Opcode.read10, '28 18 ff ff ff ff 3f ff ff 00', '00 02'],
    ['READ (12)', Opcode.read12, 'a8 18 ff ff ff ff ff ff ff ff 3f 00', '00 02'],
    ['READ (16)', Opcode.read16, '88 18 ff ff ff ff ff ff ff ff ff ff ff ff 3f 00', '00 02'],
  ]),
  ...family({ reservation: 'write', flags: medium, timeoutS: LONG, start: cache.synchronize }, [
    ['SYNCHRONIZE CACHE (10)', Opcode.synchronizeCache10, '35 02 ff ff ff ff 3f ff ff 00', '00 04'],
    [
      'SYNCHRONIZE CACHE (16)',
      Opcode.synchronizeCache16,
      '91 02 ff ff ff ff ff ff ff ff ff ff ff ff 3f 00',
      '00 04',
    ],
  ]),
  ...family({ reservation: 'read', flags: medium, timeoutS: TRANSFER, start: cache.preFetch }, [
    ['PRE-FETCH (10)', Opcode.preFetch10, '34 02 ff ff ff ff 3f ff ff 00'],
    ['PRE-FETCH (16)', Opcode.preFetch16, '90 02 ff ff ff ff ff ff ff ff ff ff ff ff 3f 00'],
  ]),
  {
    name: 'READ CAPACITY (10)',
    opcode: Opcode.readCapacity10,
    usage: '25 00 00 00 00 00 00 00 00 00',
    reservation: 'allowed',
    flags: medium,
    timeoutS: QUICK,
    start: about.readCapacity10,
  },
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
  {
    name: 'GET LBA STATUS (16)',
    opcode: Opcode.serviceActionIn16,
    serviceAction: ServiceAction.getLbaStatus,
    usage: '9e 12 ff ff ff ff ff ff ff ff ff ff ff ff 00 00',
    reservation: 'read',
    flags: medium,
    timeoutS: TRANSFER,
    start: lbaStatus.getLbaStatus,
  },
  ...family({ reservation: 'read', flags: medium, timeoutS: LONG, start: verify.verify }, [
    ['VERIFY (10)', Opcode.verify10, '2f 16 ff ff ff ff 3f ff ff 00'],
    ['VERIFY (12)', Opcode.verify12, 'af 16 ff ff ff ff ff ff ff ff 3f 00'],
    ['VERIFY (16)', Opcode.verify16, '8f 16 ff ff ff ff ff ff ff ff ff ff ff ff 3f 00'],
  ]),
]

const writeRows = ({ atomic, canAnchor, provisioning, readWrite, verify, xor }: DiskParts): Command[] => [
  ...family({ reservation: 'write', flags: medium | write, timeoutS: TRANSFER, start: readWrite.write }, [
    ['WRITE (6)', Opcode.write6, '0a 1f ff ff ff 00'],
    ['WRITE (10)', Opcode.write10, '2a 18 ff ff ff ff 3f ff ff 00', '00 02'],
    ['WRITE (12)', Opcode.write12, 'aa 18 ff ff ff ff ff ff ff ff 3f 00', '00 02'],
    ['WRITE (16)', Opcode.write16, '8a 18 ff ff ff ff ff ff ff ff ff ff ff ff 3f 00', '00 02'],
  ]),
  ...family(
    { reservation: 'write', flags: medium | write, timeoutS: TRANSFER, start: verify.writeAndVerify },
    [
      ['WRITE AND VERIFY (10)', Opcode.writeAndVerify10, '2e 16 ff ff ff ff 3f ff ff 00'],
      ['WRITE AND VERIFY (12)', Opcode.writeAndVerify12, 'ae 16 ff ff ff ff ff ff ff ff 3f 00'],
      ['WRITE AND VERIFY (16)', Opcode.writeAndVerify16, '8e 16 ff ff ff ff ff ff ff ff ff ff ff ff 3f 00'],
    ],
  ),
  ...family({ reservation: 'write', flags: medium | write, timeoutS: LONG, start: provisioning.writeSame }, [
    ['WRITE SAME (10)', Opcode.writeSame10, `41 ${canAnchor ? '18' : '08'} ff ff ff ff 3f ff ff 00`],
    [
      'WRITE SAME (16)',
      Opcode.writeSame16,
      `93 ${canAnchor ? '19' : '09'} ff ff ff ff ff ff ff ff ff ff ff ff 3f 00`,
    ],
  ]),
  {
    name: 'COMPARE AND WRITE',
    opcode: Opcode.compareAndWrite,
    usage: '89 18 ff ff ff ff ff ff ff ff 00 00 00 ff 3f 00',
    ignored: '00 02',
    reservation: 'write',
    flags: medium | write,
    timeoutS: TRANSFER,
    start: atomic.compareAndWrite,
  },
  {
    name: 'ORWRITE (16)',
    opcode: Opcode.orWrite16,
    usage: '8b 18 ff ff ff ff ff ff ff ff ff ff ff ff 3f 00',
    ignored: '00 02',
    reservation: 'write',
    flags: medium | write,
    timeoutS: TRANSFER,
    start: atomic.orWrite,
  },
  {
    name: 'XDWRITEREAD (10)',
    opcode: Opcode.xdWriteRead10,
    usage: '53 1c ff ff ff ff 3f ff ff 00',
    ignored: '00 02',
    reservation: 'write',
    flags: medium | write,
    timeoutS: TRANSFER,
    start: xor.xdWriteRead,
  },
  {
    name: 'XDWRITEREAD (32)',
    opcode: Opcode.variableLength,
    serviceAction: ServiceAction.xdWriteRead32,
    usage: `7f 00 00 00 00 00 3f 18 00 07 1c 00 ${'ff'.repeat(8)} ${'00'.repeat(8)} ff ff ff ff`,
    ignored: `${'00'.repeat(10)} 02`,
    reservation: 'write',
    flags: medium | write,
    timeoutS: TRANSFER,
    start: xor.xdWriteRead,
  },
]

const unmapRow = ({ canAnchor, provisioning }: DiskParts): Command => ({
  name: 'UNMAP',
  opcode: Opcode.unmap,
  usage: `42 ${canAnchor ? '01' : '00'} 00 00 00 00 3f ff ff 00`,
  reservation: 'write',
  flags: medium | write,
  timeoutS: LONG,
  start: provisioning.unmap,
})
