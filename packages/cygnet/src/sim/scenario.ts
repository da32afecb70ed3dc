import { Prng } from '../base/prng.ts'
import { defaultInitiatorLimits, type InitiatorLimits } from '../session/initiator-role/initiator-limits.ts'
import {
  defaultSessionPolicy,
  type SessionPolicy,
  type TaskReporting,
} from '../session/initiator-role/initiator-policy.ts'
import type { Digest, DigestPreferences } from '../session/initiator-role/initiator-preferences.ts'
import { defaultTargetLimits, type TargetLimits } from '../session/limits.ts'
import type { DiskBehaviour } from './disk.ts'
import { type NetworkBehaviour, type NetworkFault, networkFaults } from './network-behaviour.ts'
import { drawSteps, isReset, type Step } from './steps.ts'

/** What one seed makes: the systems, their settings, what they are to do and what happens to them. */
export interface Scenario {
  readonly seed: number
  readonly errorRecoveryLevel: 0 | 1 | 2
  readonly target: TargetLimits
  /** Memory for the data of all sessions. */
  readonly budgetBytes: number
  readonly luns: number
  readonly blockBytes: 512 | 4096
  readonly diskBytes: number
  readonly writeCache: boolean
  readonly network: NetworkBehaviour
  readonly disk: DiskBehaviour
  /** Size of the segments that each end receives into. */
  readonly segmentBytes: number
  readonly writeAheadBytes: number
  /** When the target's machine crashes, and for how long it is down, in milliseconds. */
  readonly crashes: readonly { readonly atMs: number; readonly downMs: number }[]
  readonly initiators: readonly InitiatorPlan[]
}

export interface InitiatorPlan {
  readonly limits: InitiatorLimits
  readonly policy: SessionPolicy
  readonly digests: DigestPreferences
  /** What its first numbers are taken from: 0xff makes them wrap around soon. */
  readonly randomByte: number | undefined
  /** Requests at a time. */
  readonly depth: number
  readonly steps: readonly Step[]
  /** When its machine stops for good, and whether another takes its place with the same name. */
  readonly vanishes: { readonly atMs: number; readonly returns: boolean } | undefined
}

/** What can be taken out of a scenario, to find out what a failure needs. */
export const features = [
  ...networkFaults,
  'split',
  'crashes',
  'vanishes',
  'diskErrors',
  'slowDisk',
  'management',
  'membership',
  'initiators',
  'connections',
  'data',
] as const
export type Feature = (typeof features)[number]

export interface Reduction {
  readonly without: ReadonlySet<Feature>
  /** Steps that are left, over all initiators in order; undefined: all. */
  readonly steps: ReadonlySet<number> | undefined
}

export const noReduction: Reduction = { without: new Set(), steps: undefined }

const digestChoices: readonly (readonly Digest[])[] = [
  ['None'],
  ['CRC32C'],
  ['CRC32C', 'None'],
  ['None', 'CRC32C'],
]

/** Everything follows from the seed, each part from numbers of its own. */
export function drawScenario(seed: number, reduction: Reduction = noReduction): Scenario {
  const prng = new Prng(seed)
  const settings = prng.fork()
  const faults = prng.fork()
  const errorRecoveryLevel = settings.pick([0, 1, 2] as const)
  const blockBytes = settings.chance(0.3) ? 4096 : 512
  const diskBytes = settings.pick([16, 64, 256]) * 4096
  const luns = settings.pick([1, 1, 2])
  const count = settings.pick([1, 1, 1, 2, 3])
  const isQuick = settings.chance(0.5)
  const target = drawTargetLimits(settings, errorRecoveryLevel)
  const total = settings.between(50, 150)
  const scenario: Scenario = {
    seed,
    errorRecoveryLevel,
    target,
    budgetBytes: settings.pick([64, 256, 16_384]) * 1024,
    luns,
    blockBytes,
    diskBytes,
    writeCache: settings.chance(0.8),
    network: drawNetwork(settings, faults, errorRecoveryLevel),
    disk: drawDisk(settings, faults),
    segmentBytes: settings.pick([4, 8, 32]) * 1024,
    writeAheadBytes: settings.pick([1, 64, 256]) * 1024,
    crashes: drawCrashes(faults),
    initiators: Array.from({ length: count }, () => {
      const plan = prng.fork()
      const limits = drawInitiatorLimits(plan, target)
      const steps = drawSteps(plan.fork(), {
        count: Math.ceil(total / count),
        luns,
        blockBytes,
        blocks: diskBytes / blockBytes,
        isQuick,
      })
      return {
        limits,
        policy: drawPolicy(plan, errorRecoveryLevel, count > 1 || steps.some(isReset)),
        digests: { header: plan.pick(digestChoices), data: plan.pick(digestChoices) },
        randomByte: plan.chance(0.3) ? 0xff : undefined,
        depth: plan.pick([1, 4, 16, 40]),
        steps,
        vanishes: faults.chance(0.05)
          ? { atMs: faults.between(100, 3000), returns: faults.chance(0.7) }
          : undefined,
      }
    }),
  }
  return reduce(scenario, reduction)
}

