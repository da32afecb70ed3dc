/** The kinds of logical units that every test of libiscsi's suite is run against. */
import { startConfigured } from '../support/configured.ts'
import type { Scratch } from '../support/scratch.ts'
import { startSlowTarget } from '../support/slow-target.ts'

export interface ServedUnit {
  readonly url: string
  /** The same unit through another portal. */
  readonly secondUrl?: string
}

export interface UnitKind {
  readonly name: string
  readonly serve: (scratch: Scratch) => Promise<ServedUnit>
  /** Tests that say nothing about such a unit: `Suite.Test` → why. All others are run. */
  readonly leaveOut: Readonly<Record<string, string>>
  /** The only tests that are run, where it is made for these. */
  readonly only?: readonly string[]
}

const IQN = 'iqn.2026-11.dev.example:matrix'
const MISREAD =
  'it asks for the status of LBA n + 1 and wants that of n + p, where a physical block has p > 1 blocks'
const TOO_QUICK = 'it wants an overwrite to take more than four seconds: see the slow unit'
const quick = { 'Sanitize.Reset': TOO_QUICK }

const configured =
  (lun: Readonly<Record<string, unknown>>, more: object = {}) =>
  async (scratch: Scratch): Promise<ServedUnit> => {
    const file = lun['file']
    const disk = typeof file === 'string' ? { ...lun, file: scratch.path(file) } : lun
    const { subject } = await startConfigured(scratch, { targets: { [IQN]: { luns: { 0: disk }, ...more } } })
    return { url: subject.url() }
  }

async function withChap(scratch: Scratch): Promise<ServedUnit> {
  const secret = 'matrix-secret-1'
  const auth = { users: [{ user: 'tester', secret }] }
  const { url } = await configured({ memory: '64M', physicalBlockSize: 512 }, { auth })(scratch)
  return { url: url.replace('iscsi://', `iscsi://tester%${secret}@`) }
}

async function twoPaths(scratch: Scratch): Promise<ServedUnit> {
  const { subject, ports } = await startConfigured(scratch, {
    portals: [
      { listen: '127.0.0.1:0', group: 1 },
      { listen: '127.0.0.1:0', group: 2 },
    ],
    targets: { [IQN]: { luns: { 0: { memory: '64M', physicalBlockSize: 512 } } } },
  })
  const url = subject.url()
  return { url, secondUrl: url.replace(`:${ports[0]}/`, `:${ports[1]}/`) }
}

const SLOW_BYTES = 64 * 1024 * 1024
const SLOW_WRITE_MS = 120

/** A disk in memory whose writes take their time: all of it, eight seconds. */
async function slow(scratch: Scratch): Promise<ServedUnit> {
  const [port] = await startSlowTarget(scratch, {
    target: IQN,
    sizeBytes: SLOW_BYTES,
    delayMs: (operation) => (operation === 'write' ? SLOW_WRITE_MS : 0),
    // The test sleeps for a minute, and answers no ping meanwhile.
    nopIntervalMs: 90_000,
  })
  return { url: `iscsi://127.0.0.1:${port}/${IQN}/0` }
}

/** Those whose tests take longest come last. */
export const unitKinds: readonly UnitKind[] = [
  {
    name: 'thin-512',
    serve: configured({ file: 'thin', size: '64M', physicalBlockSize: 512 }),
    leaveOut: quick,
  },
  { name: 'thick-512', serve: configured({ file: 'thick', size: '64M', thin: false }), leaveOut: quick },
  {
    name: '512e',
    serve: configured({ memory: '64M', physicalBlockSize: 4096 }),
    leaveOut: { ...quick, 'GetLBAStatus.UnmapSingle': MISREAD },
  },
  {
    name: 'removable',
    serve: configured({ memory: '64M', removable: true, physicalBlockSize: 512 }),
    leaveOut: quick,
  },
  {
    name: 'read-only',
    serve: configured({ memory: '64M', readOnly: true }),
    leaveOut: {},
    only: [
      'ReadOnly',
      'Inquiry',
      'Mandatory',
      'ModeSense6',
      'ReadCapacity10',
      'ReadCapacity16',
      'TestUnitReady',
    ],
  },
  {
    name: 'chap',
    serve: withChap,
    leaveOut: {
      ...quick,
      'iSCSITMF.LUNResetSimpleAsync': 'with CHAP, the program crashes when it logs out in this test',
    },
  },
  { name: 'two-paths', serve: twoPaths, leaveOut: quick },
  {
    name: 'encrypted',
    serve: configured({ memory: '64M', encrypted: true, physicalBlockSize: 512 }),
    leaveOut: quick,
  },
  { name: '4096', serve: configured({ file: '4k', size: '256M', blockSize: 4096 }), leaveOut: quick },
  { name: 'slow', serve: slow, leaveOut: {}, only: ['Sanitize.Reset'] },
]
