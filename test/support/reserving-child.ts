/**
 * `node reserving-child.ts STATE-FILE SEED`: changes the persistent reservations of a unit until it is killed. Lines on stdout, each
 * written before the next thing happens:
 *   restored RECORD   what the unit remembers at its start, as it tells initiators
 *   try RECORD        the next command makes this of it
 *   done              its status is GOOD
 * A line on stdin starts it, so that the test can have the next one waiting.
 */
import { writeSync } from 'node:fs'
import { once } from 'node:events'
import { setImmediate as turn } from 'node:timers/promises'
import { ReserveOutAction } from '../../packages/cygnet/src/scsi/persistent-reservation.ts'
import type { Nexus } from '../../packages/cygnet/src/scsi/task.ts'
import {
  type OutOptions,
  reserveOut,
  SharedDisk,
  TestRecords,
} from '../../packages/cygnet/src/device/reservations.test-helper.ts'
import { StateFile } from '../../packages/cygnet/src/runtime/state-file.ts'
import { CHILD_UNIT, RECORD, rememberedBy } from './reserving.ts'
import { Seeded } from './seeded.ts'

const [path = '', seed = '0'] = process.argv.slice(2)
const random = new Seeded(Number(seed))
const say = (text: string): void => void writeSync(1, `${text}\n`)

await once(process.stdin, 'data')
const file = new StateFile(path, CHILD_UNIT)
const disk = new SharedDisk({ records: file })
say(`restored ${JSON.stringify(rememberedBy(disk))}`)

// The same commands on a unit that remembers nothing tell beforehand what becomes of them.
const shadowRecords = new TestRecords()
shadowRecords.saved.set(RECORD, file.get(RECORD))
const shadow = new SharedDisk({ records: shadowRecords })
const nexusesOf = ({ a, b, c, a2 }: SharedDisk): readonly Nexus[] => [a, b, c, a2]

interface Command {
  readonly nexus: number
  readonly action: number
  readonly options: OutOptions
}

const TYPES = [1, 3, 5, 6, 7, 8] as const
const { register, registerAndIgnoreExistingKey: ignore, reserve, release, clear, preempt } = ReserveOutAction

/** Keys are those that the nexuses have, mostly: nexus n registers with 16n + 1 to 16n + 15. */
function anyCommand(): Command {
  const nexus = random.between(0, 3)
  const keys = shadow.full().map(({ key }) => key)
  const own = shadow.full().find((entry) => {
    const { initiatorPortName, relativeTargetPortId } = nexusesOf(shadow)[nexus] ?? shadow.a
    return entry.initiator === initiatorPortName && entry.port === relativeTargetPortId
  })?.key
  const options = {
    key: own ?? 0,
    type: TYPES[random.between(0, 5)] ?? 1,
    // Once in a while, what is there is no longer to outlive anything.
    flags: random.between(0, 15) === 0 ? 0 : 1,
  }
  const actions = [register, ignore, ignore, reserve, reserve, release, clear, preempt, preempt] as const
  const action = actions[random.between(0, actions.length - 1)] ?? register
  const victim = keys[random.between(0, Math.max(0, keys.length - 1))] ?? 0
  const newKey = random.between(0, 7) === 0 ? 0 : nexus * 16 + random.between(1, 15)
  return { nexus, action, options: { ...options, actionKey: action === preempt ? victim : newKey } }
}

for (;;) {
  const { nexus, action, options } = anyCommand()
  if (shadow.out(nexusesOf(shadow)[nexus] ?? shadow.a, action, options) !== 'good') continue
  say(`try ${JSON.stringify(shadowRecords.saved.get(RECORD) ?? null)}`)
  const { cdb, dataOut } = reserveOut(action, options)
  // The shadow's nexus has heard of all that preceded; this one may have to yet.
  disk.attentions(nexusesOf(disk)[nexus] ?? disk.a)
  const task = disk.disk.submit(cdb, { dataOut }, nexusesOf(disk)[nexus])
  while (!task.isDone) await turn()
  if (task.status !== 0) throw new Error(`status ${task.status}`)
  say('done')
}
