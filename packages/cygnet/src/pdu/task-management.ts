import { bitIf, FINAL_BIT, IMMEDIATE_BIT, putReserved, putStart } from './bhs.ts'
import { Opcode } from './opcodes.ts'

/*
 * Task Management Function Request (RFC 7143 §11.5); DataSegmentLength is 0
 *
 *    0|.|I| 0x02      |1| Function    | Reserved                      |
 *    4|TotalAHSLength | DataSegmentLength                             |
 *    8| Logical Unit Number (LUN) or Reserved, 8 bytes                |
 *   16| Initiator Task Tag                                            |
 *   20| Referenced Task Tag or 0xffffffff                             |
 *   24| CmdSN                                                         |
 *   28| ExpStatSN                                                     |
 *   32| RefCmdSN or Reserved                                          |
 *   36| ExpDataSN or Reserved                                         |
 *   40| Reserved, 8 bytes                                             |
 */
export interface TaskManagementRequest {
  immediate: boolean
  /** `TaskManagementFunction`, 0..127. */
  function: number
  lun: bigint
  initiatorTaskTag: number
  referencedTaskTag: number
  cmdSN: number
  expStatSN: number
  refCmdSN: number
  expDataSN: number
}

export function decodeTaskManagementRequest(view: DataView, at: number): TaskManagementRequest {
  return {
    immediate: (view.getUint8(at) & IMMEDIATE_BIT) !== 0,
    function: view.getUint8(at + 1) & 0x7f,
    lun: view.getBigUint64(at + 8),
    initiatorTaskTag: view.getUint32(at + 16),
    referencedTaskTag: view.getUint32(at + 20),
    cmdSN: view.getUint32(at + 24),
    expStatSN: view.getUint32(at + 28),
    refCmdSN: view.getUint32(at + 32),
    expDataSN: view.getUint32(at + 36),
  }
}

export function encodeTaskManagementRequest(view: DataView, at: number, pdu: TaskManagementRequest): void {
  const opcode = Opcode.taskManagementRequest | bitIf(pdu.immediate, IMMEDIATE_BIT)
  putStart(view, at, opcode, FINAL_BIT | pdu.function, 0, 0)
  view.setBigUint64(at + 8, pdu.lun)
  view.setUint32(at + 16, pdu.initiatorTaskTag)
  view.setUint32(at + 20, pdu.referencedTaskTag)
  view.setUint32(at + 24, pdu.cmdSN)
  view.setUint32(at + 28, pdu.expStatSN)
  view.setUint32(at + 32, pdu.refCmdSN)
  view.setUint32(at + 36, pdu.expDataSN)
  putReserved(view, at + 40, 2)
}

/*
 * Task Management Function Response (RFC 7143 §11.6); DataSegmentLength is 0
 *
 *    0|.|.| 0x22      |1| Reserved    | Response      | Reserved      |
 *    4|TotalAHSLength | DataSegmentLength                             |
 *    8| Reserved, 8 bytes                                             |
 *   16| Initiator Task Tag                                            |
 *   20| Reserved                                                      |
 *   24| StatSN                                                        |
 *   28| ExpCmdSN                                                      |
 *   32| MaxCmdSN                                                      |
 *   36| Reserved, 12 bytes                                            |
 */
export interface TaskManagementResponse {
  /** `TaskManagementResponseCode`. */
  response: number
  initiatorTaskTag: number
  statSN: number
  expCmdSN: number
  maxCmdSN: number
}

export function decodeTaskManagementResponse(view: DataView, at: number): TaskManagementResponse {
  return {
    response: view.getUint8(at + 2),
    initiatorTaskTag: view.getUint32(at + 16),
    statSN: view.getUint32(at + 24),
    expCmdSN: view.getUint32(at + 28),
    maxCmdSN: view.getUint32(at + 32),
  }
}

export function encodeTaskManagementResponse(view: DataView, at: number, pdu: TaskManagementResponse): void {
  putStart(view, at, Opcode.taskManagementResponse, FINAL_BIT, pdu.response << 8, 0)
  putReserved(view, at + 8, 2)
  view.setUint32(at + 16, pdu.initiatorTaskTag)
  view.setUint32(at + 20, 0)
  view.setUint32(at + 24, pdu.statSN)
  view.setUint32(at + 28, pdu.expCmdSN)
  view.setUint32(at + 32, pdu.maxCmdSN)
  putReserved(view, at + 36, 3)
}
