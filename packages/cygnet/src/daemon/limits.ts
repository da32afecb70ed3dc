import { defaultTargetLimits, type TargetLimits } from '../session/limits.ts'
import { defaultThrottleLimits, type LoginThrottleLimits } from '../target/login-throttle.ts'
import type { BackoffState, LimitsState } from './config/limits.ts'

export const targetLimitsOf = (limits: LimitsState): TargetLimits => ({
  ...defaultTargetLimits,
  loginTimeoutMs: limits.loginTimeoutSeconds * 1000,
  textBytes: limits.textBytes,
  maxConnections: limits.connectionsPerSession,
  errorRecoveryLevel: limits.errorRecoveryLevel,
  time2Wait: limits.time2WaitSeconds,
  time2Retain: limits.time2RetainSeconds,
})

export const throttleOf = (backoff: BackoffState): LoginThrottleLimits => ({
  freeFailures: backoff.freeFailures,
  firstDelayMs: backoff.firstDelaySeconds * 1000,
  maxDelayMs: backoff.maxDelaySeconds * 1000,
  forgetAfterMs: defaultThrottleLimits.forgetAfterMs,
  addresses: backoff.addresses,
})
