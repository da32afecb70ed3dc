import { fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { addResult, addTotals, newTotals, type Totals } from '../packages/cygnet/src/sim/report.ts'
import { runSeed } from '../packages/cygnet/src/sim/simulation.ts'

export interface Failure {
  readonly seed: number
  readonly violations: readonly string[]
}

export interface Soak {
  readonly totals: Totals
  readonly failures: number
}

/** What a worker is told, and what it answers: one message for each batch of seeds. */
export interface Batch {
  readonly first: number
  readonly count: number
}

export interface BatchDone {
  readonly totals: Totals
  readonly failures: readonly Failure[]
}

const BATCH_SEEDS = 50
/** Failures that are looked into; more are only counted. */
const EXPLAINED_FAILURES = 3

export function runBatch({ first, count }: Batch): BatchDone {
  const totals = newTotals()
  const failures: Failure[] = []
  for (let seed = first; seed < first + count; seed++) {
    const result = runSeed(seed)
    addResult(totals, result)
    if (result.violations.length > 0) failures.push({ seed, violations: result.violations })
  }
  return { totals, failures }
}

/** Runs `count` seeds from `first` on, in this process or in several. */
export async function soak(
  first: number,
  count: number,
  jobs: number,
  explain: (failure: Failure) => void,
): Promise<Soak> {
  const totals = newTotals()
  let failures = 0
  const batches = batchesOf(first, count)
  const done = (batch: BatchDone): void => {
    addTotals(totals, batch.totals)
    for (const failure of batch.failures) if (failures++ < EXPLAINED_FAILURES) explain(failure)
  }
  if (jobs === 1) for (const batch of batches) done(runBatch(batch))
  else await Promise.all(Array.from({ length: jobs }, () => work(batches, done)))
  return { totals, failures }
}

function* batchesOf(first: number, count: number): Generator<Batch> {
  for (let at = 0; at < count; at += BATCH_SEEDS)
    yield { first: first + at, count: Math.min(BATCH_SEEDS, count - at) }
}

/** One worker process, until there is no batch left. */
function work(batches: Iterator<Batch>, done: (batch: BatchDone) => void): Promise<void> {
  const worker = fork(fileURLToPath(new URL('worker.ts', import.meta.url)))
  return new Promise((resolve, reject) => {
    const next = (): void => {
      const batch = batches.next()
      if (batch.done) worker.disconnect()
      else worker.send(batch.value)
    }
    worker.on('message', (message) => {
      done(message as BatchDone)
      next()
    })
    worker.on('error', reject)
    worker.on('exit', (code, signal) => {
      if (code === 0) resolve()
      else reject(new Error(`a worker of the soak ended with ${signal ?? `exit code ${code}`}`))
    })
    next()
  })
}
