import { AdditionalSense } from '../scsi/additional-sense.ts'
import { get32, get64 } from '../scsi/fields.ts'
import { Opcode, ServiceAction } from '../scsi/opcodes.ts'
import { encodeReferrals } from '../scsi/referrals.ts'
import { illegalRequest } from '../scsi/sense.ts'
import type { Command } from './command-table.ts'
import { CommandFlag } from './command-table.ts'
import type { DiskMedium } from './disk-medium.ts'
import type { TargetPortGroups } from './target-port-groups.ts'

/**
 * REPORT REFERRALS (SBC-4 §5.28): 2 LOGICAL BLOCK ADDRESS (8)   10 ALLOCATION LENGTH (4)   14 ONE_SEG(0). Every block is reached
 * through every target port group alike, so the whole medium is one user data segment.
 */
export const reportReferralsRow = (medium: DiskMedium, portGroups: TargetPortGroups): Command => ({
  name: 'REPORT REFERRALS',
  opcode: Opcode.serviceActionIn16,
  serviceAction: ServiceAction.reportReferrals,
  usage: '9e 13 ff ff ff ff ff ff ff ff ff ff ff ff 01 00',
  reservation: 'allowed',
  reach: 'unavailable',
  flags: CommandFlag.medium,
  timeoutS: 10,
  start(op) {
    const { cdb } = op.task
    if (get64(cdb, 2) >= medium.blocks) return op.check(illegalRequest(AdditionalSense.lbaOutOfRange))
    const groups = portGroups.groups.map((group) => [group, portGroups.stateOf(group)] as const)
    op.reply(encodeReferrals({ firstLba: 0, lastLba: medium.blocks - 1, groups }), get32(cdb, 10))
  },
})
