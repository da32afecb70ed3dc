import { get8, get32, set16, set32 } from '../scsi/fields.ts'
import { ModePage, ModeSubpage } from '../scsi/mode.ts'

/** A mode page as kept here: the bytes now, after a reset, as it came, and those that MODE SELECT may change. */
export interface Page {
  readonly code: number
  readonly subpage: number
  readonly current: Uint8Array
  readonly saved: Uint8Array
  readonly initial: Uint8Array
  readonly changeable: Uint8Array
}

const SPF = 0x40

/** `values`: byte, initial value, mask of what can be changed. */
export function definePage(
  code: number,
  lengthBytes: number,
  values: readonly (readonly [at: number, value: number, mask: number])[],
  subpage = 0,
): Page {
  const initial = new Uint8Array(lengthBytes)
  if (subpage === 0) {
    initial[0] = code
    initial[1] = lengthBytes - 2
  } else {
    initial[0] = SPF | code
    initial[1] = subpage
    set16(initial, 2, lengthBytes - 4)
  }
  const changeable = Uint8Array.from(initial)
  for (const [at, value, mask] of values) {
    initial[at] = value
    changeable[at] = mask
  }
  return {
    code,
    subpage,
    current: Uint8Array.from(initial),
    saved: Uint8Array.from(initial),
    initial,
    changeable,
  }
}

/** What identifies a page. */
export const pageKey = ({ code, subpage }: Page): string =>
  subpage === 0 ? `${code}` : subpageKey(code, subpage)

export const subpageKey = (code: number, subpage: number): string => `${code}.${subpage}`

/** Logical block provisioning errors are reported: byte 7 of the read-write error recovery page. */
const LBPERE = 0x80
/** Of the logical block provisioning page: its one threshold descriptor. */
const DESCRIPTOR_AT = 16
const ENABLED = 0x80
const AVAILABLE = 0x01

/**
 * The pages of a thin disk that knows how much space is left (SBC-4 §6.5.8, §6.5.10). Read-write error recovery: 7 LBPERE(7).
 * Logical block provisioning: 4 SITUA(0), zero: every nexus hears of a threshold; from 16 on a descriptor of a soft threshold:
 *   0 ENABLED(7) THRESHOLD TYPE(5-3) = 0 THRESHOLD ARMING(2-0) = 0, decreasing   1 THRESHOLD RESOURCE: what is available
 *   4 THRESHOLD COUNT (4)
 */
export function thresholdPages(count: number): { readonly recovery: Page; readonly provisioning: Page } {
  const counts = new Uint8Array(4)
  set32(counts, 0, count)
  return {
    recovery: definePage(ModePage.readWriteErrorRecovery, 12, [[7, LBPERE, LBPERE]]),
    provisioning: definePage(
      ModePage.informationalExceptions,
      DESCRIPTOR_AT + 8,
      [
        [DESCRIPTOR_AT, count > 0 ? ENABLED : 0, ENABLED],
        [DESCRIPTOR_AT + 1, AVAILABLE, 0],
        ...[...counts].map((byte, i) => [DESCRIPTOR_AT + 4 + i, byte, 0xff] as const),
      ],
      ModeSubpage.logicalBlockProvisioning,
    ),
  }
}

/** The threshold in threshold sets; undefined where the pages ask for none. */
export function thresholdOf(recovery: Page, provisioning: Page): number | undefined {
  const reports = get8(recovery.current, 7) & LBPERE && get8(provisioning.current, DESCRIPTOR_AT) & ENABLED
  return reports ? get32(provisioning.current, DESCRIPTOR_AT + 4) : undefined
}
