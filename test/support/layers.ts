/**
 * The import rules of the package, as one table. A file imports from its own folder and from lower layers; never
 * upward, and never from another folder of its own layer. `oxlint.config.ts` turns the table into lint rules, so a
 * wrong import fails `npm run lint`.
 */
export interface Folder {
  readonly name: string
  readonly layer: number
  /** Lower folders that this one must not know although its layer would allow it. */
  readonly never?: readonly string[]
  /** Folders of the same layer that this one may use. */
  readonly also?: readonly string[]
  /** Folders in it that must not know each other. Their tests may. */
  readonly apart?: readonly string[]
  /** May import npm packages. */
  readonly packages: boolean
  /** Is Node's side of the ports: may use Node's modules, the machine's clock and timers, randomness and `process`. */
  readonly usesNode: boolean
}

export const folders: readonly Folder[] = [
  { name: 'base', layer: 0, packages: false, usesNode: false },
  { name: 'pdu', layer: 1, packages: false, usesNode: false },
  { name: 'scsi', layer: 1, packages: false, usesNode: false },
  {
    name: 'session',
    layer: 2,
    apart: ['target-role', 'initiator-role'],
    packages: false,
    usesNode: false,
  },
  { name: 'store', layer: 2, packages: true, usesNode: false },
  { name: 'device', layer: 3, never: ['pdu', 'session'], packages: false, usesNode: false },
  { name: 'target', layer: 4, packages: true, usesNode: false },
  { name: 'initiator', layer: 4, never: ['store', 'device'], packages: true, usesNode: false },
  {
    name: 'nbd',
    layer: 4,
    also: ['initiator'],
    never: ['store', 'device'],
    packages: false,
    usesNode: false,
  },
  { name: 'runtime', layer: 5, packages: true, usesNode: true },
  { name: 'sim', layer: 5, packages: false, usesNode: false },
  { name: 'daemon', layer: 6, packages: true, usesNode: true },
  { name: 'cli', layer: 6, also: ['daemon'], packages: true, usesNode: true },
]

/** Paths below `src/` that may use one module of Node although their folder may not. */
export const moduleExceptions: readonly { readonly path: string; readonly module: string }[] = [
  { path: 'session/auth', module: 'node:crypto' },
  { path: 'store', module: 'node:crypto' },
]

/** What the sans-IO folders are handed instead of taking: the time, timers, randomness, the process, the network. */
export const nodeGlobals = [
  'Date',
  'performance',
  'setTimeout',
  'setInterval',
  'setImmediate',
  'clearTimeout',
  'clearInterval',
  'clearImmediate',
  'queueMicrotask',
  'process',
  'crypto',
  'fetch',
  'WebSocket',
  'global',
  'globalThis',
] as const

/** The folders that a file of `folder` must not import. */
export function forbiddenFolders(folder: Folder): string[] {
  return folders
    .filter((other) => other !== folder && !folder.also?.includes(other.name))
    .filter((other) => other.layer >= folder.layer || folder.never?.includes(other.name))
    .map((other) => other.name)
}
