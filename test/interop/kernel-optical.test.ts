/** Linux with a CD and a DVD over iSCSI, in a small virtual machine: the kernel's drive and file system, sg3-utils, blkid. */
import assert from 'node:assert/strict'
import { copyFileSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { makeBootDisc, VOLUME } from '../support/boot-disc.ts'
import { requireGuest, startGuest } from '../support/guest.ts'
import { requirePeers } from '../support/peer.ts'
import { Scratch } from '../support/scratch.ts'
import { startCygnet } from '../support/subject.ts'

/** More than fits on a CD. */
const DVD_BYTES = 2 ** 31

test('Linux mounts and ejects discs, and finds a CD and a DVD', { timeout: 480_000 }, async (t) => {
  if (!(await requireGuest(t)) || !requirePeers(t, 'xorriso')) return
  const scratch = new Scratch(t)
  const cd = await makeBootDisc(scratch, 'cd')
  const dvd = scratch.path('dvd.iso')
  copyFileSync(cd.path, dvd)
  truncateSync(dvd, DVD_BYTES)
  const subject = await startCygnet(scratch, { images: [cd.path, dvd] })
  const guest = startGuest(scratch, 'kernel-optical.sh', {
    PORTAL: `10.0.2.2:${subject.port}`,
    TARGET: subject.iqn,
    VOLUME,
  })
  copyFileSync(cd.path, join(guest.folder, 'cd.iso'))
  writeFileSync(join(guest.folder, 'sums'), cd.sums)
  assert.equal(await guest.finished, 0, guest.console().slice(-20_000))
  t.diagnostic(/guest: exit code.*/.exec(guest.console())?.[0] ?? '')
  assert.ok(statSync(cd.path).size > 0 && subject.isRunning)
})
