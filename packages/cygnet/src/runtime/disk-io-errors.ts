import type { StoreError, StoreFailure } from '../store/backing-store.ts'

/** What the system's error codes mean to a disk; all others count as 'medium'. */
const FAILURES: Readonly<Record<string, StoreFailure>> = {
  ENOSPC: 'no-space',
  EDQUOT: 'no-space',
  EFBIG: 'no-space',
  EROFS: 'read-only',
  EPERM: 'read-only',
  EACCES: 'read-only',
  EBADF: 'gone',
  ENODEV: 'gone',
  ENXIO: 'gone',
  ENOMEDIUM: 'gone',
  ESTALE: 'gone',
  ESHUTDOWN: 'gone',
  ENOTCONN: 'gone',
}

export function storeErrorOf(cause: NodeJS.ErrnoException, offset?: number): StoreError {
  const failure = FAILURES[cause.code ?? ''] ?? 'medium'
  return offset === undefined ? { failure, cause } : { failure, offset, cause }
}

/** The system asks to try again: nothing is wrong with the medium. */
export const isTransient = (error: NodeJS.ErrnoException): boolean =>
  error.code === 'EINTR' || error.code === 'EAGAIN'
