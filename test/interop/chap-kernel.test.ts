/** Linux's own initiator, in a small virtual machine: CHAP with each algorithm, one-way and mutual. */
import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { startConfigured } from '../support/configured.ts'
import { requireGuest, startGuest } from '../support/guest.ts'
import { freePort, Scratch } from '../support/scratch.ts'

const PREFIX = 'iqn.2026-11.dev.example:chap'
/** As open-iscsi writes them, and as the configuration does. */
const algorithms = { 'SHA3-256': 'SHA3-256', SHA256: 'SHA-256', SHA1: 'SHA1', MD5: 'MD5' }
const USER = { user: 'host1', secret: 'one-host-secret' }
const MUTUAL = { user: 'cygnet', secret: 'the-target-secret' }

test('the Linux kernel authenticates itself with each algorithm', { timeout: 300_000 }, async (t) => {
  if (!(await requireGuest(t))) return
  const scratch = new Scratch(t)
  const port = await freePort()
  // What the guest knows this machine's loopback address as.
  const portal = `10.0.2.2:${port}`
  const target = (algorithm: string): object => ({
    luns: { 0: { memory: '16M' } },
    auth: { users: [USER], mutual: MUTUAL, algorithms: [algorithm] },
  })
  const targets = Object.entries(algorithms).map(([name, algorithm]) => [
    `${PREFIX}:${name.toLowerCase()}`,
    target(algorithm),
  ])
  const { subject } = await startConfigured(scratch, {
    portals: [{ listen: `127.0.0.1:${port}`, advertise: portal }],
    targets: Object.fromEntries(targets),
    discovery: { auth: { users: [{ user: 'finder', secret: 'discovery-secret' }] } },
    // The wrong secrets come from one address.
    limits: { authFailureBackoff: { freeFailures: 1000 } },
  })
  const guest = startGuest(scratch, 'kernel-chap.sh', { PORTAL: portal, TARGET: PREFIX })
  const code = await guest.finished
  const said = `${guest.console().slice(-6000)}\n${subject.stderr.slice(-2000)}`
  const file = join(guest.folder, 'rounds')
  const rounds = existsSync(file) ? readFileSync(file, 'utf8').trim().split('\n') : []

  for (const name of Object.keys(algorithms)) {
    for (const round of ['one-way', 'mutual', 'wrong secret', 'wrong target secret']) {
      await t.test(`${name}, ${round}`, () => {
        assert.ok(rounds.includes(`${name} ${round}`), said)
      })
    }
  }
  for (const round of ['discovery', 'all offered', 'none in common']) {
    await t.test(round, () => assert.ok(rounds.includes(round), said))
  }
  await t.test('the wrong secrets were refused by us, and the right ones let in', () => {
    assert.equal(code, 0, said)
    const count = (reason: RegExp): number =>
      subject.log.filter((line) => reason.test(String(line['reason']))).length
    // Linux tries again before it gives up.
    assert.ok(count(/"host1" does not have the right secret/) >= 4)
    assert.ok(count(/"finder" does not have the right secret/) >= 1)
    assert.ok(count(/none of the offered CHAP algorithms is allowed/) >= 1)
    const logins = subject.log.filter(({ msg, type }) => msg === 'login' && type === 'Normal')
    // The initiator ends those with a wrong secret of the target itself.
    assert.ok(logins.length >= 9)
    assert.ok(subject.isRunning)
  })
})
