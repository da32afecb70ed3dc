import { TaskManagementFunction } from '../pdu/codes.ts'
import { decodeSense, SenseKey } from '../scsi/sense.ts'
import { ScsiStatus } from '../scsi/status.ts'
import {
  ScsiRequest,
  type ScsiResult,
  type ScsiStatusResult,
} from '../session/initiator-role/scsi-request.ts'
import { Attentions } from './attentions.ts'
import { type Command, type CommandStep, makeCommand, shownBy } from './commands.ts'
import type { EventQueue } from './event-queue.ts'
import type { ModelDisk, ModelRead, ModelWrite } from './model.ts'
import type { InitiatorPlan } from './scenario.ts'
import type { SimInitiator } from './sim-initiator.ts'
import type { Step } from './steps.ts'

/** A command between its issue and its end. */
interface Issued {
  readonly step: CommandStep
  readonly command: Command
  readonly request: ScsiRequest
  readonly lun: number
  readonly order: number
  readonly write: ModelWrite | undefined
  readonly read: ModelRead | undefined
  readonly flush: number | undefined
  /** How often a connection or the session had been lost when it was issued: after that, it may have been sent twice. */
  readonly losses: number
  readonly tries: number
}

export interface WorkloadOptions {
  readonly name: string
  readonly plan: InitiatorPlan
  readonly queue: EventQueue
  readonly models: readonly ModelDisk[]
  /** What is on the medium of a unit's disk. */
  readonly mediumOf: (lun: number) => Uint8Array
  /** Off: every write is durable when it is acknowledged. */
  readonly writeCache: boolean
  readonly blockBytes: number
  readonly violation: (what: string) => void
  /** This initiator has reset logical units: all where undefined. */
  readonly onReset: (lun: number | undefined, since: number) => void
  /** An order for everything that initiators do. */
  readonly takeOrder: () => number
}

const RETRIES = 200
const RETRY_MS = 5
/** After these the target has nothing more to do with the task. */
const SETTLED_CODES: ReadonlySet<string> = new Set([
  'TASK_ABORTED',
  'TASK_TIMEOUT',
  'TARGET_FAILURE',
  'REQUEST_REJECTED',
  'DATA_LOST',
])
const KNOWN_CODES: ReadonlySet<string> = new Set([
  ...SETTLED_CODES,
  'TASK_LOST',
  'SESSION_CLOSED',
  'SESSION_LOST',
  'CONNECTION_LOST',
])

/** Does an initiator's steps, and holds every answer to the model. */
export class Workload {
  readonly name: string
  readonly attentions: Attentions
  readonly #options: WorkloadOptions
  readonly #issued = new Set<Issued>()
  /** Writes of tasks that were given up; they may still happen until the session is opened again. */
  #lost: { readonly model: ModelDisk; readonly write: ModelWrite }[] = []
  #initiator: SimInitiator | undefined
  #next = 0
  #hasWaited = false
  #isWaiting = false
  #others = 0
  #losses = 0
  /** What was begun in an earlier one is not heard of any more. */
  #life = 0
  #wantsLogOut = false
  /** How requests ended, by what. */
  readonly ends = new Map<string, number>()

  constructor(options: WorkloadOptions) {
    this.#options = options
    this.name = options.name
    this.attentions = new Attentions(options.takeOrder)
  }

  /** Everything was done, and nothing is under way. */
  get isDone(): boolean {
    return this.#next >= this.#options.plan.steps.length && this.isIdle
  }

  get isIdle(): boolean {
    return this.#issued.size === 0 && this.#others === 0
  }

  /** It is over because of a step, not of a fault. */
  get wantsLogOut(): boolean {
    return this.#wantsLogOut
  }