function drawTargetLimits(prng: Prng, errorRecoveryLevel: number): TargetLimits {
  return {
    ...defaultTargetLimits,
    commandDepth: prng.pick([1, 2, 8, 32, 128]),
    immediateDepth: prng.pick([1, 4, 32]),
    sessionBufferBytes: prng.pick([32, 256, 65_536]) * 1024,
    maxRecvDataSegmentLength: prng.pick([512, 2048, 8192, 65_536]),
    maxBurstLength: prng.pick([512, 4096, 16_384, 262_144]),
    firstBurstLength: prng.pick([512, 4096, 65_536]),
    maxOutstandingR2T: prng.pick([1, 2, 8]),
    maxConnections: prng.pick([1, 4, 8]),
    errorRecoveryLevel: prng.chance(0.9) ? 2 : errorRecoveryLevel,
    time2Wait: prng.pick([0, 1, 2]),
    time2Retain: prng.pick([0, 3, 20]),
    sequenceTimeoutMs: prng.pick([300, 1000, 5000]),
    loginTimeoutMs: 15_000,
    nopIntervalMs: prng.pick([1000, 5000, 15_000]),
    nopTimeoutMs: prng.pick([2000, 5000]),
    drainTimeoutMs: prng.pick([500, 3000]),
  }
}

function drawInitiatorLimits(prng: Prng, target: TargetLimits): InitiatorLimits {
  const maxBurstLength = prng.pick([512, 4096, 65_536, target.maxBurstLength])
  return {
    ...defaultInitiatorLimits,
    maxRecvDataSegmentLength: prng.pick([512, 4096, 65_536]),
    maxBurstLength,
    firstBurstLength: Math.min(maxBurstLength, prng.pick([512, 4096, 65_536])),
    maxOutstandingR2T: prng.pick([1, 2, 8]),
    nopIntervalMs: prng.pick([1000, 5000, 15_000]),
    nopTimeoutMs: prng.pick([2000, 5000]),
    requestTimeoutMs: prng.pick([3000, 10_000]),
    taskManagementTimeoutMs: prng.pick([3000, 10_000]),
    snackTimeoutMs: prng.pick([300, 2000]),
    commandRetryMs: prng.pick([500, 2000]),
  }
}

const reportings: readonly (readonly TaskReporting[])[] = [
  ['ResponseFence', 'RFC3720'],
  ['RFC3720'],
  ['FastAbort', 'ResponseFence', 'RFC3720'],
]

