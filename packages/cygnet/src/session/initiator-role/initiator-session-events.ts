import type { InitiatorConnection } from './initiator-connection.ts'
import type { Closure, Notice } from './initiator-events.ts'
import type { LoginRedirection } from './initiator-login.ts'
import type { LoginFailure } from './initiator-login-failure.ts'
import type { PortalAddress } from '../portal-address.ts'

/** What a session tells its host. */
export type SessionEvent =
  /**
   * The host opens a byte stream for the connection: to `portal` where the target sent us there, else to wherever the
   * session was to be opened. Then it calls `connection.transportOpened(now)` or `connection.transportClosed(reason, now)`.
   */
  | {
      readonly kind: 'connect'
      readonly connection: InitiatorConnection
      readonly portal: PortalAddress | undefined
    }
  /** The leading connection is logged in for the first time: requests go out from here on. */
  | { readonly kind: 'logged-in' }
  | { readonly kind: 'connection-added'; readonly cid: number }
  /** Gone, and not because we wanted so. What follows depends on the policy. */
  | { readonly kind: 'connection-lost'; readonly cid: number; readonly failure: Closure }
  /** Logged out as `removeConnection` asked. */
  | { readonly kind: 'connection-removed'; readonly cid: number }
  /** Its tasks go on, there or on other connections (ErrorRecoveryLevel 2). */
  | { readonly kind: 'connection-recovered'; readonly cid: number }
  /** All connections are gone; the session is being opened again. */
  | { readonly kind: 'session-lost'; readonly failure: Closure }
  | { readonly kind: 'session-reinstated' }
  | { readonly kind: 'notice'; readonly notice: Notice }
  /**
   * The last event. Without a failure: we logged out. `login`: what the login failed with, or where the target sent us,
   * where the session never came to be.
   */
  | {
      readonly kind: 'ended'
      readonly failure: Closure | undefined
      readonly login: LoginFailure | LoginRedirection | undefined
    }
