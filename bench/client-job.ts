/** What our own clients, which are processes, are told in their argument and tell in their one line of output, as JSON. */
import type { Load } from './cases.ts'

export interface ClientJob {
  readonly load: Load
  readonly warmUpSeconds: number
  readonly seconds: number
  /** The process that serves, whose processor time is measured. */
  readonly servedPid: number
  /** Where the load begins, and where it is between that and the end of the disk. */
  readonly warmUpBytes: number
  readonly diskBytes: number
  /** `iscsi://…`, or the port of the floor. */
  readonly url: string
  /** Where every second session goes, if elsewhere. */
  readonly secondUrl?: string
  readonly connections: number
  /** The certificate of who is to be trusted, for TLS. */
  readonly caFile?: string
}

export interface ClientReport {
  readonly requests: number
  readonly bytes: number
  readonly seconds: number
  readonly latencyMs: { readonly p50: number; readonly p99: number; readonly p999: number }
  readonly clientCpuUs: number
  readonly servedCpuUs: number
}
