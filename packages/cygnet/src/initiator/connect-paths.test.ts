import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { PortalAddress } from '../session/portal-address.ts'
import { openPaths, type PathOptions } from './connect-paths.ts'
import type { DiscoveredTarget } from './discovered-target.ts'
import { FakeDisk, FakeTiming } from './fake-disk.test-helper.ts'
import { FakeSession } from './fake-paths.test-helper.ts'
import type { SessionOptions } from './options.ts'
import type { Session } from './session.ts'

const TARGET = 'iqn.2026-11.test:disk'
const base = { host: 'a', target: TARGET, lun: 0, reopenLimitMs: 30_000 }

/** A target of whose portals each leads to the same disk. */
class Opener {
  readonly timing = new FakeTiming()
  readonly disk = new FakeDisk()
  readonly logins: SessionOptions[] = []
  discovered: DiscoveredTarget[] = []

  openSession(where: string | SessionOptions): Promise<Session> {
    assert.ok(typeof where !== 'string')
    this.logins.push(where)
    const portal: PortalAddress = { host: where.host, port: where.port ?? 3260 }
    const more = {
      portal,
      target: where.target,
      sendTargets: () => Promise.resolve(this.discovered),
      [Symbol.asyncDispose]: () => Promise.resolve(),
    }
    return Promise.resolve(
      Object.assign(new FakeSession(this.disk, 1, where.isid), more) as unknown as Session,
    )
  }

  /** The logins of the paths, without those of discovery. */
  async open(options: PathOptions & Partial<SessionOptions>): Promise<SessionOptions[]> {
    const paths = await openPaths(this, this.timing, { ...base, ...options }, () => undefined)
    await paths.close()
    return this.logins
  }
}

const places = (logins: readonly SessionOptions[]): string[] =>
  logins.map(({ host, port, target }) => `${host}:${port ?? 3260} ${target}`)

test('paths are portals of the same target, or URLs of another', async () => {
  const logins = await new Opener().open({ paths: ['b:3261', 'iscsi://c/iqn.2026-11.test:other/0'] })
  assert.deepEqual(places(logins), [`a:3260 ${TARGET}`, `b:3261 ${TARGET}`, 'c:3260 iqn.2026-11.test:other'])
})

test('what is no portal is refused before anything is opened', async () => {
  const opener = new Opener()
  await assert.rejects(opener.open({ paths: ['b:0'] }), { code: 'ADDRESS_INVALID' })
  await assert.rejects(opener.open({ paths: ['iscsi://b'] }), { code: 'URL_INVALID' })
  assert.deepEqual(opener.logins, [])
})

test('discovered are the other portals of the target, in the portal groups that it told', async () => {
  const opener = new Opener()
  opener.discovered = [
    { name: 'iqn.2026-11.test:other', portalGroups: [{ tag: 1, portals: [{ host: 'x', port: 3260 }] }] },
    {
      name: TARGET,
      portalGroups: [
        {
          tag: 1,
          portals: [
            { host: 'a', port: 3260 },
            { host: 'b', port: 3260 },
          ],
        },
        { tag: 2, portals: [{ host: 'c', port: 3261 }] },
      ],
    },
  ]
  const [, ...logins] = await opener.open({ paths: 'discover' })
  assert.deepEqual(places(logins), [`a:3260 ${TARGET}`, `b:3260 ${TARGET}`, `c:3261 ${TARGET}`])
  assert.deepEqual(
    logins.map(({ portalGroupTag }) => portalGroupTag),
    [undefined, 1, 2],
  )
})

test('a path gives up a silent session soon, unless told otherwise, and leaves opening it again to the set', async () => {
  const isid = Uint8Array.of(0x80, 0, 0, 0, 0, 1)
  const limits = { nopTimeoutMs: 7000 }
  const [first, second] = await new Opener().open({ paths: ['b'], limits, isid })
  for (const login of [first, second]) {
    assert.equal(login?.reopenLimitMs, 0)
    assert.equal(login?.connectTimeoutMs, 3000)
    assert.deepEqual([login?.limits?.nopIntervalMs, login?.limits?.nopTimeoutMs], [1000, 7000])
  }
  assert.deepEqual([first?.isid, second?.isid], [isid, undefined], 'two sessions cannot have one ISID')
})
