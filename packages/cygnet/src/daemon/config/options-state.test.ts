import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { stringify } from 'yaml'
import { formatAddress } from '../address.ts'
import { logLevels } from '../log-level.ts'
import { loadConfig } from './load.ts'
import { scratchFolder } from './marked.test-helper.ts'
import { DEFAULT_TARGET, type ImageOptions, stateOfOptions } from './options-state.ts'
import { unitKinds } from './state.ts'

const folder = scratchFolder()

/** The file that says what the options say, and leaves out what they leave out. */
function fileOf(options: ImageOptions): string {
  const {
    listen,
    advertise,
    targetName = DEFAULT_TARGET,
    allow,
    logLevel,
    stateFolder,
    createSizeBytes,
    memoryBytes,
  } = options
  const format = { blockSize: options.blockSizeBytes, readOnly: options.readOnly }
  const { kind } = options
  const disks: object[] = options.images.map((file) => {
    const isDisc = kind === undefined ? file.endsWith('.iso') : kind === 'cdrom'
    // A disc has neither size nor format of its own.
    return isDisc ? { file, kind } : { file, kind, size: createSizeBytes, ...format }
  })
  if (memoryBytes !== undefined) disks.push({ memory: memoryBytes, ...format })
  const usesPortal = listen !== undefined || advertise !== undefined
  return stringify({
    portals: usesPortal
      ? [
          {
            listen: listen ? formatAddress(listen) : '127.0.0.1:3260',
            advertise: advertise && formatAddress(advertise),
          },
        ]
      : undefined,
    targets: {
      [targetName]: {
        luns: Object.fromEntries(disks.entries()),
        access: allow === undefined ? undefined : [{ addresses: allow }],
      },
    },
    state: stateFolder,
    log: logLevel === undefined ? undefined : { level: logLevel },
  })
}

const address = fc.record(
  {
    host: fc.oneof(fc.ipV4(), fc.constantFrom('::1', '::', 'fd00::7', 'san.example.com')),
    port: fc.integer({ min: 1, max: 65_535 }),
  },
  { noNullPrototype: true },
)
const size = fc.integer({ min: 1, max: 1 << 20 }).map((blocks) => blocks * 4096)
const options = fc.record(
  {
    images: fc.array(fc.constantFrom('/srv/a.img', '/srv/x/../b.img', '/dev/sdb', '/srv/c.iso'), {
      minLength: 1,
      maxLength: 4,
    }),
    kind: fc.constantFrom(...unitKinds),
    createSizeBytes: size,
    memoryBytes: size,
    listen: address,
    advertise: address,
    targetName: fc.constantFrom('iqn.2026-11.dev.example:a', 'naa.52004567ba64678d'),
    blockSizeBytes: fc.constantFrom(512 as const, 4096 as const),
    readOnly: fc.boolean(),
    allow: fc.uniqueArray(fc.constantFrom('10.0.0.0/8', 'FD00::/8', '::1', '0.0.0.0/0'), { minLength: 1 }),
    stateFolder: fc.constantFrom('/var/lib/cygnet', '/srv/x/../state'),
    logLevel: fc.constantFrom(...logLevels),
  },
  { requiredKeys: ['images'], noNullPrototype: true },
)

test('options and the file that says the same give the same state', () => {
  fc.assert(
    fc.property(options, (given) => {
      const path = join(folder, 'cygnet.yaml')
      writeFileSync(path, fileOf(given))
      assert.deepEqual(stateOfOptions(given), loadConfig(path, {}).state)
    }),
    { numRuns: 300 },
  )
})

test('images are found from the same folder by options and by a file in the folder', () => {
  for (const image of ['a.img', './a.img', 'x/../a.img'])
    assert.equal(
      JSON.stringify(stateOfOptions({ images: [image] }).targets[0]?.luns[0]?.medium),
      '{"kind":"file","path":"a.img","createSizeBytes":null}',
    )
})

test('an advertised address has the listening port where it names none', () => {
  const [portal] = stateOfOptions({
    images: [],
    listen: { host: '::', port: 99 },
    advertise: { host: 'san', port: 0 },
  }).portals
  assert.deepEqual(portal?.advertise, { host: 'san', port: 99 })
  assert.throws(
    () =>
      stateOfOptions({ images: [], listen: { host: '::', port: 0 }, advertise: { host: 'san', port: 0 } }),
    { code: 'ADVERTISE_PORT' },
  )
})
