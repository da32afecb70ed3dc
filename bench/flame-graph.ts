/** A CPU profile of V8 as a picture: an SVG that needs nothing from outside. */

/** What `node --cpu-prof` writes, as far as it is used here. Times are microseconds of the monotonic clock. */
export interface CpuProfile {
  readonly startTime: number
  readonly nodes: readonly ProfileNode[]
  readonly samples: readonly number[]
  readonly timeDeltas: readonly number[]
}

interface ProfileNode {
  readonly id: number
  readonly callFrame: { readonly functionName: string; readonly url: string; readonly lineNumber: number }
  readonly children?: readonly number[]
}

/** Part of a profile, microseconds of the monotonic clock. */
export interface ProfileWindow {
  readonly fromUs: number
  readonly toUs: number
}

interface Frame {
  readonly name: string
  readonly kind: Kind
  us: number
  readonly callees: Map<string, Frame>
}

/** Whose time it is: ours, Node's own JavaScript, or what is called from there (system calls and the collector too). */
type Kind = 'ours' | 'node' | 'native'

const COLOURS: Readonly<Record<Kind, string>> = { ours: '#f4a259', node: '#8cb369', native: '#5b8e9f' }
const WIDTH = 1200
const ROW_HEIGHT = 17
const TEXT_HEIGHT = 12
const CHARACTER_WIDTH = 6.6
/** Narrower frames are left out. */
const LEAST_WIDTH = 0.6
/** Time in which nothing ran. */
const IDLE = '(idle)'

const kindOf = (url: string): Kind => (url.startsWith('file:') ? 'ours' : url === '' ? 'native' : 'node')

const nameOf = ({ callFrame: { functionName, url, lineNumber } }: ProfileNode): string => {
  const name = functionName === '' ? 'anonymous' : functionName
  return url === '' ? name : `${name} (${url.split('/').slice(-2).join('/')}:${lineNumber + 1})`
}

const newFrame = (name: string, kind: Kind): Frame => ({ name, kind, us: 0, callees: new Map() })

/** The calls of the samples inside the window, with their times. */
export function callTree(profile: CpuProfile, { fromUs, toUs }: ProfileWindow): Frame {
  const nodes = new Map(profile.nodes.map((node) => [node.id, node]))
  const callers = new Map(
    profile.nodes.flatMap(({ id, children = [] }) => children.map((child) => [child, id])),
  )
  const paths = new Map<number, readonly ProfileNode[]>()
  const pathTo = (id: number): readonly ProfileNode[] => {
    const known = paths.get(id)
    if (known) return known
    const node = nodes.get(id)
    const caller = callers.get(id)
    const path = [...(caller === undefined ? [] : pathTo(caller)), ...(node ? [node] : [])]
    paths.set(id, path)
    return path
  }
  const root = newFrame('all', 'native')
  let atUs = profile.startTime
  for (const [index, id] of profile.samples.entries()) {
    const us = profile.timeDeltas[index] ?? 0
    atUs += us
    if (atUs < fromUs || atUs > toUs) continue
    // The first is V8's own root.
    const path = pathTo(id).slice(1)
    if (path.at(-1)?.callFrame.functionName === IDLE) continue
    let frame = root
    frame.us += us
    for (const node of path) {
      const name = nameOf(node)
      let callee = frame.callees.get(name)
      if (!callee) frame.callees.set(name, (callee = newFrame(name, kindOf(node.callFrame.url))))
      callee.us += us
      frame = callee
    }
  }
  return root
}

const escaped = (text: string): string =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')

/** Callers above, callees below; the widest first. */
export function flameGraph(title: string, root: Frame): string {
  const parts: string[] = []
  let rows = 0
  const draw = (frame: Frame, x: number, row: number): void => {
    const width = (frame.us / root.us) * WIDTH
    if (width < LEAST_WIDTH) return
    rows = Math.max(rows, row + 1)
    const y = (row + 2) * ROW_HEIGHT
    const share = `${((100 * frame.us) / root.us).toFixed(1)} %`
    const label = escaped(frame.name.slice(0, Math.floor(width / CHARACTER_WIDTH)))
    parts.push(
      `<g><title>${escaped(frame.name)}: ${share}</title><rect x="${x.toFixed(1)}" y="${y}" width="${width.toFixed(1)}" height="${ROW_HEIGHT - 1}" fill="${COLOURS[frame.kind]}"/>` +
        `<text x="${(x + 2).toFixed(1)}" y="${y + TEXT_HEIGHT}">${label.length > 2 ? label : ''}</text></g>`,
    )
    let calleeX = x
    for (const callee of [...frame.callees.values()].toSorted((a, b) => b.us - a.us)) {
      draw(callee, calleeX, row + 1)
      calleeX += (callee.us / root.us) * WIDTH
    }
  }
  if (root.us > 0) draw(root, 0, 0)
  const height = (rows + 3) * ROW_HEIGHT
  const legend = 'orange: Cygnet, green: Node, blue: system calls, the collector and other native code'
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" font-family="monospace" font-size="11">
<rect width="${WIDTH}" height="${height}" fill="#fff"/>
<text x="2" y="${TEXT_HEIGHT}" font-size="12">${escaped(title)}; ${legend}</text>
${parts.join('\n')}
</svg>
`
}
