import { CygnetError } from '../base/errors.ts'
import { formatPortalAddress } from '../session/portal-address.ts'
import { type DeviceEvent, DeviceEvents } from './block-device.ts'
import { BlockDeviceError } from './block-device-error.ts'
import { openPaths, type PathOptions } from './connect-paths.ts'
import type { Initiator } from './initiator.ts'
import type { RecoveryEvent, SessionOptions } from './options.ts'
import type { PathReport } from './path-set.ts'
import type { InitiatorRuntime } from './ports.ts'
import { ScsiDisk, type ScsiDiskOptions } from './scsi-disk.ts'
import type { ScsiExecutor, Timing } from './scsi-executor.ts'
import type { Session } from './session.ts'
import { withUrl } from './url.ts'

/** How to reach a logical unit, and how to use it. Everything but the place has a default. */
export interface DiskOptions
  extends SessionOptions,
    PathOptions,
    Pick<ScsiDiskOptions, 'readOnly' | 'maxTransferBytes' | 'busyLimitMs'> {
  /** 0..16383 */
  readonly lun: number
  /** Gives up connecting. */
  readonly signal?: AbortSignal
}

/** A disk and a session that carries its commands; closing the disk ends the session. */
export interface ConnectedDisk {
  readonly disk: ScsiDisk
  /** With several paths: the first one's. */
  readonly session: Session
  /** How the paths do, where several were asked for. */
  readonly paths: () => readonly PathReport[]
}

/** What carries a disk's commands. */
interface Carrier {
  readonly executor: ScsiExecutor
  readonly session: Session
  readonly paths: () => readonly PathReport[]
  /** False while no path works, and commands wait for one. */
  readonly isUp: () => boolean
  close(): Promise<void>
}

/** For how long a lost session is opened again, unless the options say otherwise: the Linux kernel takes 120 s. */
const DEFAULT_REOPEN_LIMIT_MS = 30_000
/**
 * With one path, a user of the disk waits for this session alone: that it is lost is noticed after ten seconds of silence, and it
 * is tried again every second while the target is away.
 */
const PERSISTENT = { nopIntervalMs: 5000, nopTimeoutMs: 5000, reopenLastDelayMs: 1000 }

/**
 * Logs in and brings up a disk. `where`: a URL, `iscsi://[user[%secret]@]host[:port]/iqn/lun`, or options; what
 * `options` say goes before.
 * @throws {CygnetError} as `Initiator.openSession`; URL_INVALID where there is no LUN; as `ScsiDisk.open`
 */
export async function connectDisk(
  runtime: InitiatorRuntime,
  initiator: Initiator,
  where: string | DiskOptions,
  options: Partial<DiskOptions> = {},
): Promise<ConnectedDisk> {
  const all = {
    reopenLimitMs: DEFAULT_REOPEN_LIMIT_MS,
    ...withUrl<DiskOptions>(where, options),
  }
  const { lun, signal } = all
  if (lun === undefined) {
    throw new CygnetError(
      'URL_INVALID',
      'The iSCSI URL names no LUN: write it at its end, iscsi://HOST/TARGET/LUN.',
    )
  }
  const timing: Timing = {
    now: () => runtime.clock.now(),
    schedule: (callback, delayMs) => runtime.schedule(callback, delayMs),
  }
  const news = new DeviceEvents()
  const tell = (event: DeviceEvent): void => news.emit(event)
  const carrier = await (all.paths === undefined
    ? oneSession(initiator, all, tell)
    : severalPaths(initiator, timing, { ...all, lun }, tell))
  try {
    const { executor, session, isUp } = carrier
    const release = (): Promise<void> => carrier.close()
    const disk = await ScsiDisk.open({ ...all, executor, timing, lun, release, isUp }, signal)
    news.add((event) => disk.report(event))
    return { disk, session, paths: carrier.paths }
  } catch (error) {
    await carrier.close()
    throw error
  }
}

async function oneSession(
  initiator: Initiator,
  options: SessionOptions,
  tell: (event: DeviceEvent) => void,
): Promise<Carrier> {
  let isLost = false
  const opened: { session?: Session } = {}
  const session = await initiator.openSession({
    ...options,
    limits: { ...PERSISTENT, ...options.limits },
    onRecovery: (event) => {
      if (event.kind === 'session-lost') isLost = true
      if (event.kind === 'session-reinstated') isLost = false
      options.onRecovery?.(event)
      // A session may be lost in the very turn in which it was opened.
      const news = opened.session && pathEvent(event, opened.session)
      if (news) tell(news)
    },
  })
  opened.session = session
  void tellEnd(session, tell)
  const isUp = (): boolean => !isLost && session.connectionCount > 0
  return { executor: session, session, paths: () => [], isUp, close: () => session.close() }
}

async function tellEnd(session: Session, tell: (event: DeviceEvent) => void): Promise<void> {
  const error = await session.ended
  if (error) tell({ kind: 'failed', error: new BlockDeviceError(error.code, error.message) })
}

async function severalPaths(
  initiator: Initiator,
  timing: Timing,
  options: Parameters<typeof openPaths>[2],
  tell: (event: DeviceEvent) => void,
): Promise<Carrier> {
  const paths = await openPaths(initiator, timing, options, tell)
  const [session] = paths.sessions
  if (session === undefined) {
    await paths.close()
    throw new CygnetError('CONNECTION_LOST', 'Every path was lost as soon as it was open: try again.')
  }
  const isUp = (): boolean => paths.sessions.length > 0
  return { executor: paths, session, paths: () => paths.reports, isUp, close: () => paths.close() }
}

/**
 * What a step of the session's recovery means to the user of a disk. Below ErrorRecoveryLevel 2 the session is lost with each of its
 * connections, and one loss is told once.
 */
function pathEvent(
  event: RecoveryEvent,
  { portal, parameters }: Pick<Session, 'portal' | 'parameters'>,
): DeviceEvent | undefined {
  const path = formatPortalAddress(portal)
  switch (event.kind) {
    case 'connection-lost':
      if (parameters.errorRecoveryLevel < 2) return undefined
      return { kind: 'path-lost', path: `${path}, connection ${event.cid}`, reason: event.failure.message }
    case 'connection-recovered':
      return { kind: 'path-restored', path: `${path}, connection ${event.cid}`, reason: 'its tasks go on' }
    case 'session-lost':
      return { kind: 'path-lost', path, reason: event.failure.message }
    case 'session-reinstated':
      return { kind: 'path-restored', path, reason: 'logged in again' }
    default:
      return undefined
  }
}
