import type { WideningSession } from './additional-connections.ts'
import type { RecoveringSession } from './connection-recovery.ts'
import type { ConnectionOwner } from './connection-owner.ts'
import type { TaskSession } from './initiator-tasks.ts'
import type { ReopeningSession } from './session-recovery.ts'
import type { ManagingSession } from './task-management-requests.ts'
import type { ReplayingSession } from './task-replay.ts'

/** Everything that the parts of an initiator's session need of it. */
export type SessionParts = ConnectionOwner &
  TaskSession &
  ManagingSession &
  RecoveringSession &
  ReopeningSession &
  ReplayingSession &
  WideningSession
