import { CygnetError } from '../base/errors.ts'
import { reportLunsCdb } from '../scsi/cdb.ts'
import { decodeReportLuns } from '../scsi/lun.ts'
import { optional, readIdentity, type UnitIdentity } from './disk-facts.ts'
import type { ScsiUnit } from './scsi-unit.ts'

/** LUNs that are looked at: a target with more should be told which. */
const SEARCH_LIMIT = 256
const ANSWER_BYTES = 8 + 8 * SEARCH_LIMIT

/** A disk that was met. */
export interface FoundUnit {
  readonly unit: ScsiUnit
  readonly identity: UnitIdentity
}

/**
 * The disk that is wanted: at `lun` or, where there is another one or none, at any other LUN that the target reports. The one at
 * `lun` where none is wanted.
 * @throws {CygnetError} NO_DEVICE where there is no disk; and as any command
 */
export async function findUnit(
  lun: number,
  unitAt: (lun: number) => ScsiUnit,
  isWanted: (identity: UnitIdentity) => boolean,
): Promise<FoundUnit> {
  const unit = unitAt(lun)
  const first = await identified(unit)
  if (!(first instanceof CygnetError) && isWanted(first.identity)) return first
  for (const another of await readLuns(unit)) {
    if (another === lun) continue
    // oxlint-disable-next-line no-await-in-loop -- the first one that is right will do
    const other = await identified(unitAt(another))
    if (!(other instanceof CygnetError) && isWanted(other.identity)) return other
  }
  if (first instanceof CygnetError) throw first
  return first
}

async function identified(unit: ScsiUnit): Promise<FoundUnit | CygnetError> {
  try {
    return { unit, identity: await readIdentity(unit) }
  } catch (error) {
    if (error instanceof CygnetError && error.code === 'NO_DEVICE') return error
    throw error
  }
}

/** REPORT LUNS, which LUN 0 answers even where there is no unit. */
async function readLuns(unit: ScsiUnit): Promise<readonly number[]> {
  const dataIn = new Uint8Array(ANSWER_BYTES)
  const cdb = reportLunsCdb(ANSWER_BYTES)
  const answer = await optional(
    unit.run({ what: 'REPORT LUNS', cdb, dataIn, isRefresh: true, replay: 'safe' }),
  )
  return decodeReportLuns(dataIn.subarray(0, answer?.dataInBytes ?? 0)).flatMap((address) =>
    address.kind === 'unit' ? address.lun : [],
  )
}
