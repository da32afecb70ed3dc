import assert from 'node:assert/strict'
import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { TestCertificates } from '../../runtime/tls-certificates.test-helper.ts'
import { defaultLimits } from './limits.ts'
import { checkConfig, loadConfig } from './load.ts'
import { environment, problemAt, scratchFolder } from './marked.test-helper.ts'
import { defaultTraits, isLoopbackOnly, isOpenToAll } from './state.ts'

const folder = scratchFolder()
const certificates = new TestCertificates()
after(() => certificates.remove())
let files = 0
function write(text: string): string {
  const path = join(folder, `cygnet-${files++}.yaml`)
  writeFileSync(path, text)
  return path
}
const load = (text: string) => loadConfig(write(text), environment)

test('what a file leaves out has its default in the state', () => {
  const { state, warnings } = load(
    'targets: { iqn.2026-11.dev.example:db: { luns: { 0: { memory: 64M } } } }',
  )
  assert.deepEqual(warnings, [])
  assert.deepEqual(state, {
    portals: [
      { listen: { host: '127.0.0.1', port: 3260 }, advertise: null, group: 1, tls: null, moved: null },
    ],
    discovery: { auth: null },
    targets: [
      {
        name: 'iqn.2026-11.dev.example:db',
        alias: '',
        groups: [1],
        paths: ['optimized'],
        luns: [
          {
            lun: 0,
            medium: { kind: 'memory', sizeBytes: 2 ** 26 },
            kind: 'disk',
            blockSizeBytes: 512,
            readOnly: false,
            traits: defaultTraits,
          },
        ],
        auth: null,
        access: [
          {
            initiators: 'any',
            addresses: ['127.0.0.0/8', '::1'],
            users: 'any',
            luns: 'all',
            readOnly: false,
          },
        ],
        moved: null,
        removed: false,
      },
    ],
    stateFolder: null,
    shards: 1,
    limits: defaultLimits,
    log: { level: 'info' },
  })
})

const everything = `
state: remembered
portals:
  - { listen: '[::]:3261', advertise: san.example.com, group: 7 }
  - listen: :3260
    tls: { certFile: cert.pem, keyFile: ./tls/key.pem, clientCaFile: cert.pem }
  - { listen: 127.0.0.3, tls: { psk: [{ identity: a, keyFile: a.psk }] } }
  - { listen: 127.0.0.2, moved: { to: '[fd00::1]', permanent: true } }
discovery:
  auth: { users: [{ user: seeker, secretEnv: LONG }] }
targets:
  iqn.2026-11.dev.example:moved: { moved: { to: 10.0.0.9:99 } }
  IQN.2026-11.dev.example:DB:
    alias: Database disk
    groups: [7, 1]
    paths: { 1: non-optimized }
    luns:
      10: { kind: disk, file: /srv/db.img, size: 20G, blockSize: 4096, readOnly: false, thin: false, removable: true, physicalBlockSize: 4096, encrypted: true, spaceWarning: 2G }
      1: { file: ./images/../b.img, readOnly: true }
    auth:
      users: [{ user: host1, secretFile: host1.secret }, { user: host2, secret: an inline secret }]
      mutual: { user: cygnet, secretEnv: OTHER }
      algorithms: [SHA1, MD5]
      preference: initiator
      requireMutual: true
      allowShortSecrets: true
    access:
      - initiators: ['IQN.1993-08.org.debian:*']
        addresses: [10.0.0.0/8, 'FD00::/8']
        users: [host1]
        luns: { 5: 1, 0: 10 }
        readOnly: true
      - luns: [10]
limits: { textBytes: 8192, authFailureBackoff: { maxDelaySeconds: 0 } }
log: { level: debug }
`

