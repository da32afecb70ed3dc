import { get8 } from '../scsi/fields.ts'
import { Opcode, ServiceAction } from '../scsi/opcodes.ts'
import type { Command } from './command-table.ts'
import { CommandFlag } from './command-table.ts'
import type { MediumDoor } from './medium-door.ts'
import type { Step } from './operation.ts'
import type { InquirySource } from './primary-commands.ts'
import { inquiry, reportTaskManagement, testUnitReady } from './primary-commands.ts'

/** What the primary commands of a unit are made of. */
export interface PrimaryParts {
  readonly about: InquirySource
  readonly modes: { readonly canSave: boolean; readonly sense: Step; readonly select: Step }
  readonly cache: { readonly startStop: Step }
  readonly door: MediumDoor
  readonly reportLuns: Step
  readonly requestSense: Step
  readonly reportOpcodes: Step
}

const { quiet, medium, governs } = CommandFlag
/** Seconds, recommended: for what answers from memory, for what may flush. */
const QUICK = 10
const TRANSFER = 60

/** START STOP UNIT with START = 1 and no power condition (SBC-4 §4.17). */
const startsOnly = (cdb: Uint8Array): boolean => (get8(cdb, 4) & 0xf1) === 0x01

/** What every unit with a medium answers, whatever its device type (SPC-5 §6). */
export const primaryRows = (parts: PrimaryParts): Command[] => [
  {
    name: 'TEST UNIT READY',
    opcode: Opcode.testUnitReady,
    usage: '00 00 00 00 00 00',
    reservation: 'reserve',
    flags: medium,
    timeoutS: QUICK,
    start: testUnitReady,
  },
  {
    name: 'REQUEST SENSE',
    opcode: Opcode.requestSense,
    usage: '03 01 00 00 ff 00',
    reservation: 'allowed',
    reach: 'transitioning',
    flags: quiet,
    timeoutS: QUICK,
    start: parts.requestSense,
  },
  {
    name: 'INQUIRY',
    opcode: Opcode.inquiry,
    usage: '12 01 ff ff ff 00',
    reservation: 'allowed',
    reach: 'transitioning',
    flags: quiet,
    timeoutS: QUICK,
    start: inquiry(parts.about),
  },
  {
    name: 'MODE SELECT (6)',
    opcode: Opcode.modeSelect6,
    usage: parts.modes.canSave ? '15 11 00 00 ff 00' : '15 10 00 00 ff 00',
    reservation: 'write',
    reach: 'standby',
    flags: governs,
    timeoutS: QUICK,
    start: parts.modes.select,
  },
  {
    name: 'MODE SELECT (10)',
    opcode: Opcode.modeSelect10,
    usage: `55 ${parts.modes.canSave ? '11' : '10'} 00 00 00 00 00 ff ff 00`,
    reservation: 'write',
    reach: 'standby',
    flags: governs,
    timeoutS: QUICK,
    start: parts.modes.select,
  },
  {
    name: 'MODE SENSE (6)',
    opcode: Opcode.modeSense6,
    usage: '1a 08 ff ff ff 00',
    reservation: 'read',
    reach: 'standby',
    flags: 0,
    timeoutS: QUICK,
    start: parts.modes.sense,
  },
  {
    name: 'MODE SENSE (10)',
    opcode: Opcode.modeSense10,
    usage: '5a 18 ff ff 00 00 00 ff ff 00',
    reservation: 'read',
    reach: 'standby',
    flags: 0,
    timeoutS: QUICK,
    start: parts.modes.sense,
  },
  {
    name: 'START STOP UNIT',
    opcode: Opcode.startStopUnit,
    usage: parts.door.isRemovable ? '1b 01 00 0f f7 00' : '1b 01 00 0f f5 00',
    reservation: 'write',
    isHarmless: startsOnly,
    flags: governs,
    timeoutS: TRANSFER,
    start: parts.cache.startStop,
  },
  {
    name: 'REPORT LUNS',
    opcode: Opcode.reportLuns,
    usage: 'a0 00 ff 00 00 00 ff ff ff ff 00 00',
    reservation: 'allowed',
    reach: 'transitioning',
    flags: quiet,
    timeoutS: QUICK,
    start: parts.reportLuns,
  },
  {
    name: 'REPORT SUPPORTED OPERATION CODES',
    opcode: Opcode.maintenanceIn,
    serviceAction: ServiceAction.reportSupportedOperationCodes,
    usage: 'a3 0c 87 ff ff ff ff ff ff ff 00 00',
    reservation: 'read',
    flags: 0,
    timeoutS: QUICK,
    start: parts.reportOpcodes,
  },
  {
    name: 'REPORT SUPPORTED TASK MANAGEMENT FUNCTIONS',
    opcode: Opcode.maintenanceIn,
    serviceAction: ServiceAction.reportSupportedTaskManagementFunctions,
    usage: 'a3 0d 80 00 00 00 ff ff ff ff 00 00',
    reservation: 'read',
    flags: 0,
    timeoutS: QUICK,
    start: reportTaskManagement,
  },
]
