/**
 * What is measured: a table. A case is one load; its contenders are measured in turn, round after round. Within a case,
 * what is compared has the same client, except where the client is what is compared, and with the floor, which no
 * iSCSI client can talk to.
 */

/** Who serves. The floor moves the same bytes through bare Node TCP or TLS, without a protocol. */
export type Served =
  | 'cygnet'
  | 'cygnet-memory'
  | 'cygnet-two'
  | 'cygnet-shards'
  | 'cygnet-tls'
  | 'cygnet-wan'
  | 'tgt'
  | 'istgt'
  | 'floor'
  | 'floor-tls'
  | 'floor-wan'

/** Who asks. `ours` is our initiator in a process of its own that keeps latencies, `cygnet-bench` the command. */
export type Client = 'iscsi-perf' | 'qemu-img' | 'ours' | 'cygnet-bench' | 'floor'

export type Pattern = 'randread' | 'randwrite' | 'read' | 'write' | 'mixed'

export interface Load {
  readonly pattern: Pattern
  readonly blockBytes: number
  /** Requests under way together, in each session. */
  readonly depth: number
  readonly sessions?: number
  /** The file is not in the page cache; the load ends at the end of the disk. */
  readonly isCold?: boolean
  readonly isWan?: boolean
}

export interface Contender {
  readonly name: string
  readonly served: Served
  readonly client: Client
  /** Of one session. */
  readonly connections?: number
  readonly hasDigests?: boolean
}

export interface Case {
  /** Stays the same over the years: plots join what has one name. */
  readonly id: string
  readonly title: string
  readonly unit: 'IOPS' | 'MB/s'
  readonly load: Load
  readonly contenders: readonly Contender[]
  /** Also measured with `--quick`. */
  readonly isQuick?: boolean
}

const KIB = 1024
const small = (pattern: Pattern, depth: number): Load => ({ pattern, blockBytes: 4 * KIB, depth })
const large = (pattern: Pattern, depth: number): Load => ({ pattern, blockBytes: 256 * KIB, depth })

/** Contenders named as what they talk to. */
const each = (client: Client, ...served: readonly Served[]): Contender[] =>
  served.map((name) => ({ name, served: name, client: isFloor(name) ? 'floor' : client }))

export const isFloor = (served: Served): boolean => served.startsWith('floor')

const withDigests: readonly Contender[] = (['cygnet', 'tgt'] as const).flatMap((served): Contender[] => [
  { name: served, served, client: 'ours' },
  { name: `${served} digests`, served, client: 'ours', hasDigests: true },
])
const withConnections: readonly Contender[] = [
  { name: 'cygnet 1 conn', served: 'cygnet', client: 'ours' },
  { name: 'cygnet 4 conn', served: 'cygnet', client: 'ours', connections: 4 },
  { name: 'istgt 4 conn', served: 'istgt', client: 'ours', connections: 4 },
]
const overWan: readonly Contender[] = [
  { name: 'cygnet 1 conn', served: 'cygnet-wan', client: 'ours' },
  { name: 'cygnet 4 conn', served: 'cygnet-wan', client: 'ours', connections: 4 },
  { name: 'floor', served: 'floor-wan', client: 'floor' },
  { name: 'floor 4 conn', served: 'floor-wan', client: 'floor', connections: 4 },
]
const initiators: readonly Contender[] = (['cygnet', 'tgt'] as const).flatMap((served): Contender[] => [
  { name: `cygnet bench > ${served}`, served, client: 'cygnet-bench' },
  { name: `iscsi-perf > ${served}`, served, client: 'iscsi-perf' },
])

