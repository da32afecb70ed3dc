import { decodeLun } from '../scsi/lun.ts'

/** LUN of a task whose LUN field has a form that no logical unit has. */
export const NO_LUN = -1
/** LUN of the REPORT LUNS well known logical unit. */
export const REPORT_LUNS_LUN = -2

/** The LUN of a PDU's LUN field as a number, for routing. */
export function lunOf(field: bigint): number {
  if (field === 0n) return 0
  const address = decodeLun(field)
  if (address.kind === 'unit') return address.lun
  return address.kind === 'report-luns' ? REPORT_LUNS_LUN : NO_LUN
}
