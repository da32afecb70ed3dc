import fs from 'node:fs'
import { dirname } from 'node:path'
import { CygnetError } from '../base/errors.ts'
import type { OpenOptions } from '../store/disk-io.ts'
import type { BlockDeviceFacts } from './disk-io-block-device.ts'
import { blockDeviceFacts } from './disk-io-block-device.ts'
import { probePunchHole, probeSeekHole } from './disk-io-holes.ts'
import type { SystemCalls } from './page-cache-io-calls.ts'

export interface OpenedImage {
  readonly fd: number
  readonly kind: 'file' | 'block-device'
  readonly sizeBytes: number
  readonly blockBytes: number
  readonly canPunchHoles: boolean
  readonly canSeekHoles: boolean
  /** statfs's magic number; 0 for a block device, whose node lies in a file system that says nothing. */
  readonly fileSystemType: number
}

/** Opens or creates an image and finds out what can be done with it. Throws a `CygnetError` that says what to do. */
export function openImage(path: string, options: OpenOptions, calls: SystemCalls | undefined): OpenedImage {
  let fd: number | undefined
  try {
    fd = openOrCreate(path, options)
    const stat = fs.fstatSync(fd)
    return stat.isBlockDevice()
      ? describeBlockDevice(fd, blockDeviceFacts(stat.rdev), options, calls)
      : describeFile(fd, path, stat, options, calls)
  } catch (error) {
    if (fd !== undefined) fs.closeSync(fd)
    throw error instanceof CygnetError ? error : openError(path, error as NodeJS.ErrnoException)
  }
}

function openOrCreate(path: string, options: OpenOptions): number {
  const stat = fs.statSync(path, { throwIfNoEntry: false })
  const { O_RDONLY, O_RDWR, O_EXCL } = fs.constants
  if (stat === undefined) return create(path, options)
  // Looked at before it is opened: opening a pipe would wait for its other end.
  if (!stat.isFile() && !stat.isBlockDevice()) {
    throw new CygnetError(
      'STORE_UNSUITABLE',
      `${path} is neither a file nor a block device: name a disk image`,
    )
  }
  if (options.readOnly) return fs.openSync(path, O_RDONLY)
  // Without O_CREAT and on a block device, O_EXCL means: not while it is mounted or otherwise taken.
  return fs.openSync(path, stat.isBlockDevice() ? O_RDWR | O_EXCL : O_RDWR)
}

function create(path: string, options: OpenOptions): number {
  if (options.createSizeBytes === undefined || options.readOnly) {
    throw new CygnetError(
      'STORE_MISSING',
      `${path} does not exist: check the name, or give a size to create it`,
    )
  }
  const fd = fs.openSync(path, 'wx+')
  try {
    fs.ftruncateSync(fd, options.createSizeBytes)
    // A flush later syncs the file, but not its name.
    fs.fsyncSync(fd)
    const directory = fs.openSync(dirname(path), 'r')
    fs.fsyncSync(directory)
    fs.closeSync(directory)
    return fd
  } catch (error) {
    fs.closeSync(fd)
    fs.unlinkSync(path)
    throw error
  }
}

function describeFile(
  fd: number,
  path: string,
  stat: fs.Stats,
  options: OpenOptions,
  calls: SystemCalls | undefined,
): OpenedImage {
  if (calls) lock(calls, fd, path, options.readOnly)
  return {
    fd,
    kind: 'file',
    sizeBytes: stat.size,
    blockBytes: stat.blksize,
    canPunchHoles:
      calls !== undefined && !options.readOnly && probePunchHole(calls, fd, stat.size, stat.blksize),
    canSeekHoles: calls !== undefined && probeSeekHole(calls, fd, stat.size),
    fileSystemType: fs.statfsSync(path).type,
  }
}

function describeBlockDevice(
  fd: number,
  facts: BlockDeviceFacts | undefined,
  options: OpenOptions,
  calls: SystemCalls | undefined,
): OpenedImage {
  if (facts === undefined) throw new CygnetError('STORE_UNSUITABLE', 'the block device has no medium')
  return {
    fd,
    kind: 'block-device',
    sizeBytes: facts.sizeBytes,
    blockBytes: facts.physicalBlockBytes,
    canPunchHoles: calls !== undefined && !options.readOnly && facts.canZero,
    canSeekHoles: false,
    fileSystemType: 0,
  }
}

/** Of <sys/file.h> and <asm-generic/errno.h>. */
const LOCK_SH = 1
const LOCK_EX = 2
const LOCK_NB = 4
const EWOULDBLOCK = 11

/**
 * One writer or many readers, until the file is closed or the process dies. A file system that has no locks is served
 * without.
 */
function lock(calls: SystemCalls, fd: number, path: string, readOnly: boolean): void {
  const result = calls.flock(fd, (readOnly ? LOCK_SH : LOCK_EX) | LOCK_NB)
  if (result !== 0 && calls.errno() === EWOULDBLOCK) throw inUse(path)
}

const inUse = (path: string, cause?: Error): CygnetError =>
  new CygnetError(
    'STORE_IN_USE',
    `${path} is in use, by another server or a mount: end that first, or serve it read-only in both places`,
    { cause },
  )

function openError(path: string, error: NodeJS.ErrnoException): CygnetError {
  switch (error.code) {
    case 'EBUSY':
      return inUse(path, error)
    case 'EACCES':
    case 'EPERM':
    case 'EROFS':
      return new CygnetError(
        'STORE_NOT_PERMITTED',
        `${path} may not be opened (${error.code}): change its permissions, or serve it read-only`,
        { cause: error },
      )
    default:
      return new CygnetError('STORE_OPEN_FAILED', `${path} cannot be opened: ${error.message}`, {
        cause: error,
      })
  }
}
