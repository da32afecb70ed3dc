/** `node bench/record-guards.ts`: measures what the guards hold the target to, on a quiet machine, and records it. */
import { Scratch } from '../test/support/scratch.ts'
import { measureGuards, recordGuards } from './guards.ts'

const scratch = new Scratch()
try {
  const guards = await measureGuards(scratch)
  recordGuards(guards)
  process.stdout.write(`${JSON.stringify(guards, undefined, 2)}\n`)
} finally {
  await scratch.end()
}
