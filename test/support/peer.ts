/**
 * Other people's programs that interop tests talk to. A missing one never passes in silence: the test is marked as
 * skipped and named in the summary of `npm test`; under `CI=true` it fails.
 *
 *     test('qemu-img reads the disk', async (t) => {
 *       if (!requirePeers(t, 'qemu-img', 'e2fsck')) return
 *       await execFile(peerPath('e2fsck'), ['-fn', image])
 *     })
 *
 * Programs are looked up in PATH and in the system's sbin folders (tgtd, mke2fs and e2fsck live there).
 */
import { accessSync, constants, statSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import type { TestContext } from 'node:test'

/** Which Debian package brings a peer; `.ci/run` installs them all. */
export const debianPackages = {
  tgtd: 'tgt',
  tgtadm: 'tgt',
  istgt: 'istgt',
  'iscsi-ls': 'libiscsi-bin',
  'iscsi-inq': 'libiscsi-bin',
  'iscsi-readcapacity16': 'libiscsi-bin',
  'iscsi-perf': 'libiscsi-bin',
  'iscsi-swp': 'libiscsi-bin',
  'iscsi-test-cu': 'libiscsi-bin',
  'qemu-img': 'qemu-utils qemu-block-extra',
  'qemu-io': 'qemu-utils qemu-block-extra',
  'qemu-nbd': 'qemu-utils',
  nbdinfo: 'libnbd-bin',
  nbdcopy: 'libnbd-bin',
  nbdfuse: 'libnbd-bin',
  nbdkit: 'nbdkit',
  'qemu-system-x86_64': 'qemu-system-x86',
  mmdebstrap: 'mmdebstrap',
  losetup: 'mount',
  mount: 'mount',
  mke2fs: 'e2fsprogs',
  e2fsck: 'e2fsprogs',
  tshark: 'tshark',
  fio: 'fio',
  cmp: 'diffutils',
  xorriso: 'xorriso',
  cpio: 'cpio',
  modprobe: 'kmod',
  bc: 'bc',
  ps: 'procps',
  ip: 'iproute2',
} as const
export type Peer = keyof typeof debianPackages

/** Every skip reason of this module starts so; the runner looks for it. */
export const missingPeerMark = 'MISSING PEER'

/** The absolute path of a program, or undefined where the machine has none. */
export function findCommand(
  command: string,
  searchPath: string = process.env['PATH'] ?? '',
): string | undefined {
  for (const folder of [...searchPath.split(delimiter), '/usr/local/sbin', '/usr/sbin', '/sbin']) {
    if (folder === '') continue
    const path = join(folder, command)
    try {
      accessSync(path, constants.X_OK)
      if (statSync(path).isFile()) return path
    } catch {
      continue
    }
  }
  return undefined
}

/** The absolute path of a peer; call `requirePeers` first. */
export function peerPath(peer: Peer): string {
  const path = findCommand(peer)
  if (path === undefined) throw new Error(`${missingPeerMark}: ${peer} (Debian: ${debianPackages[peer]})`)
  return path
}

/**
 * True where every peer is here. Otherwise marks the test as skipped and returns false (the test then returns);
 * under `CI=true` throws.
 */
export function requirePeers(t: TestContext, ...peers: readonly Peer[]): boolean {
  const missing = peers.filter((peer) => findCommand(peer) === undefined)
  if (missing.length === 0) return true
  const packages = new Set(missing.flatMap((peer) => debianPackages[peer].split(' ')))
  return peerIsMissing(t, missing.join(', '), `apt-get install ${[...packages].join(' ')}`)
}

/**
 * For a peer that is more than a program (a virtual machine, a kernel feature): skips the test, or throws under
 * `CI=true`. `remedy` says in one line what makes it available. Always false.
 */
export function peerIsMissing(t: TestContext, what: string, remedy: string): false {
  const reason = `${missingPeerMark}: ${what} (${remedy})`
  if (process.env['CI'] === 'true') throw new Error(reason)
  t.skip(reason)
  return false
}
