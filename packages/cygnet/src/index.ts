/** The library: a target server in this process, the same one that `cygnet serve` runs. */
export { CygnetError } from './base/errors.ts'
export type { Address } from './daemon/address.ts'
export type { BlockSize } from './daemon/blocks.ts'
export type { OpenDisk } from './daemon/disks.ts'
export { type ImageOptions, stateOfOptions } from './daemon/config/options-state.ts'
export { Secrets } from './daemon/config/secrets.ts'
export type { DesiredState } from './daemon/config/state.ts'
export { type RunningServer, type ServerOptions, startServer } from './daemon/server.ts'
