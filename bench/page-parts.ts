/** Drawings of the report: bars and lines as SVG, with nothing from outside. */
import type { Spread } from './statistics.ts'

const entities: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' }

/** Text for HTML and SVG, also between quotes. */
export const escaped = (text: string): string => text.replaceAll(/[&<>"]/g, (sign) => entities[sign] ?? sign)

/** A colour for each one who serves or asks; those of one family are shades of one. */
const families: readonly (readonly [RegExp, string])[] = [
  [/^floor/, 'floor'],
  [/^istgt/, 'istgt'],
  [/^iscsi-perf > tgt|^tgt/, 'tgt'],
  [/^iscsi-perf/, 'perf'],
  [/^cygnet( |$)/, 'cygnet'],
]
const SHADES = 3

/** CSS classes for contenders that stand together: each gets a colour of its own. */
export function colours(names: readonly string[]): Map<string, string> {
  const used = new Map<string, number>()
  return new Map(
    names.map((name) => {
      const family = families.find(([pattern]) => pattern.test(name))?.[1] ?? 'cygnet'
      const shade = used.get(family) ?? 0
      used.set(family, shade + 1)
      return [name, `c-${family} s${Math.min(shade, SHADES - 1)}`]
    }),
  )
}

export interface Bar {
  readonly name: string
  readonly spread: Spread
  readonly text: string
  readonly colour: string
}

const BAR = { width: 460, height: 18, gap: 7, labels: 140, values: 80 } as const

const at = (value: number): string => value.toFixed(1)

/** Horizontal bars of medians; a thin line on each goes from the least to the greatest round. */
export function barChart(bars: readonly Bar[]): string {
  const { width, height, gap, labels, values } = BAR
  const most = Math.max(...bars.map(({ spread }) => spread.max), Number.MIN_VALUE)
  const scale = (width - labels - values) / most
  const rows = bars.map(({ name, spread, text, colour }, index) => {
    const y = index * (height + gap)
    const middle = y + height / 2
    const end = labels + spread.median * scale
    return `<g class="${colour}"><title>${escaped(`${name}: ${text}`)}</title>
<text x="${labels - 8}" y="${middle}" class="name">${escaped(name)}</text>
<rect x="${labels}" y="${y}" width="${at(Math.max(1, spread.median * scale))}" height="${height}" rx="3"/>
<line x1="${at(labels + spread.min * scale)}" x2="${at(labels + spread.max * scale)}" y1="${middle}" y2="${middle}"/>
<text x="${at(Math.max(end, labels + spread.max * scale) + 6)}" y="${middle}" class="value">${escaped(text)}</text></g>`
  })
  const total = bars.length * (height + gap) - gap
  return `<svg class="bars" viewBox="0 0 ${width} ${total}" role="img">${rows.join('')}</svg>`
}

export interface Point {
  /** The run's place on the axis. */
  readonly index: number
  readonly spread: Spread
  readonly text: string
}

export interface Line {
  readonly name: string
  readonly colour: string
  readonly points: readonly Point[]
}

const CHART = { width: 460, height: 150, left: 54, right: 12, top: 10, bottom: 24 } as const
const GRID_LINES = 3
/** Labels of the axis of runs, at most. */
const LABELS = 8

/** Medians over runs, from zero on; a thin line at each point goes from the least to the greatest round. */
export function lineChart(
  lines: readonly Line[],
  runs: readonly string[],
  text: (value: number) => string,
): string {
  const { width, height, left, right, top, bottom } = CHART
  const most = roundUp(Math.max(...lines.flatMap(({ points }) => points.map(({ spread }) => spread.max))))
  const step = runs.length > 1 ? (width - left - right) / (runs.length - 1) : 0
  const x = (index: number): number => (runs.length > 1 ? left + index * step : (left + width - right) / 2)
  const y = (value: number): number => height - bottom - (value / most) * (height - top - bottom)
  const grid = Array.from({ length: GRID_LINES + 1 }, (_, i) => {
    const value = (most * i) / GRID_LINES
    return `<line class="grid" x1="${left}" x2="${width - right}" y1="${at(y(value))}" y2="${at(y(value))}"/>
<text class="tick" x="${left - 6}" y="${at(y(value))}">${escaped(text(value))}</text>`
  })
  const every = Math.ceil(runs.length / LABELS)
  const labels = runs.map((run, index) =>
    (runs.length - 1 - index) % every === 0
      ? `<text class="run" x="${at(x(index))}" y="${height - 6}">${escaped(run)}</text>`
      : '',
  )
  const drawn = lines.map(({ name, colour, points }) => {
    const path = points.map(({ index, spread }) => `${at(x(index))},${at(y(spread.median))}`).join(' ')
    const dots = points.map(({ index, spread, text: label }) => {
      const px = at(x(index))
      return `<g><title>${escaped(`${runs[index] ?? ''} ${name}: ${label}`)}</title>
<line x1="${px}" x2="${px}" y1="${at(y(spread.min))}" y2="${at(y(spread.max))}"/><circle cx="${px}" cy="${at(y(spread.median))}" r="3"/></g>`
    })
    return `<g class="${colour}"><polyline points="${path}"/>${dots.join('')}</g>`
  })
  return `<svg class="lines" viewBox="0 0 ${width} ${height}" role="img">${grid.join('')}${labels.join('')}${drawn.join('')}</svg>`
}

/** The next of 1, 1.5, 3, 6 times a power of ten: a third of it is a round number, or nearly. */
export function roundUp(value: number): number {
  if (!(value > 0)) return 1
  const power = 10 ** Math.floor(Math.log10(value))
  const factor = [1, 1.5, 3, 6, 10].find((each) => each * power >= value) ?? 10
  return factor * power
}
