/**
 * A small Linux machine in QEMU, with the processor emulated: a peer for correctness, never for speed. Its disk is thrown away; a
 * folder is shared; 10.0.2.2 in it is this machine's 127.0.0.1. `test/lab/build-guest.sh` makes what it boots.
 */
import { createHash } from 'node:crypto'
import { copyFileSync, existsSync, mkdirSync, readFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { fileURLToPath } from 'node:url'
import { peerIsMissing, peerPath, requirePeers } from './peer.ts'
import { exitOf, run, type Scratch } from './scratch.ts'

const lab = fileURLToPath(new URL('../lab/', import.meta.url))
const BUILD_TIMEOUT_MS = 300_000
const images = join(process.env['CYGNET_LAB'] ?? join(tmpdir(), 'cygnet-lab'), `guest-${recipe()}`)

/** Names what the machine is built from, so that another recipe makes another machine. */
function recipe(): string {
  const hash = createHash('sha256')
  for (const name of ['build-guest.sh', 'guest-init', 'guest-initrd'])
    hash.update(readFileSync(join(lab, name)))
  return hash.digest('hex').slice(0, 12)
}

/** Builds the machine's files where they are missing. False (and the test is marked) where that cannot be done here. */
export async function requireGuest(t: TestContext): Promise<boolean> {
  if (!requirePeers(t, 'qemu-system-x86_64')) return false
  if (['vmlinuz', 'initrd', 'root.ext4'].every((name) => existsSync(join(images, name)))) return true
  if (!requirePeers(t, 'mmdebstrap', 'mke2fs', 'cpio', 'modprobe')) return false
  const result = await run('bash', [join(lab, 'build-guest.sh'), images], { timeoutMs: BUILD_TIMEOUT_MS })
  if (result.code === 0) return true
  const last = `${result.stdout}\n${result.stderr}`.trim().split('\n').at(-1) ?? ''
  return peerIsMissing(t, 'the virtual machine', `test/lab/build-guest.sh must work, as root: ${last}`)
}

export interface Guest {
  /** Shared with the guest, where it is /host. */
  readonly folder: string
  /** What the serial console has said so far. */
  readonly console: () => string
  /** The script's exit code, or undefined when the machine did not get that far. */
  readonly finished: Promise<number | undefined>
}

/**
 * Boots the machine, which runs a script of `test/lab/` as root, with `variables` as LAB_NAME, and then turns itself off. TCP connections
 * to 127.0.0.1 and port `forward` of this machine reach the guest as ones to that same address and port.
 */
export function startGuest(
  scratch: Scratch,
  script: string,
  variables: Readonly<Record<string, string>>,
  forward?: number,
): Guest {
  const folder = scratch.path('guest')
  mkdirSync(folder)
  copyFileSync(join(lab, script), join(folder, 'guest.sh'))
  const words = Object.entries(variables).map(([name, value]) => `lab.${name}=${value}`)
  const kernel = [
    'console=ttyS0',
    'quiet',
    'panic=-1',
    'mitigations=off',
    'nokaslr',
    'net.ifnames=0',
    'random.trust_cpu=on',
  ]
  const forwarding = forward === undefined ? '' : `,hostfwd=tcp:127.0.0.1:${forward}-127.0.0.1:${forward}`
  const devices = [
    ['-drive', `file=${join(images, 'root.ext4')},format=raw,if=virtio,snapshot=on,cache=unsafe`],
    ['-netdev', `user,id=net${forwarding}`, '-device', 'virtio-net-pci,netdev=net,romfile='],
    ['-virtfs', `local,path=${folder},mount_tag=host,security_model=none,id=host`],
    ['-device', 'virtio-rng-pci'],
    ['-serial', 'stdio'],
  ].flat()
  const child = scratch.spawn(peerPath('qemu-system-x86_64'), [
    ...['-M', 'pc', '-accel', 'tcg,tb-size=512', '-cpu', 'max,la57=off', '-m', '512'],
    ...['-nodefaults', '-display', 'none', '-monitor', 'none', '-no-reboot'],
    ...['-kernel', join(images, 'vmlinuz'), '-initrd', join(images, 'initrd')],
    ...['-append', [...kernel, ...words].join(' ')],
    ...devices,
  ])
  let output = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding('utf8').on('data', (text: string) => (output += text))
  }
  const exitCode = async (): Promise<number | undefined> => {
    await exitOf(child)
    const file = join(folder, 'rc')
    return existsSync(file) ? Number(readFileSync(file, 'utf8')) : undefined
  }
  return { folder, console: () => output, finished: exitCode() }
}
