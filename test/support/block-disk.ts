/** A LUN as a block device of this machine and a file system on it: `cygnet attach`, nbdfuse, a loop device, mount. */
import type { ChildProcess } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync } from 'node:fs'
import type { TestContext } from 'node:test'
import { peerIsMissing, peerPath, requirePeers } from './peer.ts'
import { exitOf, run, runOk, type Scratch } from './scratch.ts'
import { collect, mainScript, until } from './subject.ts'

const READY_TIMEOUT_MS = 20_000
/** No command here may hang for longer: a device that does not answer fails the test. */
const COMMAND = { timeoutMs: 30_000 }

/** What `BlockDisk` needs of the machine. */
export function requireBlockDisk(t: TestContext): boolean {
  if (!requirePeers(t, 'nbdfuse', 'mke2fs', 'e2fsck', 'losetup', 'mount')) return false
  const isRoot = process.getuid?.() === 0
  if (isRoot && existsSync('/dev/fuse') && existsSync('/dev/loop-control')) return true
  return peerIsMissing(t, 'a loop device on FUSE', 'run as root, with /dev/fuse and /dev/loop-control')
}

/**
 * Everything that it makes is undone with the test, however that ends: mounts are let go even where they are busy or the disk
 * does not answer, before the processes below them end.
 */
export class BlockDisk {
  /** `/dev/loopN` */
  readonly device: string
  readonly attach: ChildProcess
  readonly log: { readonly stderr: string }
  readonly #scratch: Scratch
  readonly #fuse: ChildProcess
  readonly #fuseFolder: string
  #mounted: string | undefined

  private constructor(
    scratch: Scratch,
    device: string,
    attach: ChildProcess,
    log: { readonly stderr: string },
    fuse: ChildProcess,
    fuseFolder: string,
  ) {
    this.#scratch = scratch
    this.device = device
    this.attach = attach
    this.log = log
    this.#fuse = fuse
    this.#fuseFolder = fuseFolder
  }

  /** `options`: those of `cygnet attach`. */
  static async attach(scratch: Scratch, lun: string, ...options: string[]): Promise<BlockDisk> {
    const socket = scratch.path('nbd.sock')
    const args = [mainScript, 'attach', lun, '--nbd', `unix:${socket}`, ...options]
    const attach = scratch.spawn(process.execPath, args)
    const log = collect(attach)
    const url = (): string | undefined => /^Ready: (.*)$/m.exec(log.stdout)?.[1]
    await until(() => url() !== undefined || attach.exitCode !== null, READY_TIMEOUT_MS)
    const folder = scratch.path('fuse')
    mkdirSync(folder)
    const fuse = scratch.spawn(peerPath('nbdfuse'), [`${folder}/disk`, url() ?? 'no Ready line'])
    const said = collect(fuse)
    scratch.defer(() => run('umount', ['-l', folder], COMMAND))
    const isThere = (): boolean => readFileSync('/proc/mounts', 'utf8').includes(` ${folder} fuse`)
    await until(() => isThere() || fuse.exitCode !== null, READY_TIMEOUT_MS)
    if (!isThere()) throw new Error(`no FUSE file\n${log.stdout}\n${log.stderr}\n${said.stderr}`)
    const { stdout } = await runOk(peerPath('losetup'), ['-f', '--show', `${folder}/disk`], COMMAND)
    const device = stdout.trim()
    scratch.defer(() => run(peerPath('losetup'), ['-d', device], COMMAND))
    return new BlockDisk(scratch, device, attach, log, fuse, folder)
  }

  async mount(folder: string): Promise<void> {
    await runOk(peerPath('mount'), ['-t', 'ext4', this.device, folder], COMMAND)
    this.#mounted = folder
    this.#scratch.defer(() => this.#mounted && run('umount', ['-l', folder], COMMAND))
  }

  async unmount(): Promise<void> {
    if (this.#mounted === undefined) return
    await runOk('umount', [this.#mounted], COMMAND)
    this.#mounted = undefined
  }

  /** In order: the file system, the loop device, the FUSE file, then Ctrl-C for `attach`; its exit code. */
  async detach(): Promise<number | null> {
    await this.unmount()
    await runOk(peerPath('losetup'), ['-d', this.device], COMMAND)
    await runOk('umount', [this.#fuseFolder], COMMAND)
    await exitOf(this.#fuse)
    this.attach.kill('SIGINT')
    return (await exitOf(this.attach)).code
  }
}
