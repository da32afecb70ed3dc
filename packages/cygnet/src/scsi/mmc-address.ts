import { get8, set32 } from './fields.ts'

/** Bytes of user data in a block: mode 1 of a CD, and every DVD. */
export const DISC_BLOCK_BYTES = 2048

const FRAMES_PER_SECOND = 75
const SECONDS_PER_MINUTE = 60
/** LBA 0 is two seconds behind the beginning of what can be addressed (MMC-6 §4.2.4). */
const PREGAP_FRAMES = 150
/** A field of three bytes holds no more. */
const LAST_FRAME = 256 * SECONDS_PER_MINUTE * FRAMES_PER_SECOND - 1

/** Minute, second and frame of an LBA; of one that is too large, the last that there is. */
export function msfOf(lba: number): readonly [minute: number, second: number, frame: number] {
  const frames = Math.min(lba + PREGAP_FRAMES, LAST_FRAME)
  const seconds = Math.floor(frames / FRAMES_PER_SECOND)
  return [Math.floor(seconds / SECONDS_PER_MINUTE), seconds % SECONDS_PER_MINUTE, frames % FRAMES_PER_SECOND]
}

/** The LBA of minute, second and frame at `at`: below 0 before the first block, undefined where there is no such frame. */
export function lbaOfMsf(bytes: Uint8Array, at: number): number | undefined {
  const second = get8(bytes, at + 1)
  const frame = get8(bytes, at + 2)
  if (second >= SECONDS_PER_MINUTE || frame >= FRAMES_PER_SECOND) return undefined
  const seconds = get8(bytes, at) * SECONDS_PER_MINUTE + second
  return seconds * FRAMES_PER_SECOND + frame - PREGAP_FRAMES
}

/** An address of four bytes: an LBA, or zero, minute, second, frame. */
export function setAddress(bytes: Uint8Array, at: number, lba: number, asMsf: boolean): void {
  if (asMsf) bytes.set(msfOf(lba), at + 1)
  else set32(bytes, at, lba)
}