export const cases: readonly Case[] = [
  {
    id: 'read-4k-d1',
    title: '4 KiB random read, depth 1',
    unit: 'IOPS',
    load: small('randread', 1),
    contenders: each('iscsi-perf', 'cygnet', 'tgt', 'istgt', 'floor'),
    isQuick: true,
  },
  {
    id: 'read-4k-d8',
    title: '4 KiB random read, depth 8',
    unit: 'IOPS',
    load: small('randread', 8),
    contenders: each('iscsi-perf', 'cygnet', 'tgt', 'istgt'),
  },
  {
    id: 'read-4k-d32',
    title: '4 KiB random read, depth 32',
    unit: 'IOPS',
    load: small('randread', 32),
    contenders: each('iscsi-perf', 'cygnet', 'cygnet-memory', 'tgt', 'istgt', 'floor'),
    isQuick: true,
  },
  {
    id: 'read-4k-d128',
    title: '4 KiB random read, depth 128',
    unit: 'IOPS',
    load: small('randread', 128),
    contenders: each('iscsi-perf', 'cygnet', 'tgt', 'istgt'),
  },
  {
    id: 'write-4k-d1',
    title: '4 KiB scattered write, depth 1',
    unit: 'IOPS',
    load: small('randwrite', 1),
    contenders: each('qemu-img', 'cygnet', 'tgt', 'istgt'),
  },
  {
    id: 'write-4k-d8',
    title: '4 KiB scattered write, depth 8',
    unit: 'IOPS',
    load: small('randwrite', 8),
    contenders: each('qemu-img', 'cygnet', 'tgt', 'istgt'),
  },
  {
    id: 'write-4k-d32',
    title: '4 KiB scattered write, depth 32',
    unit: 'IOPS',
    load: small('randwrite', 32),
    contenders: each('qemu-img', 'cygnet', 'cygnet-memory', 'tgt', 'istgt', 'floor'),
    isQuick: true,
  },
  {
    id: 'write-4k-d128',
    title: '4 KiB scattered write, depth 128',
    unit: 'IOPS',
    load: small('randwrite', 128),
    contenders: each('qemu-img', 'cygnet', 'tgt', 'istgt'),
  },
  {
    id: 'latency-read-4k-d1',
    title: 'Latency of a 4 KiB random read, depth 1',
    unit: 'IOPS',
    load: small('randread', 1),
    contenders: each('ours', 'cygnet', 'tgt', 'istgt'),
    isQuick: true,
  },
  {
    id: 'latency-read-4k-d32',
    title: 'Latency of a 4 KiB random read, depth 32',
    unit: 'IOPS',
    load: small('randread', 32),
    contenders: each('ours', 'cygnet', 'tgt'),
  },
  {
    id: 'latency-write-4k-d1',
    title: 'Latency of a 4 KiB random write, depth 1',
    unit: 'IOPS',
    load: small('randwrite', 1),
    contenders: each('ours', 'cygnet', 'tgt'),
  },
  {
    id: 'latency-write-4k-d32',
    title: 'Latency of a 4 KiB random write, depth 32',
    unit: 'IOPS',
    load: small('randwrite', 32),
    contenders: each('ours', 'cygnet', 'tgt'),
  },
  {
    id: 'mixed-4k-d32',
    title: '4 KiB random, 70 % read, 30 % write, depth 32',
    unit: 'IOPS',
    load: small('mixed', 32),
    contenders: each('ours', 'cygnet', 'tgt', 'istgt'),
  },
  {
    id: 'read-256k',
    title: '256 KiB sequential read, depth 4',
    unit: 'MB/s',
    load: large('read', 4),
    contenders: each('iscsi-perf', 'cygnet', 'cygnet-memory', 'tgt', 'istgt', 'floor'),
    isQuick: true,
  },
  {
    id: 'write-256k',
    title: '256 KiB sequential write, depth 4',
    unit: 'MB/s',
    load: large('write', 4),
    contenders: each('qemu-img', 'cygnet', 'cygnet-memory', 'tgt', 'istgt', 'floor'),
    isQuick: true,
  },
  {
    id: 'digests-read-4k-d32',
    title: 'CRC32C digests: 4 KiB random read, depth 32',
    unit: 'IOPS',
    load: small('randread', 32),
    contenders: withDigests,
  },
  {
    id: 'digests-read-256k',
    title: 'CRC32C digests: 256 KiB sequential read, depth 4',
    unit: 'MB/s',
    load: large('read', 4),
    contenders: withDigests,
    isQuick: true,
  },
  {
    id: 'digests-write-256k',
    title: 'CRC32C digests: 256 KiB sequential write, depth 4',
    unit: 'MB/s',
    load: large('write', 4),
    contenders: withDigests,
  },
  {
    id: 'tls-read-4k-d32',
    title: 'TLS 1.3: 4 KiB random read, depth 32',
    unit: 'IOPS',
    load: small('randread', 32),
    contenders: each('ours', 'cygnet-tls', 'cygnet', 'floor-tls'),
  },
  {
    id: 'tls-read-256k',
    title: 'TLS 1.3: 256 KiB sequential read, depth 4',
    unit: 'MB/s',
    load: large('read', 4),
    contenders: each('ours', 'cygnet-tls', 'cygnet', 'floor-tls'),
    isQuick: true,
  },
  {
    id: 'tls-write-256k',
    title: 'TLS 1.3: 256 KiB sequential write, depth 4',
    unit: 'MB/s',
    load: large('write', 4),
    contenders: each('ours', 'cygnet-tls', 'cygnet', 'floor-tls'),
  },
  {
    id: 'sessions-1',
    title: '4 KiB random read, 1 session × depth 64',
    unit: 'IOPS',
    load: { ...small('randread', 64), sessions: 1 },
    contenders: each('ours', 'cygnet', 'tgt'),
  },
  {
    id: 'two-targets-read-4k-d32',
    title: '4 KiB random read from two targets, 2 sessions × depth 32',
    unit: 'IOPS',
    load: { ...small('randread', 32), sessions: 2 },
    contenders: each('ours', 'cygnet-two', 'cygnet-shards'),
  },
  {
    id: 'sessions-8',
    title: '4 KiB random read, 8 sessions × depth 8',
    unit: 'IOPS',
    load: { ...small('randread', 8), sessions: 8 },
    contenders: each('ours', 'cygnet', 'tgt', 'istgt'),
  },
  {
    id: 'sessions-64',
    title: '4 KiB random read, 64 sessions × depth 1',
    unit: 'IOPS',
    load: { ...small('randread', 1), sessions: 64 },
    contenders: each('ours', 'cygnet', 'tgt'),
  },
  {
    id: 'connections-read-4k-d32',
    title: 'Connections of one session: 4 KiB random read, depth 32',
    unit: 'IOPS',
    load: small('randread', 32),
    contenders: withConnections,
  },
  {
    id: 'connections-read-256k',
    title: 'Connections of one session: 256 KiB sequential read, depth 16',
    unit: 'MB/s',
    load: large('read', 16),
    contenders: withConnections,
  },
  {
    id: 'cold-read-4k-d32',
    title: 'Not in the page cache: 4 KiB random read, depth 32',
    unit: 'IOPS',
    load: { ...small('randread', 32), isCold: true },
    contenders: each('ours', 'cygnet', 'tgt', 'istgt'),
  },
  {
    id: 'cold-read-256k',
    title: 'Not in the page cache: 256 KiB sequential read, depth 4',
    unit: 'MB/s',
    load: { ...large('read', 4), isCold: true },
    contenders: each('ours', 'cygnet', 'tgt', 'istgt'),
  },
  {
    id: 'wan-read-256k',
    title: '50 ms round trip: 256 KiB sequential read, depth 64',
    unit: 'MB/s',
    load: { ...large('read', 64), isWan: true },
    contenders: overWan,
    isQuick: true,
  },
  {
    id: 'wan-write-256k',
    title: '50 ms round trip: 256 KiB sequential write, depth 64',
    unit: 'MB/s',
    load: { ...large('write', 64), isWan: true },
    contenders: overWan,
  },
  {
    id: 'initiator-read-4k-d1',
    title: 'Initiators: 4 KiB random read, depth 1',
    unit: 'IOPS',
    load: small('randread', 1),
    contenders: initiators,
  },
  {
    id: 'initiator-read-4k-d32',
    title: 'Initiators: 4 KiB random read, depth 32',
    unit: 'IOPS',
    load: small('randread', 32),
    contenders: initiators,
    isQuick: true,
  },
  {
    id: 'initiator-read-256k',
    title: 'Initiators: 256 KiB sequential read, depth 4',
    unit: 'MB/s',
    load: large('read', 4),
    contenders: initiators,
  },
]
