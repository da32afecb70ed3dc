/**
 * A target, and the floor, in a process that tells what they take. Its parent says `begin` and `end`, and hears of what
 * was in between. First it says where it listens.
 */
import { once } from 'node:events'
import { createServer } from 'node:net'
import { PerformanceObserver } from 'node:perf_hooks'
import { createLog } from '../packages/cygnet/src/cli/log.ts'
import { Secrets, startServer, stateOfOptions } from '../packages/cygnet/src/index.ts'
import { servePlain } from './floor-service.ts'

export interface GuardTarget {
  readonly url: string
  readonly floorPort: number
}

export interface Taken {
  readonly cpuUs: number
  readonly heapBytes: number
  /** Outside of the heap, in buffers. */
  readonly bufferBytes: number
  /** Collections of garbage: what they have taken away is not in the sums. */
  readonly collections: number
}

const DISK_BYTES = 2 ** 26
const IQN = 'iqn.2026-11.dev.example:guard'
/** The observer hears of collections a little later. */
const SETTLE_MS = 20

const state = stateOfOptions({
  images: [],
  memoryBytes: DISK_BYTES,
  listen: { host: '127.0.0.1', port: 0 },
  targetName: IQN,
  blockSizeBytes: 512,
  readOnly: false,
})
const { portals } = await startServer({ state, secrets: new Secrets(), log: createLog('error') })
const floor = createServer({ pauseOnConnect: true }, servePlain).listen(0, '127.0.0.1')
await once(floor, 'listening')

let collections = 0
new PerformanceObserver((list) => (collections += list.getEntries().length)).observe({ entryTypes: ['gc'] })

let memory = process.memoryUsage()
let cpu = process.cpuUsage()

function begin(): void {
  globalThis.gc?.()
  setTimeout(() => {
    process.send?.('ready')
    collections = 0
    memory = process.memoryUsage()
    cpu = process.cpuUsage()
  }, SETTLE_MS)
}

function end(): void {
  const { user, system } = process.cpuUsage(cpu)
  const { heapUsed, arrayBuffers } = process.memoryUsage()
  setTimeout(() => {
    const taken: Taken = {
      cpuUs: user + system,
      heapBytes: heapUsed - memory.heapUsed,
      bufferBytes: arrayBuffers - memory.arrayBuffers,
      collections,
    }
    process.send?.(taken)
  }, SETTLE_MS)
}

process.on('message', (word) => (word === 'begin' ? begin() : end()))
const address = floor.address()
const here: GuardTarget = {
  url: `iscsi://127.0.0.1:${portals[0]?.address.port}/${IQN}/0`,
  floorPort: address !== null && typeof address === 'object' ? address.port : 0,
}
process.send?.(here)
