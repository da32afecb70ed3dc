import { normalize } from 'node:path'
import { CygnetError } from '../../base/errors.ts'
import { formatAddressRange, parseAddressRange } from '../../target/address-range.ts'
import { type Address, formatAddress, ISCSI_PORT } from '../address.ts'
import type { BlockSize } from '../blocks.ts'
import type { LogLevel } from '../log-level.ts'
import { defaultLimits } from './limits.ts'
import {
  advertisedAddress,
  type DesiredState,
  defaultAccess,
  defaultGroup,
  defaultTraits,
  formatOf,
  kindOf,
  type LunState,
  type MediumState,
  type UnitKind,
} from './state.ts'

export const DEFAULT_TARGET = 'iqn.2026-11.dev.cygnet:disk'
export const DEFAULT_LISTEN: Address = { host: '127.0.0.1', port: ISCSI_PORT }

/** What `cygnet serve IMAGE…` can say, its values read. */
export interface ImageOptions {
  /** Images and block devices, LUN 0 first. */
  readonly images: readonly string[]
  /** What all images are. Without it: discs where their names end in `.iso`, disks else. */
  readonly kind?: UnitKind
  /** Creates missing images with this size; discs are not created. */
  readonly createSizeBytes?: number
  /** Another disk behind the images, in memory. */
  readonly memoryBytes?: number
  readonly listen?: Address
  /** Port 0: the listening one. */
  readonly advertise?: Address
  /** Normalised iSCSI name. */
  readonly targetName?: string
  readonly blockSizeBytes?: BlockSize
  readonly readOnly?: boolean
  /** Address ranges that may log in. Without any: this machine. */
  readonly allow?: readonly string[]
  /** Where disks remember what outlives a restart beside their data. Without it: beside each image. */
  readonly stateFolder?: string
  readonly shards?: number | 'auto'
  readonly logLevel?: LogLevel
}

/**
 * The desired state of `cygnet serve IMAGE…`: the same as that of a file that says as much and leaves the rest to its
 * defaults.
 * @throws {CygnetError} ADVERTISE_PORT, ADDRESS_RANGE_INVALID
 */
export function stateOfOptions(options: ImageOptions): DesiredState {
  const {
    images,
    createSizeBytes = null,
    memoryBytes,
    listen = DEFAULT_LISTEN,
    advertise,
    allow = [],
  } = options
  const { blockSizeBytes = 512, readOnly = false } = options
  const units = images.map((path): Omit<LunState, 'lun' | 'traits'> => {
    const kind = options.kind ?? kindOf(path)
    const medium: MediumState = {
      kind: 'file',
      path: normalize(path),
      createSizeBytes: kind === 'disk' ? createSizeBytes : null,
    }
    return { ...formatOf(kind, blockSizeBytes, readOnly), medium }
  })
  if (memoryBytes !== undefined) {
    const medium: MediumState = { kind: 'memory', sizeBytes: memoryBytes }
    units.push({ ...formatOf('disk', blockSizeBytes, readOnly), medium })
  }
  const addresses = allow.map((range) => formatAddressRange(parseAddressRange(range)))
  return {
    portals: [
      {
        listen,
        advertise: advertise ? fixedAddress(advertise, listen) : null,
        group: defaultGroup,
        tls: null,
        moved: null,
      },
    ],
    discovery: { auth: null },
    targets: [
      {
        name: options.targetName ?? DEFAULT_TARGET,
        alias: '',
        groups: [defaultGroup],
        paths: ['optimized'],
        luns: units.map((unit, lun) => ({ lun, ...unit, traits: defaultTraits })),
        auth: null,
        access:
          addresses.length === 0
            ? defaultAccess(null)
            : [{ initiators: 'any', addresses, users: 'any', luns: 'all', readOnly: false }],
        moved: null,
        removed: false,
      },
    ],
    stateFolder: options.stateFolder === undefined ? null : normalize(options.stateFolder),
    shards: options.shards ?? 1,
    limits: defaultLimits,
    log: { level: options.logLevel ?? 'info' },
  }
}

function fixedAddress(advertise: Address, listen: Address): Address {
  const address = advertisedAddress(advertise, listen)
  if (address) return address
  const message = `Which port should ${formatAddress(advertise)} advertise? Name one, since the listening port is not fixed.`
  throw new CygnetError('ADVERTISE_PORT', message)
}
