import assert from 'node:assert/strict'
import { chmodSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { problemAt, scratchFolder } from './marked.test-helper.ts'
import { formatProblem } from './problem.ts'

const folder = scratchFolder()
for (const [name, text, mode] of [
  ['good.secret', 'a secret of 20 bytes', 0o600],
  ['open.secret', 'a secret of 24 bytes ...', 0o644],
  ['two.secret', 'one line with a secret\nanother line with one\n', 0o600],
  ['empty.secret', '\n', 0o600],
  ['big.secret', 'x'.repeat(5000), 0o600],
  ['cert.pem', 'certificate', 0o644],
  ['key.pem', 'key', 0o600],
  ['open.psk', '00112233445566778899aabbccddeeff', 0o644],
  ['short.psk', '0011', 0o600],
] as const) {
  writeFileSync(join(folder, name), text)
  chmodSync(join(folder, name), mode)
}

const name = 'iqn.2026-11.dev.example:db'
const target = `targets:\n  ${name}:\n    luns: { 0: { memory: 1M } }\n`
const luns = (text: string): string => `targets:\n  ${name}:\n    luns:\n      ${text}\n`
const inTarget = (text: string): string => `${target}    ${text}\n`
const auth = (text: string): string => inTarget(`auth:\n      ${text}`)
const user = 'users: [{ user: a, secretEnv: LONG }]'
const rule = (text: string): string => auth(`${user}\n    access:\n      - ${text}`)
const portal = (text: string): string => `portals:\n  - listen: 127.0.0.1:3260\n    ${text}\n${target}`

const bomb = Array.from({ length: 9 }, (_, i) => `k${i}: &k${i} [${`*k${i - 1},`.repeat(i && 9)}x]\n`).join(
  '',
)

/** YAML with a mark where the problem is, and what of its line is told. */
const cases: Readonly<Record<string, readonly [yaml: string, message: RegExp][]>> = {
  'YAML syntax': [
    [`portals:\n  - listen: [::1]▸:3260\n${target}`, /expected YAML.*quotes, '\[::1\]:3260'/],
    [`portals:\n▸\t- listen: 127.0.0.1\n${target}`, /indent with spaces/],
    [`${target}▸---\nlog: {}\n`, /remove the lines that begin with ---/],
    [`log: { level: ▸*nowhere }\n${target}`, /an anchor that stands before it, found \*nowhere: .*quotes/],
    [`▸${bomb}`, /at most 10000 values/],
    [`${target}log:\n  level: "info▸`, /check indentation, quotes/],
    [`${target}log: { level: ▸!secret info }`, /remove the tag/],
  ],
  'what is missing or of another kind': [
    ['▸', /: expected a mapping with portals and targets, found nothing/],
    ['▸text', /found "text": write KEY: VALUE lines/],
    [
      '▸log: { level: info }',
      /: targets: expected a mapping of iSCSI name to target, found nothing: add targets/,
    ],
    ['targets: ▸{}', /at least one target, found none/],
    ['▸targets:', /targets: expected .*, found nothing: write a value behind the colon/],
    [`portals: ▸127.0.0.1:3260\n${target}`, /a list of portals.*found "127\.0\.0\.1:3260".*as a list/],
    [`portals: ▸{ listen: 127.0.0.1 }\n${target}`, /found a mapping: begin each entry with a dash/],
    [`portals: ▸[]\n${target}`, /found an empty list: name at least one/],
    [`portals:\n  - ▸group: 1\n${target}`, /portals\[0\]\.listen: .*found nothing: add listen/],
    [inTarget('▸auth:'), /\.auth: expected a mapping with users, found nothing/],
    [auth('users: [{ user: ▸0x41, secretEnv: LONG }]'), /found 65: put it in quotes/],
    [luns("0: { memory: 1M, readOnly: ▸'true' }"), /true or false, found "true": write it without quotes/],
    [luns('0: { memory: ▸true }'), /a size such as 512M or 20G, found true/],
    [inTarget(`alias: ▸${'a'.repeat(300)}`), /at most 255 characters, found a longer one: shorten it/],
  ],
  'unknown settings': [
    [`${target}▸limit: { connections: 1 }\n`, /unknown setting "limit": did you mean limits\?$/],
    [luns('0: { memory: 1M, ▸readonly: true }'), /did you mean readOnly\?$/],
    [luns('0: { memory: 1M, ▸colour: red }'), /one of file, memory, size.*"colour": remove it/],
    [`${target}limits: { authFailureBackoff: { ▸firstDelay: 1 } }`, /expected one of freeFailures/],
  ],
  'duplicate keys': [
    [`${target}log: {}\n▸log: {}\n`, /each key once, found log again/],
    [`${target}  ▸${name}:\n    luns: { 0: { memory: 1M } }\n`, /found iqn\.2026-11\.dev\.example:db again/],
    [luns("0: { memory: 1M }\n      ▸'0': { memory: 2M }"), /found '0' again: keep one/],
    [
      `${target}  ▸IQN.2026-11.dev.Example:DB:\n    luns: { 0: { memory: 1M } }\n`,
      /each target once, found "IQN.*which is iqn\.2026-11\.dev\.example:db again/,
    ],
  ],
  names: [
    [`targets:\n  ▸disk:\n    luns: { 0: { memory: 1M } }\n`, /an iSCSI name, found "disk": .*iqn\., eui\./],
    [`targets:\n  ▸iqn.2026-13.dev.example:\n    luns: { 0: { memory: 1M } }\n`, /iqn\.YYYY-MM/],
  ],
  portals: [
    [
      `portals:\n  - listen: ▸'::1'\n${target}`,
      /an address as HOST:PORT, found "::1": put an IPv6 address in brackets/,
    ],
    [`portals:\n  - listen: ▸127.0.0.1:70000\n${target}`, /0 to 65535/],
    [portal('group: ▸65536'), /a whole number from 1 to 65535, found 65536/],
    [portal('group: ▸1.5'), /whole number.*found 1\.5/],
    [portal('- listen: ▸127.0.0.1').replace('    -', '  -'), /no other portal listens on.*portals\[0\]/],
    [`portals:\n  - listen: 0.0.0.0\n  - listen: ▸127.0.0.1\n${target}`, /portals\[0\] listens on/],
    [`portals:\n  - listen: 127.0.0.1\n  - listen: ▸'[::]'\n${target}`, /portals\[0\] listens on/],
    [
      `portals:\n  - listen: 127.0.0.1:0\n    advertise: ▸san\n${target}`,
      /an address with a port.*not fixed/,
    ],
    [portal('advertise: ▸:99'), /HOST:PORT/],
    [portal('▸tls: { certFile: cert.pem }'), /found certFile alone: add keyFile/],
    [portal('▸tls: { keyFile: key.pem }'), /found keyFile alone: add certFile/],
    [portal('▸tls: {}'), /certFile and keyFile, or psk, found neither/],
    [
      portal('tls: { certFile: ▸nowhere.pem, keyFile: key.pem }'),
      /a file, found no file .*nowhere\.pem: create it/,
    ],
    [portal('tls: { certFile: ▸., keyFile: key.pem }'), /which is no file/],
    [
      portal('tls: { psk: [{ identity: a, keyFile: ▸open.psk }] }'),
      /warning.*other users of this machine.*chmod o=/,
    ],
    [
      portal('▸tls: { certFile: cert.pem, keyFile: key.pem }'),
      /keys that can be used, found others: .*cert\.pem is not in PEM form\.$/,
    ],
    [portal('▸tls: { psk: [{ identity: a, keyFile: short.psk }] }'), /the key has 2 bytes/],
    [
      portal(
        'tls: { certFile: cert.pem, keyFile: key.pem, ▸clientCaFile: cert.pem, psk: [{ identity: a, keyFile: key.pem }] }',
      ),
      /clientCaFile or psk, found both: use two portals/,
    ],
    [portal('tls: { ▸clientCaFile: cert.pem }'), /with certFile and keyFile/],
    [
      portal('tls: { psk: [{ identity: a, keyFile: key.pem }, { identity: ▸a, keyFile: key.pem }] }'),
      /an identity of its own.*"a" again/,
    ],
    [
      inTarget('groups: [1, ▸2]'),
      /a group that a portal has: 1, found 2: choose one of them, or add a portal/,
    ],
    [inTarget('groups: [1, ▸1]'), /each group once, found 1 again/],
    [inTarget('paths: { ▸2: standby }'), /a portal group that serves the target: 1, found 2/],
    [inTarget('paths: { 1: ▸transitioning }'), /one of optimized, non-optimized, standby, unavailable/],
  ],
  LUNs: [
    [luns('▸-1: { memory: 1M }'), /a LUN from 0 to 16383, found "-1"/],
    [luns('▸16384: { memory: 1M }'), /found "16384"/],
    [luns("▸'01': { memory: 1M }"), /found "01"/],
    [luns('0: { memory: ▸64Q }'), /a size such as 512M or 20G, found "64Q": write a number and perhaps K/],
    [luns('0: { memory: ▸0 }'), /found 0: a disk needs at least one block/],
    [luns('0: { memory: ▸1000 }'), /whole number of 512-byte blocks, found 1000 bytes: write 1024/],
    [
      luns('0: { file: a.img, size: ▸6K, blockSize: 4096 }'),
      /4096-byte blocks, found 6144 bytes: write 8192/,
    ],
    [luns('0: { memory: 1M, blockSize: ▸1024 }'), /512 or 4096, found 1024/],
    [luns('0: { memory: 1M, blockSize: 4096, physicalBlockSize: ▸512 }'), /at least the block size, 4096/],
    [luns('▸0: { readOnly: true }'), /file or memory, found neither/],
    [luns('▸0: { file: a.img, memory: 1M }'), /found both: keep one/],
    [luns('0: { memory: 1M, ▸size: 1M }'), /size with file only/],
    [luns('0: { file: a.img, size: ▸1M, readOnly: true }'), /warning.*created and never written/],
    [luns('0: { file: a.img, kind: ▸tape }'), /one of disk, cdrom, found "tape"/],
    [
      luns('0: { file: a.ISO, ▸size: 1M }'),
      /settings of a disc, found size of a CD or DVD: remove it, or write kind: disk/,
    ],
    [luns('0: { ▸memory: 1M, kind: cdrom }'), /found memory of a CD or DVD: remove it\./],
    [luns('0: { file: a.iso, ▸blockSize: 4096 }'), /found blockSize of a CD or DVD/],
    [luns('0: { file: a.iso, ▸physicalBlockSize: 4096 }'), /found physicalBlockSize/],
    [luns('0: { file: a.iso, ▸encrypted: true }'), /found encrypted/],
    [`targets:\n  ▸${name}: {}\n`, /at least one LUN, found none: add luns/],
    [`targets:\n  ${name}:\n    ▸luns: {}\n`, /at least one LUN, found none: add luns/],
    [
      `targets:\n  ${name}:\n    moved: { to: san }\n    ▸luns: { 0: { memory: 1M } }\n`,
      /no LUNs where the target has moved, found a LUN: remove luns/,
    ],
    [
      `targets:\n  ${name}:\n    removed: true\n    ▸luns: { 0: { memory: 1M } }\n`,
      /no LUNs where the target is removed, found a LUN: remove luns/,
    ],
    [
      `targets:\n  ${name}:\n    removed: true\n    ▸moved: { to: san }\n`,
      /no new place for a removed target, found moved: keep one of them/,
    ],
    [`targets:\n  ${name}:\n    moved: { to: ▸:3260 }\n`, /HOST:PORT/],
  ],
  authentication: [
    [auth('users: ▸[]'), /a list of users, at least one, found an empty list/],
    [auth('users: [▸{ user: a }]'), /one of secretFile, secretEnv, secret, found none of them/],
    [
      auth('users: [▸{ user: a, secretEnv: LONG, secretFile: good.secret }]'),
      /found secretFile and secretEnv: keep one/,
    ],
    [
      auth('users: [{ user: a, secretEnv: ▸MISSING }]'),
      /variable MISSING .*found no such variable: set MISSING/,
    ],
    [auth('users: [{ user: a, secretFile: ▸nowhere }]'), /found no file .*nowhere: create it/],
    [auth('users: [{ user: a, secretFile: ▸two.secret }]'), /in one line, found several lines/],
    [auth('users: [{ user: a, secretFile: ▸empty.secret }]'), /which is empty/],
    [auth('users: [{ user: a, secretFile: ▸big.secret }]'), /at most 4096 are read/],
    [auth('users: [{ user: a, secretFile: ▸open.secret }]'), /warning.*other users of this machine/],
    [
      auth('users: [{ user: a, secret: ▸correct horse }]'),
      /warning: .*outside of this file, found one inside/,
    ],
    [auth('users: [{ user: a, secret: ▸123456789012 }]'), /a secret, found a number: put it in quotes/],
    [auth('users: [{ user: a, secretEnv: ▸SHORT }]'), /a secret of at least 12 bytes, found one of 5: /],
    [auth(`users: [{ user: ▸${'ü'.repeat(128)}, secretEnv: LONG }]`), /1 to 255 bytes/],
    [
      auth('users: [{ user: a, secretEnv: LONG }, { user: ▸a, secretEnv: OTHER }]'),
      /each user once, found "a" again/,
    ],
    [
      auth('users: [{ user: a, secretEnv: LONG }, { user: b, secretEnv: ▸LONG }]'),
      /warning.*of the user "a"/,
    ],
    [
      auth(`${user}\n      mutual: { user: t, secretEnv: ▸LONG }`),
      /that no user has, found the secret of the user "a"/,
    ],
    [
      `discovery:\n  auth:\n    ${user}\n    mutual: { user: t, secretEnv: ▸OTHER }\n${auth('users: [{ user: b, secretEnv: OTHER }]')}`,
      /the secret of the user "b"/,
    ],
    [auth(`${user}\n      ▸requireMutual: true`), /mutual where it is required, found none: add mutual/],
    [
      auth(`${user}\n      algorithms: [MD5, ▸SHA-1]`),
      /one of SHA3-256.*found "SHA-1": did you mean SHA1\?$/,
    ],
    [auth(`${user}\n      algorithms: [MD5, SHA1, ▸MD5]`), /each algorithm once, found MD5 again/],
    [auth(`${user}\n      preference: ▸client`), /target or initiator, found "client"/],
  ],
  access: [
    [rule('initiators: [▸debian]'), /a pattern such as .*found "debian": it must begin with/],
    [rule('addresses: [10.0.0.0/8, ▸10.0.0.1/8]'), /found "10\.0\.0\.1\/8": .*write 10\.0\.0\.0\/8/],
    [rule('addresses: [▸10.0.0.0/33]'), /from 0 to 32/],
    [rule('addresses: ▸10.0.0.0/8'), /a list of address ranges.*as a list/],
    [rule('users: [▸b]'), /a user of the target: a, found "b"/],
    [inTarget('access: [{ users: [▸b] }]'), /users in the target’s auth, found "b": add the user to auth/],
    [rule('luns: [0, ▸1]'), /a LUN of the target: 0, found 1: choose one of them, or add LUN 1/],
    [rule('luns: [0, ▸0]'), /each LUN once, found 0 again/],
    [rule('luns: { 5: ▸1 }'), /access\[0\]\.luns\[5\]: expected a LUN of the target: 0, found 1/],
    [rule('luns: { ▸x: 0 }'), /a LUN from 0 to 16383, found "x"/],
    [rule('luns: ▸{}'), /at least one LUN, found none/],
    [rule('luns: ▸all'), /a list of LUNs, or a mapping of LUN to LUN, found "all"/],
    [rule('luns: [▸zero]'), /a whole number from 0 to 16383, found "zero"/],
    [
      rule('readOnly: true\n      - ▸addresses: [10.0.0.0/8]'),
      /warning.*behind access\[0\], which fits everybody/,
    ],
  ],
  'limits and log': [
    [
      `${target}limits: { loginsAtOnce: ▸0 }`,
      /a whole number from 1 to 65536, found 0: choose a number of that range/,
    ],
    [`${target}limits: { loginTimeoutSeconds: ▸15s }`, /found "15s": write it without quotes and units/],
    [`${target}limits: { authFailureBackoff: { addresses: ▸9999999 } }`, /from 1 to 1048576/],
    [`${target}log: { level: ▸inf }`, /one of trace, debug.*did you mean info\?$/],
  ],
}

for (const [kind, list] of Object.entries(cases))
  for (const [yaml, message] of list)
    test(`${kind}: ${JSON.stringify(yaml.replace(target, '… '))} is told at its place`, () => {
      const problem = problemAt(yaml, folder)
      assert.ok(problem)
      const line = formatProblem(problem)
      assert.match(line, message)
      assert.ok(line.startsWith(join(folder, `cygnet.yaml:${problem.line}:${problem.column}: `)), line)
      assert.doesNotMatch(line, /undefined|something else|replace it|\.\.$/, line)
    })
