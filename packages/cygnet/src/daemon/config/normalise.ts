import { assert } from '../../base/assert.ts'
import { parseIscsiName } from '../../session/iscsi-name.ts'
import { secretSource } from './check-auth.ts'
import { resolvePath } from './named-files.ts'
import type {
  AuthConfig,
  Config,
  CredentialConfig,
  LunConfig,
  MovedConfig,
  PortalConfig,
  RuleConfig,
  TargetConfig,
  TlsConfig,
} from './schema.ts'
import {
  type AccessRuleState,
  type AuthState,
  advertisedAddress,
  type CredentialState,
  type DesiredState,
  defaultAccess,
  formatOf,
  kindOf,
  type LunMappingState,
  type LunState,
  type MovedState,
  type PortalState,
  type TargetState,
  type TlsState,
} from './state.ts'

const ascending = (a: number, b: number): number => a - b

/** The desired state of a file without errors. Relative paths start at `folder`. */
export function stateOf(config: Config, folder: string): DesiredState {
  const { portals, discovery, targets, state, shards, limits, log } = config
  const groups = [...new Set(portals.map(({ group }) => group))].toSorted(ascending)
  return {
    portals: portals.map((portal) => portalOf(portal, folder)),
    discovery: { auth: authOf(discovery.auth, folder) },
    targets: Object.entries(targets)
      .map(([key, target]) => targetOf(key, target, groups, folder))
      .toSorted((a, b) => (a.name < b.name ? -1 : 1)),
    stateFolder: state === undefined ? null : resolvePath(folder, state),
    shards,
    limits,
    log,
  }
}

function portalOf({ listen, advertise, group, tls, moved }: PortalConfig, folder: string): PortalState {
  return {
    listen,
    advertise: (advertise && advertisedAddress(advertise, listen)) ?? null,
    group,
    tls: tls ? tlsOf(tls, folder) : null,
    moved: movedOf(moved),
  }
}

export function tlsOf({ certFile, keyFile, clientCaFile, psk }: TlsConfig, folder: string): TlsState {
  const resolve = (path: string): string => resolvePath(folder, path)
  const hasCertificate = certFile !== undefined && keyFile !== undefined
  return {
    certificate: hasCertificate ? { certFile: resolve(certFile), keyFile: resolve(keyFile) } : null,
    clientCaFile: clientCaFile === undefined ? null : resolve(clientCaFile),
    psk: psk.map((key) => ({ identity: key.identity, keyFile: resolve(key.keyFile) })),
  }
}

const movedOf = (moved: MovedConfig | undefined): MovedState | null => moved ?? null

function targetOf(
  key: string,
  target: TargetConfig,
  allGroups: readonly number[],
  folder: string,
): TargetState {
  const auth = authOf(target.auth, folder)
  const groups = target.groups?.toSorted(ascending) ?? allGroups
  return {
    name: parseIscsiName(key),
    alias: target.alias,
    groups,
    paths: groups.map((group) => target.paths[String(group)] ?? 'optimized'),
    luns: Object.entries(target.luns)
      .map(([lun, settings]) => lunOf(Number(lun), settings, folder))
      .toSorted((a, b) => a.lun - b.lun),
    auth,
    access: target.access?.map(ruleOf) ?? defaultAccess(auth),
    moved: movedOf(target.moved),
    removed: target.removed,
  }
}

function lunOf(
  lun: number,
  { file, memory, size, blockSize, readOnly, ...more }: LunConfig,
  folder: string,
): LunState {
  const { thin, removable, physicalBlockSize, encrypted, spaceWarning } = more
  const traits = {
    thin,
    removable,
    physicalBlockBytes: physicalBlockSize ?? null,
    encrypted,
    spaceWarningBytes: spaceWarning ?? 0,
  }
  const kind = more.kind ?? kindOf(file ?? '')
  const common = { lun, ...formatOf(kind, blockSize, readOnly), traits }
  if (memory !== undefined) return { ...common, medium: { kind: 'memory', sizeBytes: memory } }
  assert(file !== undefined, 'a LUN without file and memory was refused')
  return {
    ...common,
    medium: { kind: 'file', path: resolvePath(folder, file), createSizeBytes: size ?? null },
  }
}

function authOf(auth: AuthConfig | undefined, folder: string): AuthState | null {
  if (!auth) return null
  const { users, mutual, ...settings } = auth
  return {
    users: users.map((user) => credentialOf(user, folder)),
    mutual: mutual ? credentialOf(mutual, folder) : null,
    ...settings,
  }
}

function credentialOf(credential: CredentialConfig, folder: string): CredentialState {
  const secret = secretSource(credential, folder)
  assert(secret !== undefined, 'a user without a secret was refused')
  return { user: credential.user, secret }
}

const ruleOf = ({ initiators, addresses, users, luns, readOnly }: RuleConfig): AccessRuleState => ({
  initiators: initiators ?? 'any',
  addresses: addresses ?? 'any',
  users: users ?? 'any',
  luns: luns === undefined ? 'all' : mappingOf(luns),
  readOnly,
})

function mappingOf(luns: readonly number[] | Readonly<Record<string, number>>): LunMappingState[] {
  const entries = Array.isArray(luns)
    ? luns.map((lun: number) => ({ lun, targetLun: lun }))
    : Object.entries(luns).map(([lun, targetLun]) => ({ lun: Number(lun), targetLun }))
  return entries.toSorted((a, b) => a.lun - b.lun)
}