  describe(): string {
    const requests = [...this.#issued].slice(0, 5).map(({ command, order }) => `${command.kind} #${order}`)
    return `${this.#issued.size} requests (${requests.join(', ')}), ${this.#others} others, ${this.#options.plan.steps.length - this.#next} steps to go`
  }

  /** A session that takes requests. */
  use(initiator: SimInitiator): void {
    this.#initiator = initiator
    this.#wantsLogOut = false
    for (const lun of this.#options.models.keys())
      this.attentions.expect(lun, 'a login', Infinity, this.#options.takeOrder())
    this.#pump()
  }

  /** The session is a new one at the target: what was under way in the old one will never happen. */
  reinstated(): void {
    for (const { model, write } of this.#lost) model.fail(write)
    this.#lost = []
    this.attentions.forget()
  }

  /** A command whose reassignment is refused, since a reset has ended it meanwhile, is sent once more. */
  connectionLost(): void {
    this.#losses++
    this.attentions.forget()
  }

  /** The session has ended; another may come. */
  sessionEnded(): void {
    this.#initiator = undefined
    this.connectionLost()
  }

  /** The machine stops: nobody waits for the answers any more. */
  vanish(): void {
    for (const issued of this.#issued) this.#lose(issued)
    this.#issued.clear()
    this.#others = 0
    this.#life++
    this.sessionEnded()
  }

  giveUp(): void {
    this.#next = this.#options.plan.steps.length
  }

  // Steps

  #pump(): void {
    const { steps, depth } = this.#options.plan
    while (this.#initiator && !this.#isWaiting && this.#issued.size + this.#others < depth) {
      const step = steps[this.#next]
      if (step === undefined) return
      if (step.waitMs > 0 && !this.#hasWaited) {
        this.#isWaiting = true
        this.#options.queue.after(step.waitMs, () => {
          this.#isWaiting = false
          this.#hasWaited = true
          this.#pump()
        })
        return
      }
      this.#hasWaited = false
      this.#next++
      this.#do(step, this.#initiator)
    }
  }

  #do(step: Step, { session }: SimInitiator): void {
    switch (step.kind) {
      case 'abort': {
        const issued = [...this.#issued][step.nth]
        if (!issued) return
        this.attentions.forget()
        session.abort(issued.request)
        return
      }
      case 'manage':
        this.#manage(step.function, step.lun)
        return
      case 'ping': {
        const data = new Uint8Array(step.lengthBytes).fill(0x55)
        session.ping(this.#other('ping'), data)
        return
      }
      case 'text': {
        const done = this.#other('text')
        session.text([['SendTargets', '']], (_pairs, failure) => done(failure))
        return
      }
      case 'declare':
        session.declareSegment(step.lengthBytes)
        return
      case 'addConnection':
        session.addConnection()
        return
      case 'removeConnection':
        session.removeConnection(step.nth)
        return
      case 'logOut':
        this.#wantsLogOut = true
        session.logOut()
        return
      default:
        this.#issue(step, 0)
    }
  }

  /** Something other than a SCSI command, which ends once. */
  #other(what: string): (failure: { readonly code: string } | undefined) => void {
    this.#others++
    let hasEnded = false
    const life = this.#life
    return (failure) => {
      if (hasEnded) this.#options.violation(`${this.name}: a ${what} ended twice`)
      hasEnded = true
      if (life !== this.#life) return
      this.#others--
      this.#count(failure ? `${what} ${failure.code}` : what)
      this.#pump()
    }
  }

  #manage(fn: number, lun: number): void {
    const since = this.#options.takeOrder()
    this.attentions.forget()
    const done = this.#other(`function ${fn}`)
    this.#initiator?.session.manage(fn, lun, (response, failure) => {
      const isComplete = response === 0
      if (isComplete && fn === TaskManagementFunction.logicalUnitReset) this.#options.onReset(lun, since)
      if (isComplete && fn === TaskManagementFunction.targetWarmReset) this.#options.onReset(undefined, since)
      if (response !== undefined) this.#count(`function ${fn} response ${response}`)
      done(failure)
    })
  }

  // Commands

  #issue(step: CommandStep, tries: number): void {
    const { models } = this.#options
    const model = models[step.lun] as ModelDisk
    const command = makeCommand(step, model, this.#options)
    const { sector, sectors, writes, reads, expects, kind } = command
    let isOver = false
    const issued: Issued = {
      step,
      command,
      lun: step.lun,
      order: this.#options.takeOrder(),
      write: writes === undefined ? undefined : model.beginWrite(sector, sectors, writes),
      read: reads === undefined && expects === undefined ? undefined : model.beginRead(sector, sectors),
      flush: kind === 'flush' ? model.beginFlush() : undefined,
      losses: this.#losses,
      tries,
      request: new ScsiRequest(command.request, (result) => {
        if (isOver) this.#options.violation(`${this.name}: a ${kind} was done twice`)
        isOver = true
        this.#done(issued, model, result)
      }),
    }
    this.#issued.add(issued)
    this.#initiator?.session.execute(issued.request)
    if (isOver) this.#options.violation(`${this.name}: a ${kind} was done before execute() returned`)
  }

  #done(issued: Issued, model: ModelDisk, result: ScsiResult): void {
    // Its machine has stopped meanwhile.
    if (!this.#issued.delete(issued)) return
    if (result.kind === 'failed') this.#failed(issued, model, result.code)
    else this.#answered(issued, model, result)
    this.#pump()
  }

  #failed(issued: Issued, model: ModelDisk, code: string): void {
    this.#count(code)
    this.attentions.forget(issued.lun)
    // A session that never came to be ends with what its login failed with.
    if (!KNOWN_CODES.has(code) && !code.startsWith('LOGIN_')) this.#violation(issued, `failed with ${code}`)
    if (issued.read) model.dropRead(issued.read)
    if (!issued.write) return
    if (SETTLED_CODES.has(code)) model.fail(issued.write)
    else this.#lost.push({ model, write: issued.write })
  }

