import { Opcode, ServiceAction } from '../scsi/opcodes.ts'
import type { Command } from './command-table.ts'
import { CommandFlag } from './command-table.ts'
import type { TargetPortGroups } from './target-port-groups.ts'

/** Seconds, recommended. */
const TIMEOUT_S = 10

/** The commands of asymmetric logical unit access (SPC-5 §6.37, §6.48). */
export const targetPortGroupCommands = (groups: TargetPortGroups): Command[] => [
  {
    name: 'REPORT TARGET PORT GROUPS',
    opcode: Opcode.maintenanceIn,
    serviceAction: ServiceAction.reportTargetPortGroups,
    usage: 'a3 ea 00 00 00 00 ff ff ff ff 00 00',
    reservation: 'allowed',
    reach: 'transitioning',
    flags: 0,
    timeoutS: TIMEOUT_S,
    start: groups.report,
  },
  {
    name: 'SET TARGET PORT GROUPS',
    opcode: Opcode.maintenanceOut,
    serviceAction: ServiceAction.setTargetPortGroups,
    usage: 'a4 0a 00 00 00 00 ff ff ff ff 00 00',
    reservation: 'write',
    reach: 'unavailable',
    flags: CommandFlag.governs,
    timeoutS: TIMEOUT_S,
    start: groups.change,
  },
]