function drawPolicy(prng: Prng, errorRecoveryLevel: 0 | 1 | 2, needsTimeouts: boolean): SessionPolicy {
  return {
    ...defaultSessionPolicy,
    connections: prng.pick([1, 1, 2, 3, 4, 8]),
    spread: prng.pick(['least-bytes', 'round-robin']),
    errorRecoveryLevel: prng.chance(0.9) ? errorRecoveryLevel : prng.pick([0, 1, 2]),
    // Nothing is given up: what cannot be recovered by lower means is replayed in a new session.
    reopenLimitMs: 3_600_000,
    // A reset ends tasks without a word: those of others (SAM-5 §5.6), and our own that overtook it on another
    // connection (RFC 7143 §11.5.1). Only a timeout tells.
    taskTimeoutMs: needsTimeouts || prng.chance(0.2) ? prng.between(2000, 20_000) : 0,
    time2WaitSeconds: prng.pick([0, 1, 2]),
    time2RetainSeconds: prng.pick([0, 5, 20]),
    taskReporting: prng.pick(reportings),
    replayLimit: 1000,
  }
}

function drawNetwork(prng: Prng, faults: Prng, errorRecoveryLevel: number): NetworkBehaviour {
  const sometimes = (chance: number, rate: number): number =>
    faults.chance(chance) ? rate * faults.unit() : 0
  return {
    latencyMs: prng.pick([0.05, 0.5, 5]),
    segmentBytes: prng.pick([536, 1448, 8948, 65_536]),
    split: faults.chance(0.3) ? 0.2 * faults.unit() : 0,
    coalesce: faults.chance(0.5) ? faults.unit() : 0,
    delay: 0.01 + sometimes(0.5, 0.1),
    stall: sometimes(0.4, 0.01),
    longestStallMs: faults.pick([2000, 10_000, 30_000]),
    reset: sometimes(0.4, 0.008),
    halfOpen: sometimes(0.2, 0.004),
    refuse: sometimes(0.3, 0.3),
    corruptHeader: sometimes(0.4, 0.01),
    corruptData: sometimes(0.6, 0.04),
    loss: errorRecoveryLevel > 0 ? sometimes(0.5, 0.02) : 0,
  }
}

function drawDisk(prng: Prng, faults: Prng): DiskBehaviour {
  const hasErrors = faults.chance(0.2)
  return {
    latencyMs: prng.pick([0, 0.1, 2]),
    slow: prng.pick([0, 0.05, 0.3]),
    readErrors: hasErrors ? 0.03 * faults.unit() : 0,
    writeErrors: hasErrors ? 0.03 * faults.unit() : 0,
    syncErrors: hasErrors ? 0.01 * faults.unit() : 0,
  }
}

function drawCrashes(prng: Prng): Scenario['crashes'] {
  if (!prng.chance(0.15)) return []
  return Array.from({ length: prng.between(1, 2) }, () => ({
    atMs: prng.between(10, 4000),
    downMs: prng.between(0, 5000),
  }))
}

function reduce(scenario: Scenario, { without, steps }: Reduction): Scenario {
  const network = Object.fromEntries(
    networkFaults.filter((fault) => without.has(fault)).map((fault) => [fault, 0]),
  ) as Partial<Record<NetworkFault, number>>
  let index = 0
  const wanted = (step: Step): boolean =>
    !(without.has('management') && step.group === 'management') &&
    !(without.has('membership') && step.group === 'membership') &&
    !(without.has('data') && step.group === 'data')
  const initiators = scenario.initiators.map((plan) => ({
    ...plan,
    steps: plan.steps.filter((step) => (steps === undefined || steps.has(index++)) && wanted(step)),
    vanishes: without.has('vanishes') ? undefined : plan.vanishes,
    policy: without.has('connections') ? { ...plan.policy, connections: 1 } : plan.policy,
  }))
  const { disk } = scenario
  return {
    ...scenario,
    network: { ...scenario.network, ...network, ...(without.has('split') ? { split: 0, coalesce: 0 } : {}) },
    disk: {
      ...disk,
      ...(without.has('diskErrors') ? { readErrors: 0, writeErrors: 0, syncErrors: 0 } : {}),
      ...(without.has('slowDisk') ? { slow: 0, latencyMs: 0 } : {}),
    },
    crashes: without.has('crashes') ? [] : scenario.crashes,
    initiators: without.has('initiators') ? initiators.slice(0, 1) : initiators,
  }
}

export const stepCount = (scenario: Scenario): number =>
  scenario.initiators.reduce((sum, { steps }) => sum + steps.length, 0)
