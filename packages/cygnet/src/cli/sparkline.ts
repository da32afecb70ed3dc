const LEVELS = '▁▂▃▄▅▆▇█'

/** The last `width` values as a line of bars, the highest as high as the largest of them. */
export function sparkline(values: readonly number[], width: number): string {
  const shown = values.slice(-width)
  const largest = Math.max(...shown, 0)
  if (largest === 0) return LEVELS.charAt(0).repeat(shown.length)
  return shown
    .map((value) => LEVELS.charAt(Math.min(LEVELS.length - 1, Math.floor((value / largest) * LEVELS.length))))
    .join('')
}
