import type { Prng } from '../base/prng.ts'
import { TaskManagementFunction } from '../pdu/codes.ts'
import { TaskAttribute } from '../scsi/task.ts'

/** Something that an initiator does. Blocks are logical blocks of the unit. */
export type Step = StepTiming &
  (
    | ({ readonly kind: 'read'; readonly group: 'data' } & Range & Tagged)
    | ({
        readonly kind: 'write'
        readonly group: 'data'
        readonly fua: boolean
        readonly slices: number
      } & Range &
        Tagged)
    | ({ readonly kind: 'verify'; readonly group: 'data' } & Range & Tagged)
    | ({ readonly kind: 'unmap'; readonly group: 'data' } & Range & Tagged)
    | ({ readonly kind: 'compareAndWrite'; readonly group: 'data' } & Range & Tagged)
    /** XDWRITEREAD, the bidirectional command; in its form of 32 bytes, too, which needs an AHS. */
    | ({ readonly kind: 'exchange'; readonly group: 'data'; readonly isLong: boolean } & Range & Tagged)
    | ({ readonly kind: 'flush'; readonly group: 'data'; readonly lun: number } & Tagged)
    | ({ readonly kind: 'inquiry'; readonly group: 'data'; readonly lun: number } & Tagged)
    /** Aborts a request that is under way: the `nth`, counted from the oldest. */
    | { readonly kind: 'abort'; readonly group: 'management'; readonly nth: number }
    | {
        readonly kind: 'manage'
        readonly group: 'management'
        readonly function: number
        readonly lun: number
      }
    | { readonly kind: 'ping'; readonly group: 'control'; readonly lengthBytes: number }
    | { readonly kind: 'text'; readonly group: 'control' }
    /** A new MaxRecvDataSegmentLength, in the middle of everything. */
    | { readonly kind: 'declare'; readonly group: 'control'; readonly lengthBytes: number }
    | { readonly kind: 'addConnection'; readonly group: 'membership' }
    | { readonly kind: 'removeConnection'; readonly group: 'membership'; readonly nth: number }
    | { readonly kind: 'logOut'; readonly group: 'membership' }
  )

interface StepTiming {
  /** Wait before it, milliseconds. */
  readonly waitMs: number
}

interface Range {
  readonly lun: number
  readonly lba: number
  readonly blocks: number
}

interface Tagged {
  readonly attribute: TaskAttribute
  readonly priority: number
}

export interface StepShape {
  readonly count: number
  readonly luns: number
  readonly blockBytes: number
  /** Of each unit. */
  readonly blocks: number
  /** Hardly a pause between steps. */
  readonly isQuick: boolean
}

const functions: readonly number[] = [
  TaskManagementFunction.abortTaskSet,
  TaskManagementFunction.abortTaskSet,
  TaskManagementFunction.clearTaskSet,
  TaskManagementFunction.clearTaskSet,
  TaskManagementFunction.logicalUnitReset,
  TaskManagementFunction.logicalUnitReset,
  TaskManagementFunction.targetWarmReset,
  TaskManagementFunction.targetColdReset,
  TaskManagementFunction.clearAca,
  TaskManagementFunction.queryTaskSet,
  TaskManagementFunction.itNexusReset,
  TaskManagementFunction.queryAsynchronousEvent,
]

/** Ends tasks whatever their CmdSN. */
export const isReset = (step: Step): boolean =>
  step.kind === 'manage' &&
  step.function >= TaskManagementFunction.logicalUnitReset &&
  step.function <= TaskManagementFunction.targetColdReset

const attributes: readonly TaskAttribute[] = [
  TaskAttribute.simple,
  TaskAttribute.simple,
  TaskAttribute.simple,
  TaskAttribute.untagged,
  TaskAttribute.ordered,
  TaskAttribute.headOfQueue,
]

/** Weights of the kinds: each seed draws its own. */
const kinds = [
  ['read', 30],
  ['write', 40],
  ['verify', 4],
  ['unmap', 4],
  ['compareAndWrite', 4],
  ['exchange', 4],
  ['flush', 6],
  ['inquiry', 3],
  ['abort', 3],
  ['manage', 2],
  ['ping', 3],
  ['text', 1],
  ['declare', 1],
  ['addConnection', 1],
  ['removeConnection', 1],
  ['logOut', 0.5],
] as const satisfies readonly (readonly [Step['kind'], number])[]

export function drawSteps(prng: Prng, shape: StepShape): Step[] {
  const weights = kinds.map(([kind, weight]): [Step['kind'], number] => [
    kind,
    kind === 'read' || kind === 'write' || prng.chance(0.6) ? weight * (0.2 + prng.unit()) : 0,
  ])
  const total = weights.reduce((sum, [, weight]) => sum + weight, 0)
  const largestBytes = prng.pick([1, 8, 32, 128]) * 1024
  const largestBlocks = Math.max(1, Math.min(shape.blocks, Math.floor(largestBytes / shape.blockBytes)))
  // Where everybody works in the same small part of the disk, requests overlap.
  const area = prng.chance(0.5) ? Math.min(shape.blocks, largestBlocks * 2) : shape.blocks
  const pauseMs = shape.isQuick ? 2 : 100
  const steps: Step[] = []
  for (let index = 0; index < shape.count; index++) {
    let at = prng.unit() * total
    const kind = weights.find(([, weight]) => (at -= weight) < 0)?.[0] ?? 'read'
    const lun = prng.below(shape.luns)
    const blocks = prng.chance(0.5) ? 1 : prng.between(1, largestBlocks)
    const lba = prng.below(Math.max(1, area - blocks + 1))
    const range = { lun, lba, blocks }
    const tagged: Tagged = {
      attribute: prng.pick(attributes),
      priority: prng.chance(0.2) ? prng.below(16) : 0,
    }
    const waitMs = prng.chance(0.6) ? 0 : pauseMs * prng.unit() * (prng.chance(0.1) ? 20 : 1)
    steps.push(drawStep(prng, kind, waitMs, range, tagged))
  }
  return steps
}

function drawStep(prng: Prng, kind: Step['kind'], waitMs: number, range: Range, tagged: Tagged): Step {
  switch (kind) {
    case 'read':
    case 'verify':
    case 'unmap':
      return { kind, group: 'data', waitMs, ...range, ...tagged }
    case 'compareAndWrite':
      return { kind, group: 'data', waitMs, ...range, blocks: Math.min(4, range.blocks), ...tagged }
    case 'write':
      return {
        kind,
        group: 'data',
        waitMs,
        ...range,
        ...tagged,
        fua: prng.chance(0.15),
        slices: prng.pick([1, 1, 3]),
      }
    case 'exchange':
      return { kind, group: 'data', waitMs, ...range, ...tagged, isLong: prng.chance(0.5) }
    case 'flush':
    case 'inquiry':
      return { kind, group: 'data', waitMs, lun: range.lun, ...tagged }
    case 'abort':
      return { kind, group: 'management', waitMs, nth: prng.below(8) }
    case 'manage':
      return { kind, group: 'management', waitMs, function: prng.pick(functions), lun: range.lun }
    case 'ping':
      return { kind, group: 'control', waitMs, lengthBytes: prng.pick([0, 10, 300]) }
    case 'declare':
      return { kind, group: 'control', waitMs, lengthBytes: prng.pick([512, 1024, 4096, 65_536]) }
    case 'removeConnection':
      return { kind, group: 'membership', waitMs, nth: prng.below(8) }
    case 'text':
      return { kind, group: 'control', waitMs }
    case 'addConnection':
    case 'logOut':
      return { kind, group: 'membership', waitMs }
  }
}
