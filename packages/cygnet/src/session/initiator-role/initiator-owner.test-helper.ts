import type { ReceivedPdu } from '../../pdu/received-pdu.ts'
import { opcodeName } from '../../pdu/opcodes.ts'
import type { ConnectionOwner } from './connection-owner.ts'
import type { InitiatorConnection } from './initiator-connection.ts'
import type { InitiatorEvent } from './initiator-events.ts'
import type { SessionParameters } from '../parameters.ts'
import { RecoveryCounters } from '../recovery-counters.ts'
import { RequestWindow } from './request-window.ts'

/** A session with one connection and no SCSI: remembers what the connection tells it. */
export class RecordingOwner implements ConnectionOwner {
  readonly window = new RequestWindow(1)
  readonly counters = new RecoveryCounters()
  readonly events: InitiatorEvent[]
  parameters: SessionParameters | undefined
  #tag = 1

  constructor(events: InitiatorEvent[]) {
    this.events = events
  }

  takeTag(): number {
    return this.#tag++
  }

  connectionEvent(connection: InitiatorConnection, event: InitiatorEvent): void {
    if (event.kind === 'logged-in') this.parameters = connection.sessionParameters
    if (event.kind === 'logout-wanted') connection.logOut()
    else this.events.push(event)
  }

  taskPdu(connection: InitiatorConnection, _pdu: ReceivedPdu, opcode: number): void {
    connection.broken(`an unexpected ${opcodeName(opcode)}`)
  }

  taskPduLost(): void {}
  taskPduRejected(): void {}
  tasksTerminated(): void {}
  windowMoved(): void {}
  wake(): void {}
}
