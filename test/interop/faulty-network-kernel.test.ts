/** Our target on a network that cuts, stalls and corrupts, used by Linux's own initiator in a small virtual machine. */
import assert from 'node:assert/strict'
import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { FaultProxy } from '../support/fault-proxy.ts'
import { FaultSchedule } from '../support/fault-schedule.ts'
import { requireGuest, startGuest } from '../support/guest.ts'
import { Scratch } from '../support/scratch.ts'
import { Seeded } from '../support/seeded.ts'
import { startSubject, until } from '../support/subject.ts'

const BOOT_TIMEOUT_MS = 60_000
const WORK_TIMEOUT_MS = 240_000

test('the Linux kernel: fio verifies, the file system is clean, and nobody sees an I/O error', {
  timeout: 400_000,
}, async (t) => {
  if (!(await requireGuest(t))) return
  const scratch = new Scratch(t)
  const random = new Seeded()
  t.diagnostic(`CYGNET_SEED=${random.seed}`)
  const subject = await startSubject(scratch, { images: [scratch.path('disk')], size: '128M' })
  const proxy = await FaultProxy.start(scratch, subject.port, { random })
  const guest = startGuest(scratch, 'kernel-initiator-faults.sh', {
    PORTAL: `10.0.2.2:${proxy.port}`,
    TARGET: subject.iqn,
  })
  let ended = false
  const finished = guest.finished.finally(() => {
    ended = true
  })
  const has = (file: string) => existsSync(join(guest.folder, file))
  const waitFor = async (file: string, timeoutMs: number): Promise<void> => {
    await until(() => has(file) || ended, timeoutMs)
    assert.ok(has(file), `the guest did not get that far:\n${guest.console().slice(-6000)}`)
  }

  await waitFor('logged-in', BOOT_TIMEOUT_MS)
  const schedule = new FaultSchedule(proxy, {
    mix: { reset: 2, fin: 1, 'half-open': 1, stall: 2, split: 1, delay: 1, corrupt: 6 },
    everyMs: [700, 2500],
    lastsMs: [300, 1500],
    most: 40,
  })
  scratch.defer(() => schedule.stop())
  await waitFor('over', WORK_TIMEOUT_MS)
  schedule.stop()
  writeFileSync(join(guest.folder, 'healed'), '')

  assert.equal(await finished, 0, `${schedule.done.join(', ')}\n${guest.console().slice(-6000)}`)
  t.diagnostic(
    `${schedule.done.length} faults on ${proxy.accepted} connections: ${JSON.stringify(proxy.counts)}`,
  )
  t.diagnostic(/guest: \d+ connection errors/.exec(guest.console())?.[0] ?? '')
  t.diagnostic(/guest: exit code.*/.exec(guest.console())?.[0] ?? '')
  assert.ok(proxy.accepted > 4, 'connections were lost and made again')
  const { header, data, 'header-digest': ofHeader, 'data-digest': ofData } = proxy.counts
  assert.ok(header + data + ofHeader + ofData > 0, 'bits were flipped')
  assert.ok(subject.isRunning)
})
