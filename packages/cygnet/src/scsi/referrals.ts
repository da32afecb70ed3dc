import { set16, set64 } from './fields.ts'
import type { AccessState } from './target-port-groups.ts'
import { accessStateCodes } from './target-port-groups.ts'
import { newPage, VpdPage } from './vpd.ts'

/** B3h, USER DATA SEGMENT SIZE and MULTIPLIER zero: REPORT REFERRALS tells the segments (SBC-4 §6.6.8). */
export const encodeReferralsPage = (peripheral: number): Uint8Array =>
  newPage(peripheral, VpdPage.referrals, 12)

export interface ReferralSegment {
  readonly firstLba: number
  readonly lastLba: number
  readonly groups: readonly (readonly [group: number, state: AccessState])[]
}

/*
 * REPORT REFERRALS (SBC-4 §5.28): 2 LENGTH (2), then for each segment: 3 NUMBER OF TARGET PORT GROUPS   4 FIRST LBA (8)
 *   12 LAST LBA (8)   20 groups: 0 ASYMMETRIC ACCESS STATE(3-0)   2 TARGET PORT GROUP (2)
 */
export function encodeReferrals({ firstLba, groups, lastLba }: ReferralSegment): Uint8Array {
  const bytes = new Uint8Array(4 + 20 + 4 * groups.length)
  set16(bytes, 2, bytes.length - 4)
  bytes[7] = groups.length
  set64(bytes, 8, firstLba)
  set64(bytes, 16, lastLba)
  for (const [i, [group, state]] of groups.entries()) {
    bytes[24 + 4 * i] = accessStateCodes[state]
    set16(bytes, 26 + 4 * i, group)
  }
  return bytes
}
