/**
 * A target that lies, over TCP, to what users have: `connect()` of the library and the command line. Every lie ends in an error with a
 * stable code, in the time that the limits allow, and with the connection closed; what a read delivers as good is what the disk holds.
 */
import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { describe, test, type TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { inspect } from 'node:util'
import { CygnetError } from '../../packages/cygnet/src/base/errors.ts'
import { connect, type DiskOptions } from '../../packages/cygnet/src/initiator.ts'
import { At, capacity, type Lie, LyingTarget, trueBytes } from '../support/lying-target.ts'
import { Op } from '../support/raw-pdu.ts'
import { run, Scratch } from '../support/scratch.ts'
import { mainScript, until } from '../support/subject.ts'

const READ_BYTES = 4096
/** Well above the sum of the limits below, for a busy machine. */
const PATIENCE_MS = 6000

/** Of this process at its most: Node itself, and the tests. */
const MEMORY_LIMIT_KIB = 400 * 1024

/** For lies that are seen at once, on a busy machine too. */
const patient: Partial<DiskOptions> = { busyLimitMs: 300, reopenLimitMs: 0 }
/** For what only time tells. */
const brief: Partial<DiskOptions> = {
  ...patient,
  taskTimeoutMs: 300,
  limits: { loginTimeoutMs: 400, requestTimeoutMs: 300, taskManagementTimeoutMs: 200, sweepMs: 50 },
}

interface NamedLie extends Lie {
  readonly what: string
  /** Of the error; none where it may be passed over, and what is read is right. */
  readonly code?: string
}

type Tell = NonNullable<Lie['tell']>

/** Changes the PDU with this index in the answer; -1 is the last one. */
const change =
  (index: number, edit: (pdu: Buffer) => unknown): Tell =>
  (honest) => {
    const pdus = honest()
    const pdu = pdus.at(index)
    if (pdu) edit(pdu)
    return pdus
  }
const put = (index: number, field: number, value: number): Tell =>
  change(index, (pdu) => pdu.writeUInt32BE(value, field))
const add = (index: number, field: number, by: number): Tell =>
  change(index, (pdu) => pdu.writeUInt32BE((pdu.readUInt32BE(field) + by) >>> 0, field))
/** Another answer to a command: data with GOOD, or a status. */
const data =
  (bytes: Uint8Array): Tell =>
  (_honest, request, connection) =>
    connection.answer(request, bytes)
const status =
  (value: number, sense?: Uint8Array): Tell =>
  (_honest, { itt }, connection) => [connection.status(itt, value, 0, 0, sense)]
const sense =
  (key: number, additional: number): Tell =>
  (_honest, request, connection) => [connection.refuse(request, key, additional)]
/** So many bytes of the answer. */
const cut =
  (lengthBytes: number): Tell =>
  (honest) => [Buffer.concat(honest()).subarray(0, lengthBytes)]
const r2t =
  (offset: number, lengthBytes: number): Tell =>
  (_honest, { itt }, connection) => [connection.r2t(itt, offset, lengthBytes)]

const garbage = Buffer.from('HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n'.repeat(8))

const loginLies: readonly NamedLie[] = [
  {
    what: 'garbage before anything is asked',
    at: 'connection',
    tell: () => [garbage],
    code: 'LOGIN_PROTOCOL_ERROR',
  },
  {
    what: 'garbage for an answer',
    at: 'security login',
    tell: () => [garbage],
    code: 'LOGIN_PROTOCOL_ERROR',
  },
  {
    what: 'zeroes for an answer',
    at: 'security login',
    tell: () => [Buffer.alloc(4096)],
    code: 'LOGIN_PROTOCOL_ERROR',
  },
  {
    what: 'another ISID',
    at: 'security login',
    tell: put(0, At.isid, 0x40112233),
    code: 'LOGIN_PROTOCOL_ERROR',
  },
  { what: 'another tag', at: 'security login', tell: add(0, At.tag, 1), code: 'LOGIN_PROTOCOL_ERROR' },
  {
    what: 'TSIH 0 at the end',
    at: 'operational login',
    tell: change(0, (pdu) => pdu.fill(0, At.tsih, At.tag)),
    code: 'LOGIN_PROTOCOL_ERROR',
  },
  {
    what: 'a status that there is not',
    at: 'security login',
    tell: change(0, (pdu) => pdu.fill(0xee, 36, 38)),
    code: 'LOGIN_STATUS_UNKNOWN',
  },
  {
    what: 'a redirection to nowhere',
    at: 'security login',
    tell: change(0, (pdu) => pdu.fill(1, 36, 38)),
    code: 'LOGIN_PROTOCOL_ERROR',
  },
  {
    what: 'a stage too far',
    at: 'security login',
    tell: change(0, (pdu) => pdu.writeUInt8(0x83, At.flags)),
    code: 'LOGIN_PROTOCOL_ERROR',
  },
  {
    what: 'a StatSN that is missing',
    at: 'operational login',
    tell: add(0, At.statSn, 1),
    code: 'LOGIN_PROTOCOL_ERROR',
  },
  {
    what: 'a segment of 16 MiB',
    at: 'security login',
    tell: change(0, (pdu) => pdu.fill(0xff, 5, 8)),
    code: 'LOGIN_PROTOCOL_ERROR',
  },
  {
    what: 'text that is none',
    at: 'operational login',
    tell: change(0, (pdu) => pdu.fill(0xff, At.data)),
    code: 'LOGIN_PROTOCOL_ERROR',
  },
  {
    what: 'no values at all',
    at: 'operational login',
    tell: (_honest, request, connection) => [connection.loginResponse(request, Buffer.alloc(0))],
    code: 'LOGIN_PROTOCOL_ERROR',
  },
  {
    what: 'an answer to every request, and no end',
    at: 'operational login',
    tell: change(0, (pdu) => pdu.writeUInt8(0x04, At.flags)),
    code: 'LOGIN_PROTOCOL_ERROR',
  },
  {
    what: 'text without end',
    at: 'operational login',
    tell(_honest, request, connection) {
      const pdu = connection.loginResponse(request, Buffer.alloc(8000, 'x'))
      pdu[At.flags] = 0x44
      return [pdu]
    },
    code: 'LOGIN_PROTOCOL_ERROR',
  },
  { what: 'a SCSI Response', at: 'operational login', tell: status(0), code: 'LOGIN_PROTOCOL_ERROR' },
  {
    what: 'garbage together with the last answer',
    at: 'operational login',
    tell: (honest) => [Buffer.concat([...honest(), garbage])],
    code: 'SESSION_CLOSED',
  },
]

const deviceLies: readonly NamedLie[] = [
  { what: 'no data', at: 'INQUIRY', tell: data(Buffer.alloc(0)), code: 'PROTOCOL_ERROR' },
  { what: 'less than 5 bytes', at: 'INQUIRY', tell: data(Buffer.alloc(4)), code: 'PROTOCOL_ERROR' },
  { what: 'no device', at: 'INQUIRY', tell: data(Buffer.alloc(36, 0x7f)), code: 'NO_DEVICE' },
  {
    what: 'lengths past the end',
    at: 'INQUIRY page',
    tell: data(Buffer.from([0, 0x83, 0xff, 0xff, 1, 3, 0, 0xff])),
  },
  { what: '11 bytes', at: 'READ CAPACITY', tell: data(Buffer.alloc(11)), code: 'PROTOCOL_ERROR' },
  {
    what: '2^64 blocks, or none',
    at: 'READ CAPACITY',
    tell: data(capacity(2n ** 64n - 1n, 512)),
    code: 'NOT_SUPPORTED',
  },
  {
    what: '2^64 - 1 blocks',
    at: 'READ CAPACITY',
    tell: data(capacity(2n ** 64n - 2n, 512)),
    code: 'NOT_SUPPORTED',
  },
  { what: 'blocks of 0 bytes', at: 'READ CAPACITY', tell: data(capacity(255n, 0)), code: 'NOT_SUPPORTED' },
  { what: 'blocks of 3 bytes', at: 'READ CAPACITY', tell: data(capacity(255n, 3)), code: 'NOT_SUPPORTED' },
  {
    what: 'blocks of 2 GiB',
    at: 'READ CAPACITY',
    tell: data(capacity(255n, 2 ** 31)),
    code: 'NOT_SUPPORTED',
  },
  {
    what: 'sense data of odd length',
    at: 'READ CAPACITY',
    tell: status(2, Buffer.from([0x70, 0, 3])),
    code: 'MEDIUM_ERROR',
  },
  {
    what: 'sense data of one byte',
    at: 'READ CAPACITY',
    tell: status(2, Buffer.from([0x72])),
    code: 'DEVICE_ERROR',
  },
  {
    what: 'sense data longer than its segment',
    at: 'READ CAPACITY',
    tell(_honest, { itt }, connection) {
      const pdu = connection.status(itt, 2, 0, 0, Buffer.alloc(18, 0x70))
      pdu.writeUInt16BE(0xffff, At.data)
      return [pdu]
    },
    code: 'PROTOCOL_ERROR',
  },
  {
    what: 'CHECK CONDITION without sense data',
    at: 'TEST UNIT READY',
    tell: status(2),
    code: 'DEVICE_ERROR',
  },
  { what: 'a status that there is not', at: 'TEST UNIT READY', tell: status(0x77), code: 'DEVICE_ERROR' },
  { what: 'UNIT ATTENTION for ever', at: 'any command', tell: sense(6, 0x2900), code: 'DEVICE_ERROR' },
  { what: 'UNIT ATTENTION for ever', at: 'READ', tell: sense(6, 0x2a09), code: 'DEVICE_ERROR' },
  { what: 'BUSY for ever', at: 'any command', tell: status(8), code: 'DEVICE_BUSY' },
  { what: 'BUSY for ever', at: 'READ', tell: status(8), code: 'DEVICE_BUSY' },
  { what: 'becoming ready for ever', at: 'TEST UNIT READY', tell: sense(2, 0x0401), code: 'NOT_READY' },
]

const transferLies: readonly NamedLie[] = [
  { what: 'a DataSN that is missing', at: 'READ', tell: add(2, At.dataSn, 1), code: 'PROTOCOL_ERROR' },
  { what: 'a DataSN twice', at: 'READ', tell: put(2, At.dataSn, 1), code: 'PROTOCOL_ERROR' },
  { what: 'another offset', at: 'READ', tell: add(2, At.offset, 512), code: 'PROTOCOL_ERROR' },
  { what: 'an offset past the end', at: 'READ', tell: put(0, At.offset, 0xfffffe00), code: 'PROTOCOL_ERROR' },
  {
    what: 'more data than asked',
    at: 'READ',
    tell: (_honest, request, connection) => connection.answer(request, trueBytes(0, READ_BYTES + 512), true),
    code: 'PROTOCOL_ERROR',
  },
  {
    what: 'half of the data, and GOOD',
    at: 'READ',
    tell: (...args) => put(-1, At.dataSn, 4)(...args).toSpliced(4, 4),
    code: 'PROTOCOL_ERROR',
  },
  { what: 'no data, and GOOD', at: 'READ', tell: status(0), code: 'PROTOCOL_ERROR' },
  {
    what: 'half of the data, and a residual',
    at: 'READ',
    tell: data(trueBytes(0, READ_BYTES / 2)),
    code: 'PROTOCOL_ERROR',
  },
  {
    what: 'a residual, and all of the data',
    at: 'READ',
    tell: change(-1, (pdu) => {
      pdu[At.flags] = 0x82
      pdu.writeUInt32BE(512, At.last)
    }),
    code: 'PROTOCOL_ERROR',
  },
  {
    what: 'a status that counts more Data-In',
    at: 'READ',
    tell: add(-1, At.dataSn, 1),
    code: 'PROTOCOL_ERROR',
  },
  {
    what: 'a status before its data',
    at: 'READ',
    tell: (honest) => honest().toReversed(),
    code: 'PROTOCOL_ERROR',
  },
  {
    what: 'a status twice',
    at: 'READ',
    tell: (honest) => honest().flatMap((pdu, i, { length }) => (i === length - 1 ? [pdu, pdu] : [pdu])),
  },
  {
    what: 'a status twice, with a number of its own',
    at: 'READ',
    tell: (honest, { itt }, connection) => [...honest(), connection.status(itt, 0, 8)],
  },
  { what: 'a status for no task', at: 'READ', tell: add(-1, At.tag, 77), code: 'TASK_LOST' },
  { what: 'data for no task', at: 'READ', tell: add(0, At.tag, 77), code: 'TASK_LOST' },
  { what: 'a StatSN that is missing', at: 'READ', tell: add(-1, At.statSn, 1), code: 'TASK_LOST' },
  { what: 'a StatSN from before', at: 'READ', tell: add(-1, At.statSn, -1), code: 'TASK_TIMEOUT' },
  {
    what: 'a failure of the target',
    at: 'READ',
    tell: change(-1, (pdu) => pdu.writeUInt8(1, At.response)),
    code: 'TARGET_FAILURE',
  },
  { what: 'an R2T for a read', at: 'READ', tell: r2t(0, READ_BYTES), code: 'PROTOCOL_ERROR' },
  {
    what: 'a PDU that there is not',
    at: 'READ',
    tell: change(0, (pdu) => pdu.writeUInt8(0x3d, 0)),
    code: 'TASK_LOST',
  },
  { what: 'garbage', at: 'READ', tell: () => [garbage], code: 'TASK_LOST' },
  {
    what: 'a Reject of what was not sent',
    at: 'READ',
    tell: (_honest, _request, connection) => [connection.pdu(Op.reject, 0xffffffff, Buffer.alloc(48, 0x01))],
    code: 'TASK_TIMEOUT',
  },
  { what: 'an R2T past the data', at: 'WRITE', tell: r2t(READ_BYTES - 512, 1024), code: 'PROTOCOL_ERROR' },
  { what: 'an R2T far past the data', at: 'WRITE', tell: r2t(0xfffffe00, 512), code: 'PROTOCOL_ERROR' },
  { what: 'an R2T for nothing', at: 'WRITE', tell: r2t(0, 0), code: 'PROTOCOL_ERROR' },
  { what: 'GOOD without taking the data', at: 'WRITE', tell: status(0), code: 'PROTOCOL_ERROR' },
  {
    what: 'a residual, and GOOD',
    at: 'Data-Out',
    tell: (_honest, { itt }, connection) => [connection.status(itt, 0, 0, 512)],
    code: 'PROTOCOL_ERROR',
  },
  {
    what: 'Data-In for a write',
    at: 'Data-Out',
    tell: data(trueBytes(0, READ_BYTES)),
    code: 'PROTOCOL_ERROR',
  },
]

const places: readonly (Pick<NamedLie, 'at' | 'tell'> & { readonly where: string })[] = [
  { where: 'instead of a greeting', at: 'connection' },
  { where: 'at the first login request', at: 'security login' },
  { where: 'in the header of a login response', at: 'security login', tell: cut(20) },
  { where: 'in the middle of the login', at: 'operational login' },
  { where: 'instead of an answer', at: 'INQUIRY' },
  { where: 'instead of an answer', at: 'TEST UNIT READY' },
  { where: 'instead of an answer', at: 'READ CAPACITY' },
  { where: 'instead of an answer', at: 'MODE SENSE' },
  { where: 'instead of data', at: 'READ' },
  { where: 'between Data-In PDUs', at: 'READ', tell: (honest) => honest().slice(0, 3) },
  { where: 'in the middle of a Data-In', at: 'READ', tell: cut(700) },
  { where: 'after the data, before the status', at: 'READ', tell: (honest) => honest().slice(0, -1) },
  { where: 'instead of an R2T', at: 'WRITE' },
  { where: 'after the data', at: 'Data-Out' },
]

const isBeforeLogin = ({ at }: Pick<Lie, 'at'>): boolean => at === 'connection' || at.endsWith('login')
const silences: readonly NamedLie[] = places.map((place) => ({
  ...place,
  what: `silence ${place.where}`,
  afterwards: 'silence',
  code: isBeforeLogin(place) ? 'LOGIN_TIMEOUT' : 'TASK_TIMEOUT',
}))
const closings: readonly NamedLie[] = places.map((place) => ({
  ...place,
  what: `the end ${place.where}`,
  afterwards: 'close',
  code: isBeforeLogin(place) ? 'LOGIN_CONNECTION_LOST' : 'TASK_LOST',
}))

/** Connects, and reads or writes; the error of the first of these that fails. */
async function use(url: string, { at }: Lie, limits: Partial<DiskOptions>): Promise<unknown> {
  try {
    await using disk = await connect(url, limits)
    if (at === 'WRITE' || at === 'Data-Out') await disk.write(0, trueBytes(0, READ_BYTES))
    else assert.deepEqual(await disk.read(0, READ_BYTES), trueBytes(0, READ_BYTES))
    return undefined
  } catch (error) {
    return error
  }
}

/** What `use` ends with, in time. Afterwards no connection may be left. */
async function outcomeOf(t: TestContext, lie: Lie, limits: Partial<DiskOptions>): Promise<unknown> {
  const target = await LyingTarget.start(lie)
  t.after(() => target.stop())
  const hang = sleep(PATIENCE_MS, 'a hang', { ref: false })
  const outcome = await Promise.race([use(target.url, lie, limits), hang])
  assert.ok(await until(() => target.connections === 0, PATIENCE_MS), 'a connection is left')
  return outcome
}

function assertError(error: unknown, code: string): void {
  assert.ok(error instanceof CygnetError, `no error with a code, but ${inspect(error)}`)
  assert.equal(error.code, code, error.message)
}

function lieTests(title: string, lies: readonly NamedLie[]): void {
  describe(title, { concurrency: 6 }, () => {
    for (const lie of lies) {
      const { at, what, code, afterwards } = lie
      const isSlow = afterwards === 'silence' || code === 'TASK_TIMEOUT'
      test(`${at}: ${what}: ${code ?? 'an error, or what is right'}`, async (t) => {
        const outcome = await outcomeOf(t, lie, isSlow ? brief : patient)
        if (code !== undefined) assertError(outcome, code)
        else if (outcome !== undefined) assert.ok(outcome instanceof CygnetError, inspect(outcome))
      })
    }
  })
}

interface CommandLie {
  readonly command: 'info' | 'in' | 'out'
  readonly lie: Omit<NamedLie, 'code'>
  /** What it writes on stderr. */
  readonly says: RegExp
}

const commandLies: readonly CommandLie[] = [
  // The longest first: the login has 15 s.
  {
    command: 'info',
    lie: { what: 'silence', at: 'security login', afterwards: 'silence' },
    says: /did not finish the login/,
  },
  {
    command: 'info',
    lie: { what: 'garbage', at: 'security login', tell: () => [garbage] },
    says: /by the rules of RFC 7143/,
  },
  {
    command: 'info',
    lie: { what: '2^64 - 1 blocks', at: 'READ CAPACITY', tell: data(capacity(2n ** 64n - 2n, 512)) },
    says: /cannot be used/,
  },
  { command: 'info', lie: { what: 'the end', at: 'INQUIRY', afterwards: 'close' }, says: /session was lost/ },
  {
    command: 'out',
    lie: { what: 'a DataSN that is missing', at: 'READ', tell: add(2, At.dataSn, 1) },
    says: /broke the iSCSI protocol/,
  },
  {
    command: 'out',
    lie: { what: 'no data, and GOOD', at: 'READ', tell: status(0) },
    says: /broke the iSCSI protocol/,
  },
  {
    command: 'in',
    lie: { what: 'an R2T past the data', at: 'WRITE', tell: r2t(0xfffffe00, 512) },
    says: /broke the iSCSI protocol/,
  },
  {
    command: 'in',
    lie: { what: 'GOOD without taking the data', at: 'WRITE', tell: status(0) },
    says: /broke the iSCSI protocol/,
  },
]

describe('a target that lies', { concurrency: 2 }, () => {
  describe('to the library', () => {
    lieTests('in the login', loginLies)
    lieTests('about the device', deviceLies)
    lieTests('in transfers', transferLies)
    lieTests('with silence', silences)
    lieTests('and closes the connection', closings)

    test('silence after the login, and commands that may take for ever: a ping notices it', async (t) => {
      const limits = {
        ...brief,
        taskTimeoutMs: 0,
        limits: { ...brief.limits, nopIntervalMs: 200, nopTimeoutMs: 200 },
      }
      assertError(await outcomeOf(t, { at: 'READ', afterwards: 'silence' }, limits), 'TASK_LOST')
    })

    test('one lie, and sessions may be opened again: the read is repeated', async (t) => {
      let told = 0
      const tell: Tell = (honest) => (told++ === 0 ? [garbage] : honest())
      assert.equal(await outcomeOf(t, { at: 'READ', tell }, { ...patient, reopenLimitMs: 5000 }), undefined)
      assert.equal(told, 2)
    })

    test('lies for ever, and sessions may be opened again: an end all the same', async (t) => {
      const limits = { ...patient, reopenLimitMs: 1000 }
      assertError(await outcomeOf(t, { at: 'READ', afterwards: 'close' }, limits), 'SESSION_LOST')
    })
  })

  describe('to the command line', { concurrency: 2 }, () => {
    for (const { command, lie, says } of commandLies)
      test(`cygnet ${command}, ${lie.at}: ${lie.what}`, async (t) => {
        const scratch = new Scratch(t)
        const file = scratch.path('file')
        writeFileSync(file, Buffer.alloc(64 * 1024, 7))
        const target = await LyingTarget.start(lie)
        t.after(() => target.stop())
        const operands = { info: [target.url], in: [file, target.url], out: [target.url, file] }[command]
        const args = [command === 'info' ? 'info' : 'copy', ...operands, '--reopen-limit', '0']
        const { code, stdout, stderr } = await run(process.execPath, [mainScript, ...args], {
          timeoutMs: 40_000,
        })
        assert.deepEqual({ code, stdout }, { code: 1, stdout: '' }, stderr)
        assert.match(stderr, says)
        assert.doesNotMatch(stderr, /^ +at /m)
      })
  })
})

test('none of it took much memory', () => {
  const { maxRSS } = process.resourceUsage()
  assert.ok(maxRSS < MEMORY_LIMIT_KIB, `${maxRSS} KiB`)
})
