import { CygnetError } from '../base/errors.ts'
import type { ScsiRequestOptions, ScsiResult } from '../session/initiator-role/scsi-request.ts'
import type { DeviceEvent } from './block-device.ts'
import { FakeDisk, FakeTiming } from './fake-disk.test-helper.ts'
import type { PathSession } from './path.ts'
import { PathSet } from './path-set.ts'
import { ScsiDisk } from './scsi-disk.ts'
import { type ScsiCommand, settleWith } from './scsi-executor.ts'

let nextIsid = 1

/** A session to a fake disk, which can be cut. */
export class FakeSession implements PathSession {
  readonly isid: Uint8Array
  readonly target = 'iqn.2026-11.test:disk'
  readonly portalGroupTag: number
  readonly ended: Promise<CygnetError | undefined>
  commands = 0
  /** Commands are taken and never answered, until the session is cut. */
  isStuck = false
  isClosed = false
  readonly #disk: FakeDisk
  readonly #cut = Promise.withResolvers<CygnetError | undefined>()

  constructor(
    disk: FakeDisk,
    portalGroupTag: number,
    isid: Uint8Array = Uint8Array.of(0x80, 0, 0, 0, 0, nextIsid++),
  ) {
    this.#disk = disk
    this.portalGroupTag = portalGroupTag
    this.isid = isid
    this.ended = this.#cut.promise
  }

  get isOpen(): boolean {
    return !this.isClosed
  }

  async execute(command: ScsiCommand) {
    this.commands++
    const lost = this.ended.then((error) => {
      throw error ?? new CygnetError('SESSION_CLOSED', 'closed')
    })
    if (this.isStuck || this.isClosed) return lost
    return Promise.race([this.#disk.execute(command), lost])
  }

  submit(command: ScsiRequestOptions, done: (result: ScsiResult) => void): void {
    void settleWith(this.execute(command), done)
  }

  cut(): void {
    this.isClosed = true
    this.#cut.resolve(new CygnetError('CONNECTION_LOST', 'it was cut.'))
  }

  close(): Promise<void> {
    this.isClosed = true
    this.#cut.resolve(undefined)
    return Promise.resolve()
  }
}

export class Network {
  readonly timing = new FakeTiming()
  readonly events: DeviceEvent[] = []
  listener: (event: DeviceEvent) => void = () => undefined
  readonly disks: FakeDisk[]
  /** The session of each path, the last that was opened. */
  readonly sessions: (FakeSession | undefined)[]
  readonly isDown: boolean[]
  /** Portal groups of the paths. */
  groups: number[]
  /** Path and ISID of every login. */
  readonly logins: [path: number, isid: Uint8Array][] = []
  luns: number[]

  constructor(disks: FakeDisk[]) {
    this.groups = disks.map((_, index) => index + 1)
    this.luns = disks.map(() => 0)
    this.disks = disks
    this.sessions = disks.map(() => undefined)
    this.isDown = disks.map(() => false)
  }

  open(waitLimitMs = 5000): Promise<PathSet<FakeSession>> {
    return PathSet.open({
      plans: this.disks.map((disk, index) => ({
        name: `path ${index}`,
        lun: this.luns[index] ?? 0,
        open: (isid: Uint8Array | undefined) => {
          if (this.isDown[index])
            return Promise.reject(new CygnetError('CONNECT_FAILED', `path ${index} is down.`))
          const session = new FakeSession(disk, this.groups[index] ?? 0, isid)
          this.sessions[index] = session
          this.logins.push([index, session.isid])
          return Promise.resolve(session)
        },
      })),
      timing: this.timing,
      waitLimitMs,
      onEvent: (event) => {
        this.events.push(event)
        this.listener(event)
      },
    })
  }

  counts(): number[] {
    return this.sessions.map((session) => session?.commands ?? 0)
  }

  cut(index: number): void {
    this.isDown[index] = true
    this.sessions[index]?.cut()
  }
}

export const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))
/** Two paths to one disk. */
export const two = (): Network => {
  const disk = new FakeDisk()
  return new Network([disk, disk])
}
/** Only timers are left: until an event of a kind. */
export const untilEvent = (network: Network, kind: DeviceEvent['kind']): Promise<number> =>
  network.timing.runUntil(
    (async () => {
      while (!network.events.some((event) => event.kind === kind)) await turn()
    })(),
  )
export const diskOn = async (paths: PathSet<FakeSession>, network: Network): Promise<ScsiDisk> => {
  const disk = await ScsiDisk.open({
    executor: paths,
    timing: network.timing,
    lun: 0,
    isUp: () => paths.sessions.length > 0,
    release: () => paths.close(),
  })
  network.listener = (event) => disk.report(event)
  return disk
}
