/** `cygnet copy` of an image into a LUN and out again: the tool verifies each copy, and cmp both. */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { statSync, writeFileSync } from 'node:fs'
import type { TestContext } from 'node:test'
import { peerPath } from './peer.ts'
import { runOk, type Scratch } from './scratch.ts'
import { mainScript } from './subject.ts'

const COPY_TIMEOUT_MS = 200_000

/** The CHAP credentials of tests against other people's targets, both ways. */
export const hostCredentials = { user: 'host1', secret: 'one-host-secret' } as const
export const storageCredentials = { user: 'storage', secret: 'the-target-secret' } as const
/** The command line's options for them, and the environment that these read. */
export const secretsEnvironment = {
  HOST_SECRET: hostCredentials.secret,
  STORAGE_SECRET: storageCredentials.secret,
} as const
export const chapOptions = ['--user', hostCredentials.user, '--secret-env', 'HOST_SECRET'] as const
export const mutualChapOptions = [
  ...chapOptions,
  '--mutual-user',
  storageCredentials.user,
  '--mutual-secret-env',
  'STORAGE_SECRET',
] as const

/** Of URLs: both digests. */
export const DIGESTS_QUERY = '?header_digest=crc32c&data_digest=crc32c'

/** An image of random bytes. */
export function makeRandomImage(scratch: Scratch, sizeMiB: number): string {
  const path = scratch.path(`random-${sizeMiB}.img`)
  writeFileSync(path, randomBytes(sizeMiB << 20))
  return path
}

/** Needs cmp. */
export async function copyRoundTrip(
  t: TestContext,
  scratch: Scratch,
  image: string,
  url: string,
  options: readonly string[] = [],
): Promise<void> {
  const back = scratch.path('copied-back.img')
  const lengthBytes = statSync(image).size
  const rates: string[] = []
  for (const [from, to] of [
    [image, url],
    [url, back],
  ] as const) {
    const args = [mainScript, 'copy', from, to, '--verify', '--json', ...options]
    const { stdout } = await runOk(process.execPath, args, {
      env: secretsEnvironment,
      timeoutMs: COPY_TIMEOUT_MS,
    })
    const report = JSON.parse(stdout) as Record<string, unknown>
    assert.deepEqual([report['verified'], report['lengthBytes']], [true, lengthBytes])
    rates.push(`${(lengthBytes / 1e6 / Number(report['seconds'])).toFixed(0)} MB/s`)
  }
  await runOk(peerPath('cmp'), [image, back])
  t.diagnostic(`${lengthBytes >> 20} MiB in at ${rates[0]}, out at ${rates[1]}`)
}
