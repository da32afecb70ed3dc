import { assert } from '../base/assert.ts'
import type { PooledBuffer } from '../base/pool.ts'
import { ScsiStatus } from './status.ts'

/** SAM-5 task attributes, as numbered in the iSCSI SCSI Command PDU (RFC 7143 §11.3.1.2). */
export const TaskAttribute = { untagged: 0, simple: 1, ordered: 2, headOfQueue: 3, aca: 4 } as const
export type TaskAttribute = (typeof TaskAttribute)[keyof typeof TaskAttribute]

/** An I_T nexus: one session between an initiator port and a target port. Compared by identity. */
export interface Nexus {
  /** Initiator port name and identifier, `<iSCSI name>,i,0x<ISID>` (RFC 7143 §4.4.1). */
  readonly initiatorPortName: string
  /** Target port name and identifier, `<iSCSI name>,t,0x<TPGT>`. */
  readonly targetPortName: string
  /** Target portal group tag; also the SCSI relative target port identifier. 1..65535. */
  readonly relativeTargetPortId: number
  /** Its writes are refused as on a write-protected medium. */
  readonly readOnly?: boolean
  /** iSCSIProtocolLevel of the session: 2 has the functions of RFC 7144. Default 1. */
  readonly protocolLevel?: number
  /** Every LUN that this nexus may see, ascending. */
  reportLuns(): readonly number[]
  /** It has heard from one unit that its LUNs changed: no other unit need tell it (LUICLR, SPC-5 §7.7.7). */
  lunsChangeHeard?(): void
}

/** The transport's side of a task. Every submitted task ends with exactly one `taskDone`. */
export interface TaskOwner {
  /**
   * The device server accepted the CDB and wants min(`dataOutLengthBytes`, `dataOutLimitBytes`) bytes in `dataOut`;
   * when they are all there the transport calls the logical unit's `resume(task)`. Not called where that is zero bytes.
   */
  taskWantsData(task: ScsiTask): void
  /** Status and sense are final (or `aborted` is set and there is no status to send). */
  taskDone(task: ScsiTask): void
}

const NO_SLICES: readonly Uint8Array[] = []
const NO_SENSE = new Uint8Array(0)
const NO_DATA = new Uint8Array(0)

/** One SCSI command on its way between a transport and a logical unit. */
export class ScsiTask {
  readonly owner: TaskOwner
  readonly nexus: Nexus
  readonly lun: number
  /** Initiator task tag: unique in the nexus while the task lives. */
  readonly tag: number
  readonly attribute: TaskAttribute
  /** 16 bytes, shorter CDBs zero-filled; longer only with an extended CDB. */
  readonly cdb: Uint8Array
  /** Most bytes that the initiator will take: its Data-In buffer. */
  readonly dataInLimitBytes: number
  /** Most bytes that the initiator will send: its Data-Out buffer. */
  readonly dataOutLimitBytes: number
  /** Command priority: 0 where none was given, 1 (most) to 15 (least) (SAM-5 §8.7). */
  readonly priority: number

  /** The logical unit's own: what it knows the task by while it has it. */
  heldAs: object | undefined

  // Set by the logical unit when it accepts the CDB.
  /** What the CDB asks the device to receive; may be more or less than `dataOutLimitBytes`. */
  dataOutLengthBytes = 0

  // Set by the transport before `resume`.
  dataOut: readonly Uint8Array[] = NO_SLICES

  // Set by the logical unit before `taskDone`.
  status: ScsiStatus = ScsiStatus.good
  /** Status qualifier, a retry delay for instance; 0: nothing to say (SAM-5 §5.3.2). 0..0xffff. */
  statusQualifier = 0
  /** Fixed or descriptor format sense data, empty unless `status` is CHECK CONDITION. */
  sense: Uint8Array = NO_SENSE
  /** What the CDB asks the device to send (after its allocation length); for the residual count. */
  dataInLengthBytes = 0
  /** The first min(`dataInLengthBytes`, `dataInLimitBytes`) of these bytes. */
  dataIn: Uint8Array = NO_DATA
  /** The pooled memory behind `dataIn`, where there is any; the transport releases it once sent. */
  dataInBuffer: PooledBuffer | undefined
  /** Ended by task management or the loss of its nexus: no status is sent. */
  aborted = false
  /** A copy manager's own, for the initiator of another command: see `device/copy-run.ts`. */
  isOfCopy = false
  #done = false

  constructor(
    owner: TaskOwner,
    nexus: Nexus,
    lun: number,
    tag: number,
    attribute: TaskAttribute,
    cdb: Uint8Array,
    dataInLimitBytes: number,
    dataOutLimitBytes: number,
    priority = 0,
  ) {
    this.owner = owner
    this.nexus = nexus
    this.lun = lun
    this.tag = tag
    this.attribute = attribute
    this.cdb = cdb
    this.dataInLimitBytes = dataInLimitBytes
    this.dataOutLimitBytes = dataOutLimitBytes
    this.priority = priority
  }

  get isDone(): boolean {
    return this.#done
  }

  /** For the logical unit: hands the task back to its transport. */
  finish(): void {
    assert(!this.#done, 'a task finished twice')
    this.#done = true
    this.owner.taskDone(this)
  }
}
