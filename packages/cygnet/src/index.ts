/** The library: a target server in this process, the same one that `cygnet serve` runs. */
export { CygnetError } from './base/errors.ts'
export type { Address } from './daemon/address.ts'
export type { BlockSize } from './daemon/blocks.ts'
export type { DiskOptions, OpenDisk } from './daemon/disks.ts'
export { type RunningServer, type ServerOptions, startServer } from './daemon/server.ts'
