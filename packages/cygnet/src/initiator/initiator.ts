import { CygnetError } from '../base/errors.ts'
import { parseIscsiName, peerName } from '../session/iscsi-name.ts'
import type { PortalAddress } from '../session/portal-address.ts'
import type { DiscoveredTarget } from './discovered-target.ts'
import { logIn } from './open-session.ts'
import { type InitiatorOptions, parsePortal, type SessionOptions } from './options.ts'
import type { InitiatorRuntime } from './ports.ts'
import type { Session } from './session.ts'
import { withUrl } from './url.ts'

/** IANA's port for iSCSI (RFC 7143 §14). */
const DEFAULT_PORT = 3260

/** The initiator's public functions, on a runtime. */
export class Initiator {
  readonly #runtime: InitiatorRuntime

  constructor(runtime: InitiatorRuntime) {
    this.#runtime = runtime
  }

  /**
   * What targets are there: a discovery session at a portal, with SendTargets=All (RFC 7143 Appendix C). `address`:
   * HOST, HOST:PORT or [IPv6]:PORT.
   * @throws {CygnetError} ADDRESS_INVALID, DISCOVERY_REFUSED, DISCOVERY_ANSWER_INVALID, or as `openSession`
   */
  async discover(
    address: string | PortalAddress,
    options: InitiatorOptions = {},
  ): Promise<DiscoveredTarget[]> {
    const portal = typeof address === 'string' ? parsePortal(address) : address
    await using session = await logIn(this.#runtime, { type: 'Discovery', target: '', portal }, options)
    return await session.sendTargets('All')
  }

  /**
   * Logs in to a target. A URL is `iscsi://[user[%secret]@]host[:port]/iqn[/lun]`, see `parseIscsiUrl`; what `options`
   * say goes before what the URL says.
   * @throws {CygnetError} LOGIN_… (each login status has a code of its own), CONNECT_FAILED, CONNECT_TIMEOUT,
   * CONNECTION_LOST, REDIRECTION_LIMIT, REDIRECTION_LOOP, NAME_INVALID, URL_INVALID, CREDENTIALS_INVALID
   */
  async openSession(where: string | SessionOptions, options: Partial<SessionOptions> = {}): Promise<Session> {
    const all = withUrl(where, options)
    const { port = DEFAULT_PORT } = all
    if (!Number.isInteger(port) || port < 1 || port > 65_535) {
      throw new CygnetError('ADDRESS_INVALID', `The port must be a number from 1 to 65535, not ${port}.`)
    }
    return logIn(
      this.#runtime,
      {
        type: 'Normal',
        target: peerName(all.target) ?? parseIscsiName(all.target),
        portal: { host: all.host, port },
      },
      all,
    )
  }
}
