import type { SenseData } from './sense.ts'

/** What a logical unit has still to tell a nexus (QUERY ASYNCHRONOUS EVENT, SAM-5 §7.10). */
export interface PendingEvent {
  /** Sense key and additional sense code of the most urgent unit attention, or of a deferred error. */
  readonly sense: SenseData
  /** There is more than this; undefined where the unit does not say. */
  readonly hasMore: boolean | undefined
}

const ONE = 1
const MORE = 2

/*
 * Additional response information, 24 bits:
 *   23-22 reserved   21-20 UADE DEPTH (0 unknown, 1 one, 2 more than one)   19-16 SENSE KEY   15-8 ASC   7-0 ASCQ
 */
export const encodePendingEvent = ({ sense, hasMore }: PendingEvent): number => {
  const depth = hasMore === undefined ? 0 : hasMore ? MORE : ONE
  return (depth << 20) | (sense.key << 16) | sense.additional
}

export function decodePendingEvent(additionalResponse: number): PendingEvent {
  const depth = (additionalResponse >>> 20) & 3
  return {
    sense: { key: (additionalResponse >>> 16) & 0x0f, additional: additionalResponse & 0xffff },
    hasMore: depth === ONE || depth === MORE ? depth === MORE : undefined,
  }
}
