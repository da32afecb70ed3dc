/** How the report looks, in light and in the dark. */
export const style = `
:root { --paper: #fbfbfa; --card: #fff; --ink: #1d2433; --soft: #667085; --rule: #e4e7ec;
  --cygnet: #2563eb; --tgt: #ea7317; --istgt: #12946a; --perf: #9333ea; --floor: #98a2b3; --met: #12805c; --not: #c2410c; }
@media (prefers-color-scheme: dark) { :root { --paper: #10141c; --card: #181e29; --ink: #e6e9ef; --soft: #95a0b3; --rule: #2a3242;
  --cygnet: #6ea0ff; --tgt: #ff9d52; --istgt: #45c796; --perf: #c084fc; --floor: #7b879c; --met: #45c796; --not: #ff8f5c; } }
* { box-sizing: border-box }
body { margin: 0 auto; max-width: 1180px; padding: 32px 24px 64px; background: var(--paper); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", sans-serif; font-variant-numeric: tabular-nums }
h1 { font-size: 26px; margin: 0 0 4px; letter-spacing: -.01em }
h2 { font-size: 18px; margin: 40px 0 12px }
h3 { font-size: 15px; margin: 0 0 12px }
p { margin: 0; color: var(--soft) }
section.card, details.card { background: var(--card); border: 1px solid var(--rule); border-radius: 10px; padding: 16px 18px; min-width: 0 }
.cards { display: grid; gap: 16px; grid-template-columns: repeat(auto-fill, minmax(min(100%, 480px), 1fr)) }
.wide { overflow-x: auto }
table { border-collapse: collapse; width: 100%; font-size: 13px }
th { text-align: right; font-weight: 500; color: var(--soft) }
th, td { padding: 4px 0 4px 14px; text-align: right; border-top: 1px solid var(--rule); white-space: nowrap }
tr:first-child > th { border-top: 0 }
th:first-child, td:first-child { text-align: left; padding-left: 0 }
.goals td:first-child { white-space: normal }
.chip { display: inline-block; border-radius: 99px; padding: 0 9px; font-weight: 600; font-size: 12px }
.met { color: var(--met); background: color-mix(in srgb, var(--met) 13%, transparent) }
.not-met { color: var(--not); background: color-mix(in srgb, var(--not) 13%, transparent) }
.not-measured { color: var(--soft); background: color-mix(in srgb, var(--soft) 13%, transparent) }
svg { display: block; width: 100%; height: auto; overflow: visible; margin-bottom: 10px }
svg text { font-size: 12px; fill: var(--ink); dominant-baseline: central }
svg .name { text-anchor: end } svg .value, svg .tick, svg .run { fill: var(--soft) }
svg .tick { text-anchor: end; font-size: 11px } svg .run { text-anchor: middle; font-size: 10px }
svg .grid { stroke: var(--rule) }
.bars rect { fill: var(--c); opacity: .85 } .bars line { stroke: var(--ink); opacity: .55; stroke-width: 1.5 }
.lines polyline { fill: none; stroke: var(--c); stroke-width: 2 } .lines circle { fill: var(--c) }
.lines g line { stroke: var(--c); opacity: .4; stroke-width: 2 }
.c-cygnet { --c: var(--cygnet) } .c-tgt { --c: var(--tgt) } .c-istgt { --c: var(--istgt) } .c-perf { --c: var(--perf) } .c-floor { --c: var(--floor) }
.c-cygnet.s1 { --c: color-mix(in srgb, var(--cygnet) 60%, var(--card)) } .c-cygnet.s2 { --c: color-mix(in srgb, var(--cygnet) 38%, var(--card)) }
.c-tgt.s1 { --c: color-mix(in srgb, var(--tgt) 60%, var(--card)) } .c-floor.s1 { --c: color-mix(in srgb, var(--floor) 60%, var(--card)) }
.key { display: flex; flex-wrap: wrap; gap: 4px 14px; font-size: 12px; color: var(--soft); margin: 0 0 6px }
.key i { display: inline-block; width: 10px; height: 10px; border-radius: 3px; background: var(--c); margin-right: 5px }
h4 { margin: 14px 0 4px; font-size: 12px; font-weight: 500; color: var(--soft) }
.toggle { float: right; font: inherit; font-size: 13px; color: var(--ink); background: var(--card); border: 1px solid var(--rule); border-radius: 7px; padding: 4px 12px; cursor: pointer }
body.latest .history { display: none }
`
  .replaceAll('\n', ' ')
  .trim()
