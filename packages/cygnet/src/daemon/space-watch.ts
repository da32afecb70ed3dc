import type { DiskUnit } from '../device/disk-unit.ts'

/** How soon initiators hear that space has run short. A look is two system calls on another thread. */
const PERIOD_MS = 5000

/** Has a thin disk look how much space is left, at once and every now and then, for as long as it is open. */
export function watchSpace(unit: DiskUnit, periodMs = PERIOD_MS): void {
  if (!unit.checkSpace()) return
  const timer = setInterval(() => {
    if (!unit.checkSpace()) clearInterval(timer)
  }, periodMs)
  timer.unref()
}
