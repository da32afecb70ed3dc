import assert from 'node:assert/strict'
import { test } from 'node:test'
import { callTree, type CpuProfile, flameGraph } from './flame-graph.ts'

const node = (id: number, functionName: string, url: string, children: number[] = []) => ({
  id,
  callFrame: { functionName, url, lineNumber: 9 },
  children,
})

const profile: CpuProfile = {
  startTime: 1000,
  nodes: [
    node(1, '(root)', '', [2, 5]),
    node(2, 'onRead', 'node:net', [3]),
    node(3, 'parse', 'file:///x/pdu/a.ts', [4]),
    node(4, 'write', '', []),
    node(5, '(idle)', '', []),
  ],
  samples: [3, 4, 4, 5, 2, 3],
  timeDeltas: [100, 100, 100, 500, 100, 100],
}

test('time goes to callers and callees, idle time and what is outside the window to nobody', () => {
  const tree = callTree(profile, { fromUs: 1150, toUs: 1950 })
  assert.equal(tree.us, 300)
  const onRead = tree.callees.get('onRead (node:net:10)')
  const parse = onRead?.callees.get('parse (pdu/a.ts:10)')
  assert.deepEqual(
    [onRead?.us, onRead?.kind, parse?.us, parse?.kind, parse?.callees.get('write')?.us],
    [300, 'node', 200, 'ours', 200],
  )
})

test('the picture names every frame with its share', () => {
  const svg = flameGraph('a <title>', callTree(profile, { fromUs: 0, toUs: 1e9 }))
  assert.match(svg, /^<svg /)
  assert.match(svg, /a &lt;title&gt;/)
  assert.match(svg, /<title>parse \(pdu\/a\.ts:10\): 80\.0 %<\/title>/)
  assert.match(svg, /<title>write: 40\.0 %<\/title>/)
  assert.doesNotMatch(svg, /idle/)
})

test('a profile without samples in the window is an empty picture', () => {
  assert.match(flameGraph('nothing', callTree(profile, { fromUs: 0, toUs: 1 })), /<\/svg>/)
})