  #lose(issued: Issued): void {
    const model = this.#options.models[issued.lun] as ModelDisk
    if (issued.read) model.dropRead(issued.read)
    if (issued.write) this.#lost.push({ model, write: issued.write })
  }

  #answered(issued: Issued, model: ModelDisk, result: ScsiStatusResult): void {
    const { status } = result
    this.#count(statusName(status))
    if (status === ScsiStatus.good) this.#good(issued, model, result)
    else if (status === ScsiStatus.checkCondition) this.#checked(issued, model, result)
    else if (status === ScsiStatus.taskAborted) this.#broken(issued, model)
    else {
      this.#refused(issued, model)
      if (status === ScsiStatus.acaActive) this.#manage(TaskManagementFunction.clearAca, issued.lun)
      this.#retry(issued)
    }
  }

  #good(issued: Issued, model: ModelDisk, result: ScsiStatusResult): void {
    const { command, read, write, flush } = issued
    const wrong = this.attentions.succeeded(issued, this.#issued)
    if (wrong !== undefined && command.kind !== 'inquiry') this.#violation(issued, wrong)
    if (command.kind !== 'inquiry' && (result.dataInResidualBytes !== 0 || result.dataOutResidualBytes !== 0))
      this.#violation(issued, `residuals ${result.dataInResidualBytes} and ${result.dataOutResidualBytes}`)
    if (read) this.#checkRead(issued, model, read, result)
    if (write) model.acknowledge(write, command.isDurable)
    if (flush !== undefined) model.endFlush(flush)
    const medium = this.#options.mediumOf(issued.lun)
    const lost =
      flush !== undefined
        ? model.checkDurable(medium)
        : command.isDurable && model.checkDurable(medium, command.sector, command.sectors)
    if (lost) this.#violation(issued, lost)
  }

  #checkRead(issued: Issued, model: ModelDisk, read: ModelRead, result: ScsiStatusResult): void {
    const { command } = issued
    const { dataIn } = command.request
    if (dataIn !== undefined && result.dataInBytes !== dataIn.length)
      this.#violation(issued, `${result.dataInBytes} of ${dataIn.length} bytes`)
    const wrong = model.endRead(read, shownBy(command))
    if (wrong !== undefined) this.#violation(issued, wrong)
  }

  #checked(issued: Issued, model: ModelDisk, result: ScsiStatusResult): void {
    const sense = decodeSense(result.sense)
    if (sense === undefined) {
      this.#violation(issued, 'CHECK CONDITION without sense data')
      this.#refused(issued, model)
      return
    }
    this.#count(`sense ${sense.key.toString(16)}/${sense.additional.toString(16)}`)
    switch (sense.key) {
      case SenseKey.unitAttention:
        this.attentions.heard(issued.lun, this.#options.takeOrder())
        this.#refused(issued, model)
        this.#retry(issued)
        return
      case SenseKey.miscompare:
        this.#refused(issued, model)
        return
      case SenseKey.illegalRequest:
        this.#violation(issued, `ILLEGAL REQUEST ${sense.additional.toString(16)}`)
        this.#refused(issued, model)
        return
      default:
        this.#broken(issued, model)
        if (sense.key === SenseKey.abortedCommand) this.#retry(issued)
    }
  }

  /** It has ended, and perhaps it has written. */
  #broken(issued: Issued, model: ModelDisk): void {
    if (issued.read) model.dropRead(issued.read)
    if (issued.write) model.fail(issued.write)
  }

  /** Nothing was written, unless an earlier copy of the command was executed. */
  #refused(issued: Issued, model: ModelDisk): void {
    if (issued.read) model.dropRead(issued.read)
    if (!issued.write) return
    // One whose Data-In was lost for good is executed again by its session (§7.8).
    const isFirst = issued.losses === this.#losses && issued.read === undefined
    if (isFirst) model.refuse(issued.write)
    else model.fail(issued.write)
  }

  #retry({ step, tries }: Issued): void {
    if (tries >= RETRIES) {
      this.#options.violation(`${this.name}: a ${step.kind} was put off ${tries} times`)
      return
    }
    this.#others++
    const life = this.#life
    this.#options.queue.after(tries === 0 ? 0 : RETRY_MS * tries, () => {
      if (life !== this.#life) return
      this.#others--
      if (this.#initiator) this.#issue(step, tries + 1)
    })
  }

  #violation({ command, order }: Issued, what: string): void {
    const { kind, sector, sectors, lun } = command
    this.#options.violation(
      `${this.name}: ${kind} #${order} of LUN ${lun}, sectors ${sector}+${sectors}: ${what}`,
    )
  }

  #count(what: string): void {
    this.ends.set(what, (this.ends.get(what) ?? 0) + 1)
  }
}

const statusName = (status: number): string =>
  Object.entries(ScsiStatus).find(([, value]) => value === status)?.[0] ?? `status ${status}`
