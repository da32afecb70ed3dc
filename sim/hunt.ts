/** Runs seeds from 1 on until one fails; prints which, and why, as JSON. Runs in a copy of the sources (see planted.ts). */
import { runSeed } from '../packages/cygnet/src/sim/simulation.ts'

const mostSeeds = Number(process.argv[2])
let found: { seed: number; violation: string } | undefined
for (let seed = 1; seed <= mostSeeds && found === undefined; seed++) {
  const [violation] = runSeed(seed).violations
  if (violation !== undefined) found = { seed, violation: violation.split('\n')[0] ?? '' }
}
process.stdout.write(JSON.stringify(found ?? { violation: '' }))
