/** Linux over two portal groups: multipath with ALUA priorities, a path that goes to standby, mpathpersist and sg_persist. */
import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { test } from 'node:test'
import { startConfigured } from '../support/configured.ts'
import { requireGuest, startGuest } from '../support/guest.ts'
import { freePort, Scratch } from '../support/scratch.ts'
import { subjectName } from '../support/subject.ts'

const TARGET = 'iqn.2026-11.dev.example:paths'

// tgt has neither portal groups nor ALUA.
if (subjectName() === 'cygnet') {
  test('the Linux kernel uses the better of two paths, and reserves a disk on both', {
    timeout: 480_000,
  }, async (t) => {
    if (!(await requireGuest(t))) return
    const scratch = new Scratch(t)
    const image = scratch.path('disk.img')
    const ports = [await freePort(), await freePort()]
    const portals = ports.map((port, i) => ({ listen: `127.0.0.1:${port}`, group: i + 1 }))
    await using server = await startConfigured(scratch, {
      portals,
      targets: { [TARGET]: { paths: { 2: 'non-optimized' }, luns: { 0: { file: image, size: '16M' } } } },
    })
    // What the guest knows this machine's loopback address as.
    const [PORTAL1 = '', PORTAL2 = ''] = ports.map((port) => `10.0.2.2:${port}`)
    const guest = startGuest(scratch, 'kernel-reservations.sh', { PORTAL1, PORTAL2, TARGET })
    assert.equal(await guest.finished, 0, guest.console().slice(-6000))
    assert.equal(server.subject.isRunning, true)
    assert.equal(existsSync(`${image}.state`), true, 'APTPL was asked for')
  })
}
