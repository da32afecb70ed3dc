import { RecoveryCounters } from '../session/recovery-counters.ts'

/** Their values, without methods: what can be sent to another process. */
export type CounterValues = Omit<RecoveryCounters, 'countReject'>

/** The sum of the counters of several processes. */
export function sumOfCounters(parts: readonly CounterValues[]): RecoveryCounters {
  const sum = new RecoveryCounters()
  for (const part of parts) {
    for (const [index, count] of part.rejects.entries())
      sum.rejects[index] = (sum.rejects[index] ?? 0) + count
    for (const name of counterNames) sum[name] += part[name]
  }
  return sum
}

type CounterName = {
  [Name in keyof RecoveryCounters]: RecoveryCounters[Name] extends number ? Name : never
}[keyof RecoveryCounters]

const counterNames = Object.entries(new RecoveryCounters())
  .filter(([, value]) => typeof value === 'number')
  .map(([name]) => name as CounterName)