test('every setting arrives in the state, normalised', () => {
  mkdirSync(join(folder, 'tls'), { recursive: true })
  const { certFile, keyFile } = certificates.ca('authority')
  copyFileSync(certFile, join(folder, 'cert.pem'))
  copyFileSync(keyFile, join(folder, 'tls/key.pem'))
  writeFileSync(join(folder, 'host1.secret'), 'first secret\r\n', { mode: 0o600 })
  writeFileSync(join(folder, 'a.psk'), 'ab'.repeat(32), { mode: 0o600 })
  const { state, secrets, warnings } = load(everything)
  const cert = join(folder, 'cert.pem')
  assert.deepEqual(state.portals, [
    {
      listen: { host: '::', port: 3261 },
      advertise: { host: 'san.example.com', port: 3261 },
      group: 7,
      tls: null,
      moved: null,
    },
    {
      listen: { host: '127.0.0.1', port: 3260 },
      advertise: null,
      group: 1,
      tls: {
        certificate: { certFile: cert, keyFile: join(folder, 'tls/key.pem') },
        clientCaFile: cert,
        psk: [],
      },
      moved: null,
    },
    {
      listen: { host: '127.0.0.3', port: 3260 },
      advertise: null,
      group: 1,
      tls: {
        certificate: null,
        clientCaFile: null,
        psk: [{ identity: 'a', keyFile: join(folder, 'a.psk') }],
      },
      moved: null,
    },
    {
      listen: { host: '127.0.0.2', port: 3260 },
      advertise: null,
      group: 1,
      tls: null,
      moved: { to: { host: 'fd00::1', port: 3260 }, permanent: true },
    },
  ])
  const seeker = { user: 'seeker', secret: { kind: 'environment', name: 'LONG' } } as const
  assert.deepEqual(state.discovery, {
    auth: {
      users: [seeker],
      mutual: null,
      algorithms: ['SHA3-256', 'SHA-256', 'SHA1', 'MD5'],
      preference: 'target',
      requireMutual: false,
      allowShortSecrets: false,
    },
  })
  const [db, moved] = state.targets
  const host1 = { kind: 'file', path: join(folder, 'host1.secret') } as const
  const host2 = { kind: 'inline', text: 'an inline secret' } as const
  const mutual = { user: 'cygnet', secret: { kind: 'environment', name: 'OTHER' } } as const
  assert.deepEqual(db, {
    name: 'iqn.2026-11.dev.example:db',
    alias: 'Database disk',
    groups: [1, 7],
    paths: ['non-optimized', 'optimized'],
    luns: [
      {
        lun: 1,
        medium: { kind: 'file', path: join(folder, 'b.img'), createSizeBytes: null },
        kind: 'disk',
        blockSizeBytes: 512,
        readOnly: true,
        traits: defaultTraits,
      },
      {
        lun: 10,
        medium: { kind: 'file', path: '/srv/db.img', createSizeBytes: 20 * 2 ** 30 },
        kind: 'disk',
        blockSizeBytes: 4096,
        readOnly: false,
        traits: {
          thin: false,
          removable: true,
          physicalBlockBytes: 4096,
          encrypted: true,
          spaceWarningBytes: 2 * 1024 ** 3,
        },
      },
    ],
    auth: {
      users: [
        { user: 'host1', secret: host1 },
        { user: 'host2', secret: host2 },
      ],
      mutual,
      algorithms: ['SHA1', 'MD5'],
      preference: 'initiator',
      requireMutual: true,
      allowShortSecrets: true,
    },
    access: [
      {
        initiators: ['iqn.1993-08.org.debian:*'],
        addresses: ['10.0.0.0/8', 'fd00::/8'],
        users: ['host1'],
        luns: [
          { lun: 0, targetLun: 10 },
          { lun: 5, targetLun: 1 },
        ],
        readOnly: true,
      },
      {
        initiators: 'any',
        addresses: 'any',
        users: 'any',
        luns: [{ lun: 10, targetLun: 10 }],
        readOnly: false,
      },
    ],
    moved: null,
    removed: false,
  })
  assert.deepEqual(moved?.moved, { to: { host: '10.0.0.9', port: 99 }, permanent: false })
  assert.deepEqual(moved.groups, [1, 7])
  assert.deepEqual(state.limits, {
    ...defaultLimits,
    textBytes: 8192,
    authFailureBackoff: { ...defaultLimits.authFailureBackoff, maxDelaySeconds: 0 },
  })
  assert.equal(state.stateFolder, join(folder, 'remembered'))
  assert.equal(state.log.level, 'debug')

  const text = (source: Parameters<typeof secrets.of>[0]) => Buffer.from(secrets.of(source)).toString()
  assert.equal(text(host1), 'first secret')
  assert.equal(text(host2), 'an inline secret')
  assert.equal(text(mutual.secret), 'another-secret')
  assert.equal(warnings.length, 1, 'the inline secret')
})

test('a state survives JSON', () => {
  const { state } = load(everything)
  assert.deepEqual(JSON.parse(JSON.stringify(state)), state)
})

test('the order of targets and LUNs in the file makes no difference', () => {
  const target = (name: string, luns: string) => `  iqn.2026-11.dev.example:${name}: { luns: { ${luns} } }\n`
  const [a, b] = ['0: { memory: 1M }', '1: { memory: 2M }']
  const one = load(`targets:\n${target('x', `${a}, ${b}`)}${target('y', a)}`)
  const other = load(`targets:\n${target('y', a)}${target('x', `${b}, ${a}`)}`)
  assert.deepEqual(one.state, other.state)
})

test('secrets are shown in no message', () => {
  const text = everything.replace('an inline secret', '[an inline secret]').replace('host1.secret', 'nowhere')
  const { problems } = checkConfig(text, join(folder, 'x.yaml'), environment)
  assert.ok(problems.length > 1)
  assert.doesNotMatch(JSON.stringify(problems), /inline secret|another-secret|first secret/)
})

