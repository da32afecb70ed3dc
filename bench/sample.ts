/** One measurement: one client against one target, once. */
export interface Sample {
  /** Requests per second. */
  readonly iops: number
  readonly bytesPerSecond: number
  /** Processor time of all threads of a process, user and system, for one request. */
  readonly targetCpuUs: number
  readonly clientCpuUs: number
  /** Most resident memory of the target in this measurement. */
  readonly peakBytes: number
  /** Where the client keeps them. */
  readonly p50Us?: number
  readonly p99Us?: number
  readonly p999Us?: number
}

export type Figure = keyof Sample

export const figures = [
  'iops',
  'bytesPerSecond',
  'targetCpuUs',
  'clientCpuUs',
  'peakBytes',
  'p50Us',
  'p99Us',
  'p999Us',
] as const satisfies readonly Figure[]
