import { LogoutReason, LogoutResponseCode, RejectReason } from '../../pdu/codes.ts'
import { decodeLogoutRequest, encodeLogoutResponse, type LogoutRequest } from '../../pdu/logout.ts'
import type { ReceivedPdu } from '../../pdu/received-pdu.ts'
import type { TargetConnection } from './target-connection.ts'
import type { TargetSession } from './target-session.ts'

/** A Logout Request (RFC 7143 §11.14), in its place of the command order. */
export function logOut(connection: TargetConnection, session: TargetSession, pdu: ReceivedPdu): void {
  const request = decodeLogoutRequest(pdu.view, pdu.at)
  if (request.reasonCode > LogoutReason.removeConnectionForRecovery) {
    connection.reject(pdu, RejectReason.invalidPduField, `a logout with the reason ${request.reasonCode}`)
    return
  }
  if (!request.immediate && session.window.accepts(request.cmdSN)) connection.logoutAnnounced(request.cmdSN)
  session.order.inOrder(connection, request.immediate, request.cmdSN, () => run(connection, session, request))
}

function run(connection: TargetConnection, session: TargetSession, request: LogoutRequest): void {
  const { reasonCode, cid, expStatSN } = request
  const closesSession = reasonCode === LogoutReason.closeSession
  let response: number = LogoutResponseCode.closed
  // Terminated before the response; what has been answered already still goes out before it.
  if (closesSession) session.closeFrom(connection)
  else response = session.connections.logOut(reasonCode, cid, connection, expStatSN)
  const isClosed = response === LogoutResponseCode.closed
  const keepsTasks = reasonCode === LogoutReason.removeConnectionForRecovery
  const { defaultTime2Wait, defaultTime2Retain } = session.parameters
  connection.sendControl((view, at, numbering) =>
    encodeLogoutResponse(view, at, {
      ...numbering,
      response,
      initiatorTaskTag: request.initiatorTaskTag,
      time2Wait: defaultTime2Wait,
      time2Retain: isClosed && !keepsTasks ? 0 : defaultTime2Retain,
    }),
  )
  if (isClosed && (closesSession || cid === connection.cid)) connection.loggedOut()
}
