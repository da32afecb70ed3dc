/** Linux's own initiator, in a small virtual machine: discovery, both digests, a file system, fio, discard. */
import assert from 'node:assert/strict'
import { existsSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { requireGuest, startGuest } from '../support/guest.ts'
import { findCommand } from '../support/peer.ts'
import { freePort, Scratch } from '../support/scratch.ts'
import { startSubject, until } from '../support/subject.ts'
import { judgeCapture, startCapture } from '../support/wire-capture.ts'

const SESSION_TIMEOUT_MS = 90_000

test('the Linux kernel makes, checks and discards a file system with both digests', {
  timeout: 480_000,
}, async (t) => {
  if (!(await requireGuest(t))) return
  const scratch = new Scratch(t)
  const image = scratch.path('disk')
  const port = await freePort()
  // What the guest knows this machine's loopback address as.
  const portal = `10.0.2.2:${port}`
  const subject = await startSubject(scratch, { images: [image], size: '256M', port, advertise: portal })
  const capture = findCommand('tshark') === undefined ? undefined : await startCapture(t, scratch, port)
  const guest = startGuest(scratch, 'kernel-initiator.sh', {
    PORTAL: portal,
    TARGET: subject.iqn,
    DISCOVER: subject.name === 'tgt' ? 'no' : 'yes',
  })
  let ended = false
  const finished = guest.finished.finally(() => {
    ended = true
  })

  await t.test('its first session, on the wire', async () => {
    const isOver = () => existsSync(join(guest.folder, 'first-session-over'))
    await until(() => isOver() || ended, SESSION_TIMEOUT_MS)
    assert.ok(isOver(), `the guest did not get that far:\n${guest.console().slice(-4000)}`)
    await capture?.stop()
    writeFileSync(join(guest.folder, 'go-on'), '')
    if (capture === undefined) return
    const session = (await judgeCapture(capture.file, port)).at(-1)
    assert.ok(session)
    assert.ok(session.headerDigests > 50 && session.dataDigests > 30, 'digests on PDUs both ways')
    t.diagnostic(
      `${session.pdus} PDUs, ${session.headerDigests} header and ${session.dataDigests} data digests`,
    )
  })

  await t.test('its file system, fio and discard', async () => {
    const code = await finished
    assert.equal(code, 0, guest.console().slice(-6000))
    t.diagnostic(/guest: exit code.*/.exec(guest.console())?.[0] ?? '')
    assert.ok(statSync(image).blocks * 512 < 1 << 20, 'the discarded disk takes no space')
    assert.ok(subject.isRunning)
  })
})
