import { get8, get16, set16, set32 } from './fields.ts'
import { AdditionalSense } from './additional-sense.ts'
import type { SenseData } from './sense.ts'
import { illegalRequest, invalidParameterField } from './sense.ts'

/** ASYMMETRIC ACCESS STATE of a target port group (SPC-5 §5.18.2, §6.37). */
export const accessStateCodes = {
  optimized: 0x0,
  'non-optimized': 0x1,
  standby: 0x2,
  unavailable: 0x3,
  transitioning: 0xf,
} as const
/** How a logical unit is reached through a target port group: `optimized` and `non-optimized` are active. */
export type AccessState = keyof typeof accessStateCodes

/** States that an administrator, or SET TARGET PORT GROUPS, can ask for. */
export const settableAccessStates = ['optimized', 'non-optimized', 'standby', 'unavailable'] as const
export type SettableAccessState = (typeof settableAccessStates)[number]

/** STATUS CODE: what brought the state about, since power on. */
export const AccessStatus = { none: 0, explicit: 1, implicit: 2 } as const
export type AccessStatus = (typeof AccessStatus)[keyof typeof AccessStatus]

export interface PortGroupReport {
  /** TARGET PORT GROUP. */
  readonly group: number
  readonly state: AccessState
  readonly status: AccessStatus
  readonly relativeTargetPortIds: readonly number[]
}

/** T_SUP, U_SUP, S_SUP, AN_SUP, AO_SUP. */
const SUPPORTED = 0x8f
const EXTENDED_FORMAT = 0x10

/**
 * REPORT TARGET PORT GROUPS:
 *   0  RETURN DATA LENGTH (4)   with the extended header: 4  FORMAT TYPE(6-4) = 1   5  IMPLICIT TRANSITION TIME
 * and for each group:
 *   0  PREF(7) ASYMMETRIC ACCESS STATE(3-0)   1  T_SUP(7) O_SUP(6) LBD_SUP(4) U_SUP(3) S_SUP(2) AN_SUP(1) AO_SUP(0)
 *   2  TARGET PORT GROUP (2)   5  STATUS CODE   7  TARGET PORT COUNT   8  ports: 2  RELATIVE TARGET PORT IDENTIFIER (2)
 */
export function encodePortGroups(groups: readonly PortGroupReport[], isExtended: boolean): Uint8Array {
  const headerBytes = isExtended ? 8 : 4
  let lengthBytes = headerBytes
  for (const { relativeTargetPortIds } of groups) lengthBytes += 8 + 4 * relativeTargetPortIds.length
  const bytes = new Uint8Array(lengthBytes)
  set32(bytes, 0, lengthBytes - 4)
  if (isExtended) bytes[4] = EXTENDED_FORMAT
  let at = headerBytes
  for (const { group, state, status, relativeTargetPortIds } of groups) {
    bytes[at] = accessStateCodes[state]
    bytes[at + 1] = SUPPORTED
    set16(bytes, at + 2, group)
    bytes[at + 5] = status
    bytes[at + 7] = relativeTargetPortIds.length
    at += 8
    for (const id of relativeTargetPortIds) {
      set16(bytes, at + 2, id)
      at += 4
    }
  }
  return bytes
}

/**
 * SET TARGET PORT GROUPS: 4 reserved bytes, then for each group
 *   0  ASYMMETRIC ACCESS STATE(3-0)   2  TARGET PORT GROUP (2)
 */
export function decodeSetPortGroups(
  list: Uint8Array,
  groups: ReadonlySet<number>,
): ReadonlyMap<number, AccessState> | SenseData {
  if (list.length < 4 || list.length % 4 !== 0)
    return illegalRequest(AdditionalSense.parameterListLengthError)
  const changes = new Map<number, AccessState>()
  for (let at = 4; at < list.length; at += 4) {
    const code = get8(list, at) & 0x0f
    const state = settableAccessStates.find((each) => accessStateCodes[each] === code)
    const group = get16(list, at + 2)
    if (state === undefined) return invalidParameterField(at, 3)
    if (!groups.has(group)) return invalidParameterField(at + 2)
    changes.set(group, state)
  }
  return changes
}
