import { get16, get32, get8, set32 } from '../scsi/fields.ts'
import { Opcode, ServiceAction } from '../scsi/opcodes.ts'
import { accessStateCodes } from '../scsi/target-port-groups.ts'
import { optional, type UnitIdentity } from './disk-facts.ts'
import type { ScsiUnit } from './scsi-unit.ts'

/** How well a path does, by its asymmetric access state: the lower the better. Undefined: no commands go there. */
export const accessRank: Readonly<Record<number, number | undefined>> = {
  [accessStateCodes.optimized]: 0,
  [accessStateCodes['non-optimized']]: 1,
}

const ANSWER_BYTES = 4096
const TARGET_PORT = 1
const TARGET_PORT_GROUP = 5

/**
 * The state of the target port group that a path leads to; active and optimized where the unit knows no such thing.
 *
 * REPORT TARGET PORT GROUPS (SPC-5 §6.35): 1 SERVICE ACTION(4-0), 6 ALLOCATION LENGTH (4). Data: length (4), then groups:
 *   0  PREF(7) STATE(3-0)   1  supported states   2  TARGET PORT GROUP (2)   7  TARGET PORT COUNT   8  ports (4 each)
 */
export async function readAccessState(unit: ScsiUnit, identity: UnitIdentity): Promise<number> {
  const group = identity.designators.find(
    ({ association, type }) => association === TARGET_PORT && type === TARGET_PORT_GROUP,
  )
  if (identity.inquiry.tpgs === 0 || group === undefined) return accessStateCodes.optimized
  const cdb = new Uint8Array(16)
  cdb[0] = Opcode.maintenanceIn
  cdb[1] = ServiceAction.reportTargetPortGroups
  set32(cdb, 6, ANSWER_BYTES)
  const dataIn = new Uint8Array(ANSWER_BYTES)
  const answer = await optional(
    unit.run({ what: 'REPORT TARGET PORT GROUPS', cdb, dataIn, isRefresh: true, replay: 'safe' }),
  )
  if (answer === undefined) return accessStateCodes.optimized
  return stateOf(dataIn.subarray(0, answer.dataInBytes), get16(group.value, 2)) ?? accessStateCodes.optimized
}

function stateOf(bytes: Uint8Array, wanted: number): number | undefined {
  const end = Math.min(bytes.length, 4 + get32(bytes, 0))
  for (let at = 4; at + 8 <= end; at += 8 + 4 * get8(bytes, at + 7)) {
    if (get16(bytes, at + 2) === wanted) return get8(bytes, at) & 0x0f
  }
  return undefined
}