test('without access rules, only this machine may log in where nobody is authenticated', () => {
  const target = (text: string) => {
    const { state } = load(
      `targets: { iqn.2026-11.dev.example:db: { luns: { 0: { memory: 1M } }, ${text} } }`,
    )
    assert.ok(state.targets[0])
    return isLoopbackOnly(state.targets[0])
  }
  assert.equal(target(''), true)
  assert.equal(target('auth: { users: [{ user: a, secretEnv: LONG }] }'), false)
  assert.equal(target('access: [{ addresses: [127.0.0.1, 127.8.0.0/16, "::1"] }]'), true)
  assert.equal(target('access: [{ addresses: [126.0.0.0/7] }]'), false)
  assert.equal(target('access: [{ addresses: ["::/127"] }]'), false)
  assert.equal(target('access: [{ initiators: ["*"] }]'), false)
})

test('a target without authentication that takes logins from every address is known as such', () => {
  const target = (text: string) => {
    const { state } = load(
      `targets: { iqn.2026-11.dev.example:db: { luns: { 0: { memory: 1M } }, ${text} } }`,
    )
    assert.ok(state.targets[0])
    return isOpenToAll(state.targets[0])
  }
  assert.equal(target(''), false)
  assert.equal(target('access: [{ addresses: [10.0.0.0/8] }]'), false)
  assert.equal(target('access: [{ addresses: [10.0.0.0/8, 0.0.0.0/0] }]'), true)
  assert.equal(target('access: [{ addresses: ["::/0"] }]'), true)
  assert.equal(target('access: [{ initiators: ["iqn.a*"] }]'), true)
  assert.equal(
    target('access: [{ addresses: [0.0.0.0/0] }], auth: { users: [{ user: a, secretEnv: LONG }] }'),
    false,
  )
})

test('all errors are told at once, in the order of the file', () => {
  const { problems, loaded } = checkConfig(
    `portals:
  - listen: nowhere:x
  - { listen: 127.0.0.1:3260, group: 2 }
  - { listen: 127.0.0.1:3260 }
targets:
  disk:
    luns:
      0: { memory: 1Q }
      1: { memory: 100 }
    access: [{ luns: [0, 7], users: [a] }, { addresses: [x] }, { luns: [8] }]
  iqn.2026-11.dev.example:b:
    groups: [9]
    lun: {}
`,
    'cygnet.yaml',
    {},
  )
  assert.equal(loaded, undefined)
  assert.deepEqual(
    problems.map(({ line, column }) => `${line}:${column}`),
    // Group 9 may be the first portal's, and LUNs may be what lun was to be: they are not judged.
    ['2:13', '4:15', '6:3', '8:20', '9:20', '10:26', '10:38', '10:58', '10:73', '13:5'],
  )
})

test('what names another setting names its place in the file, whatever was left out before', () => {
  const text = `portals: [{ listen: x:y }, { listen: 127.0.0.1 }, { listen: 127.0.0.1 }]
targets: { iqn.2026-11.dev.example:db: { luns: { 0: { memory: 1M } } } }`
  const { problems } = checkConfig(text, 'cygnet.yaml', {})
  assert.equal(problems.length, 2)
  assert.deepEqual(problems[1]?.path, ['portals', 2, 'listen'])
  assert.equal(problems[1].found, '127.0.0.1:3260, which portals[1] listens on')
})

test('values that contain themselves come to an end', () => {
  const { loaded } = checkConfig('targets: &t\n  iqn.2026-11.dev.example:\n    luns: *t\n', 'x.yaml', {})
  assert.equal(loaded, undefined)
})

test('an alias repeats what is written once, for every target', () => {
  const targets = Array.from({ length: 300 }, (_, i) => `  iqn.2026-11.dev.example:d${i}: *disk\n`)
  const { state } = load(
    `targets:\n  iqn.2026-11.dev.example:first: &disk { luns: { 0: { memory: 1M } } }\n${targets.join('')}`,
  )
  assert.equal(state.targets.length, 301)
})

test('a problem behind an alias is told where it stands', () => {
  const text = `targets:\n  iqn.2026-11.dev.example:a: { luns: &l { 0: { memory: ▸1Q } } }\n  iqn.2026-11.dev.example:b: { moved: { to: x } }\n`
  assert.ok(problemAt(text))
})

test('a file with errors is refused with one line for each', () => {
  const path = write('targets: { disk: { luns: { 0: { memory: 1Q } } } }')
  assert.throws(() => loadConfig(path, environment), {
    code: 'CONFIG_INVALID',
    message: new RegExp(`^${path} has 2 errors:\n${path}:1:12: error: .*\n${path}:1:41: error: [^\n]*$`),
  })
})

test('a file that cannot be read is refused with what to do', () => {
  for (const [path, message] of [
    [join(folder, 'nowhere.yaml'), /does not exist: write one, or name another with -c\.$/],
    [folder, /is a folder/],
    [write('#'.repeat(5 * 2 ** 20)), /more than 4194304 bytes/],
  ] as const)
    assert.throws(() => loadConfig(path, environment), { code: 'CONFIG_UNREADABLE', message })
})
