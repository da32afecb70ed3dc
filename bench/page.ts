/** `report.html`: one page of what `results.jsonl` holds, the newest run in full and all of them over commits. */
import { type Case, cases } from './cases.ts'
import { goals } from './goals.ts'
import { barChart, colours, escaped, type Line, lineChart } from './page-parts.ts'
import { style } from './page-style.ts'
import { type CaseRecord, type ContenderRecord, type RunRecord, spreadOf } from './record.ts'
import type { Figure } from './sample.ts'
import { formatOnce, verdict } from './table.ts'
import { count, digits, mebibytes, rateOf } from './units.ts'

/** A column of figures under the bars, where any contender has them. */
const columns: readonly {
  readonly figure: Figure
  readonly title: string
  readonly text: (value: number) => string
}[] = [
  { figure: 'p50Us', title: 'p50 µs', text: count },
  { figure: 'p99Us', title: 'p99 µs', text: count },
  { figure: 'p999Us', title: 'p99.9 µs', text: count },
  { figure: 'targetCpuUs', title: 'target CPU µs', text: digits },
  { figure: 'clientCpuUs', title: 'client CPU µs', text: digits },
  { figure: 'peakBytes', title: 'peak MiB', text: mebibytes },
]

const findCase = (record: RunRecord, id: string): CaseRecord | undefined =>
  record.cases.find((one) => one.id === id)

function figuresTable({ contenders }: CaseRecord): string {
  const used = columns.filter(({ figure }) => contenders.some((contender) => spreadOf(contender, figure)))
  if (used.length === 0) return ''
  const head = used.map(({ title }) => `<th>${title}</th>`).join('')
  const rows = contenders.map((contender) => {
    const cells = used.map(({ figure, text }) => {
      const spread = spreadOf(contender, figure)
      return spread
        ? `<td title="${text(spread.min)}..${text(spread.max)}">${text(spread.median)}</td>`
        : '<td>–</td>'
    })
    return `<tr><td>${escaped(contender.name)}</td>${cells.join('')}</tr>`
  })
  return `<div class="wide"><table><tr><th></th>${head}</tr>${rows.join('')}</table></div>`
}

/** One line for each contender, through the runs that have the figure. */
function history(
  records: readonly RunRecord[],
  { id }: Case,
  colour: ReadonlyMap<string, string>,
  figure: Figure,
  text: (value: number) => string,
): string {
  const lines = [...colour].flatMap(([name, itsColour]): Line[] => {
    const points = records.flatMap((record, index) => {
      const contender = contenderOf(record, id, name)
      const spread = contender && spreadOf(contender, figure)
      return spread ? [{ index, spread, text: text(spread.median) }] : []
    })
    return points.length > 0 ? [{ name, colour: itsColour, points }] : []
  })
  if (lines.length === 0) return ''
  const runs = records.map(({ commit }) => commit.split('+')[0] ?? commit)
  return lineChart(lines, runs, text)
}

const contenderOf = (record: RunRecord, id: string, name: string): ContenderRecord | undefined =>
  findCase(record, id)?.contenders.find((contender) => contender.name === name)

function caseCard(records: readonly RunRecord[], newest: RunRecord, one: Case): string {
  const record = findCase(newest, one.id)
  if (!record || record.contenders.length === 0) return ''
  const { figure, text } = rateOf(one)
  const colour = colours(record.contenders.map(({ name }) => name))
  const bars = record.contenders.flatMap((contender) => {
    const { name } = contender
    const spread = spreadOf(contender, figure)
    return spread ? [{ name, spread, text: text(spread.median), colour: colour.get(name) ?? '' }] : []
  })
  if (bars.length === 0) return ''
  const rates = history(records, one, colour, figure, text)
  const cpu = history(records, one, colour, 'targetCpuUs', digits)
  const key = [...colour].map(([name, its]) => `<span class="${its}"><i></i>${escaped(name)}</span>`).join('')
  const over =
    records.length > 1
      ? `<div class="history"><h4>${one.unit} over commits</h4><div class="key">${key}</div>${rates}<h4>Target CPU per I/O, µs, over commits</h4>${cpu}</div>`
      : ''
  return `<section class="card" id="${one.id}"><h3>${escaped(one.title)}, ${one.unit}</h3>${barChart(bars)}${figuresTable(record)}${over}</section>`
}

function goalsTable({ goals: outcomes }: RunRecord): string {
  const rows = goals.flatMap((goal) => {
    const outcome = outcomes.find(({ id }) => id === goal.id)
    if (!outcome) return []
    const word = verdict(outcome)
    const value = outcome.value === undefined ? '–' : digits(outcome.value)
    const chip = `<span class="chip ${word.replace(' ', '-')}">${word}</span>`
    const bound = `${escaped(goal.must)} ${digits(goal.bound)} ${escaped(goal.unit)}`
    return [`<tr><td>${escaped(goal.title)}</td><td>${value}</td><td>${bound}</td><td>${chip}</td></tr>`]
  })
  if (rows.length === 0) return ''
  const met = outcomes.filter(({ isMet }) => isMet).length
  return `<h2>Goals: ${met} of ${outcomes.length} met</h2><section class="card wide"><table class="goals"><tr><th></th><th>figure</th><th>goal</th><th></th></tr>${rows.join('')}</table></section>`
}

function aboutRun({ date, commit, machine, rounds }: RunRecord): string {
  const { cpu, cores, kernel, node, isPinned } = machine
  const system = kernel === undefined ? '' : `, Linux ${kernel}`
  const pinned = isPinned ? 'targets and clients on cores of their own' : 'not pinned'
  return escaped(
    `${date.slice(0, 16).replace('T', ' ')} UTC · commit ${commit} · ${cores} × ${cpu}${system}, Node ${node} · ${pinned} · ${rounds === 1 ? 'one round' : `medians of ${rounds} rounds`}`,
  )
}

/** The whole page. Records are in the order of their time. */
export function page(records: readonly RunRecord[]): string {
  const newest = records.at(-1)
  const body = newest
    ? pageBody(records, newest)
    : '<h1>Cygnet: benchmark</h1><p>Nothing is recorded yet: npm run bench</p>'
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>Cygnet: benchmark</title><style>${style}</style></head>
<body>${body}</body></html>
`
}

function pageBody(records: readonly RunRecord[], newest: RunRecord): string {
  const cards = cases.map((one) => caseCard(records, newest, one)).join('\n')
  const once = formatOnce(newest)
  const problems = newest.problems.map((problem) => `<li>${escaped(problem)}</li>`).join('')
  const toggle =
    records.length > 1
      ? '<button class="toggle" onclick="document.body.classList.toggle(\'latest\')">Newest run only / over commits</button>'
      : ''
  return `${toggle}<h1>Cygnet: benchmark</h1><p>${aboutRun(newest)}</p>
${goalsTable(newest)}
${problems && `<h2>Could not be measured</h2><section class="card"><ul>${problems}</ul></section>`}
<h2>Cases</h2><p>Bars are medians; the thin line on each goes from the least to the greatest round. The floor moves the same bytes through bare Node TCP or TLS, without a protocol.</p><br>
<div class="cards">${cards}</div>
${
  once &&
  `<h2>Many sessions</h2><section class="card">${once
    .split('\n')
    .map((line) => `<div>${escaped(line)}</div>`)
    .join('')}</section>`
}`
}
