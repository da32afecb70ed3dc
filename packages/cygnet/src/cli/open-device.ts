import { existsSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import { CygnetError } from '../base/errors.ts'
import type { BlockDevice } from '../initiator/block-device.ts'
import { type ConnectedDisk, connectDisk } from '../initiator/connect.ts'
import { Initiator } from '../initiator/initiator.ts'
import { parseIscsiUrl } from '../initiator/url.ts'
import { connectNbd } from '../runtime/nbd-connect.ts'
import { NodeDiskIO } from '../runtime/disk-io.ts'
import { nodeInitiatorRuntime } from '../runtime/initiator-runtime.ts'
import { loadSystemCalls } from '../runtime/page-cache-io-calls.ts'
import { StoreDevice } from '../runtime/store-device.ts'
import { openFileStore } from '../store/file.ts'
import { type LoginOptions, loginSettings } from './login-options.ts'

/** Options of every command that uses a LUN. */
export interface LunOptions extends LoginOptions {
  readonly connections?: number
  /** Seconds. */
  readonly reopenLimit?: number
  /** Seconds. */
  readonly taskTimeout?: number
  readonly path: readonly string[]
  readonly allPaths?: true
  readonly isid?: Uint8Array
}

/** `iser` is refused in words by whoever reads the URL. */
const isIscsi = (place: string): boolean => /^(iscsi|iser):\/\//i.test(place)
const isNbd = (place: string): boolean => /^nbds?(\+unix)?:\/\//i.test(place)

/** What stands for a file or device: no URL, and not standard input or output. */
export const isPath = (place: string): boolean => place !== '-' && !isIscsi(place) && !isNbd(place)

/** @throws {CygnetError} as `connectDisk` */
export function openLun(
  url: string,
  options: LunOptions,
  more: { readonly readOnly?: boolean; readonly isid?: Uint8Array } = {},
): Promise<ConnectedDisk> {
  if (!isIscsi(url)) {
    throw new CygnetError('URL_INVALID', `"${url}" is not a LUN: write iscsi://HOST/TARGET/LUN.`)
  }
  const runtime = nodeInitiatorRuntime()
  return connectDisk(runtime, new Initiator(runtime), url, {
    ...loginSettings(options, parseIscsiUrl(url).user),
    ...(options.connections !== undefined && { connections: options.connections }),
    ...(options.reopenLimit !== undefined && { reopenLimitMs: options.reopenLimit * 1000 }),
    ...(options.taskTimeout !== undefined && { taskTimeoutMs: options.taskTimeout * 1000 }),
    ...(options.path.length > 0 && { paths: options.path }),
    ...(options.isid && { isid: options.isid }),
    ...(options.allPaths && { paths: 'discover' }),
    ...more,
  })
}

/** Opens what a place names, to read and copy to `destination`. @throws {CygnetError} */
export async function openSource(
  place: string,
  destination: string,
  options: LunOptions,
): Promise<BlockDevice> {
  if (isIscsi(place)) {
    const { isid: _, ...others } = options
    // Two sessions with one ISID would end each other, where both LUNs are of one target.
    return (await openLun(place, isIscsi(destination) ? others : options, { readOnly: true })).disk
  }
  return isNbd(place) ? connectNbd(place) : openFile(place, true)
}

export interface Destination {
  readonly device: BlockDevice
  /** It is new, and zeroes. */
  readonly isBlank: boolean
}

/**
 * Opens what a place names, to write `lengthBytes` (undefined: nobody knows) to. A file is made, or made as long as
 * that; without `keep` it loses what is in it.
 * @throws {CygnetError}
 */
export async function openDestination(
  place: string,
  lengthBytes: number | undefined,
  keep: boolean,
  options: LunOptions,
): Promise<Destination> {
  if (isIscsi(place)) return { device: (await openLun(place, options)).disk, isBlank: false }
  if (isNbd(place)) return { device: await connectNbd(place), isBlank: false }
  const isFile = !existsSync(place) || statSync(place).isFile()
  const isBlank = isFile && !(keep && existsSync(place))
  if (isFile && lengthBytes !== undefined) {
    await checkUnused(place)
    prepareFile(place, lengthBytes, keep)
  }
  return { device: await openFile(place, false), isBlank }
}

/**
 * Before anything of a file is cut off: what a server serves is refused.
 * @throws {CygnetError} STORE_IN_USE, STORE_OPEN_FAILED
 */
export async function checkUnused(path: string): Promise<void> {
  const isEmpty = (statSync(path, { throwIfNoEntry: false })?.size ?? 0) === 0
  if (!isEmpty) await (await openFile(path, false)).close()
}

function prepareFile(path: string, lengthBytes: number, keep: boolean): void {
  try {
    writeFileSync(path, '', { flag: keep ? 'a' : 'w' })
    truncateSync(path, lengthBytes)
  } catch (cause) {
    throw new CygnetError('STORE_OPEN_FAILED', `${path} cannot be written: ${(cause as Error).message}`, {
      cause,
    })
  }
}

function openFile(path: string, readOnly: boolean): Promise<StoreDevice> {
  if (readOnly && !existsSync(path)) {
    const message = `${path} does not exist: check the name, or write a URL.`
    return Promise.reject(new CygnetError('FILE_MISSING', message))
  }
  const { calls } = loadSystemCalls()
  return new Promise((resolve, reject) => {
    openFileStore(new NodeDiskIO(calls), path, { readOnly }, (error, store) => {
      if (store) resolve(new StoreDevice(store, path))
      else reject(error ?? new CygnetError('STORE_OPEN_FAILED', `${path} cannot be opened.`))
    })
  })
}
