/**
 * tshark as a judge of the wire. Its iSCSI dissector checks CRC32C digests, but passes over bytes that it cannot read without a
 * word; so the PDUs that it found are added up, and must be as many bytes as TCP carried.
 */
import assert from 'node:assert/strict'
import type { TestContext } from 'node:test'
import { peerIsMissing, peerPath } from './peer.ts'
import { exitOf, runOk, type Scratch } from './scratch.ts'
import { until } from './subject.ts'

/** Has no data segment, and tshark tells no length of it. */
const TASK_MANAGEMENT_RESPONSE = 0x22
const LOGIN_OPCODES = new Set([0x03, 0x23])
/** Of those that these tests allow: a data segment of 64 KiB, and what is around it. */
const LONGEST_PDU_BYTES = 66_000

export interface Capture {
  readonly file: string
  /** Ends the capture, with everything up to now in the file. */
  stop(): Promise<void>
}

/** Captures a port on the loopback interface; undefined (the test is marked) where this user may not. */
export async function startCapture(
  t: TestContext,
  scratch: Scratch,
  port: number,
): Promise<Capture | undefined> {
  const file = scratch.path(`port-${port}.pcapng`)
  const args = ['-i', 'lo', '-f', `tcp port ${port}`, '-B', '64', '-w', file]
  const child = scratch.spawn(peerPath('tshark'), args)
  let said = ''
  child.stderr?.setEncoding('utf8').on('data', (text: string) => (said += text))
  const capturing = () => said.includes('Capture started') || /Capturing on/.test(said)
  await until(() => capturing() || child.exitCode !== null, 10_000)
  if (!capturing() || child.exitCode !== null) {
    const remedy = `run as root, or let dumpcap capture: ${said.trim().split('\n').at(-1) ?? ''}`
    peerIsMissing(t, 'tshark with the right to capture', remedy)
    return undefined
  }
  // "Capturing on" comes before the filter is in place, "Capture started" after; not every version says the latter.
  await until(() => said.includes('Capture started'), 1000)
  return {
    file,
    async stop() {
      // The kernel hands packets over in blocks.
      await new Promise((resolve) => setTimeout(resolve, 500))
      child.kill('SIGINT')
      await exitOf(child)
      const dropped = /(\d+) packets? dropped/.exec(said)?.[1] ?? '0'
      assert.equal(dropped, '0', 'packets that the capture lost')
    },
  }
}

/** What one TCP connection carried. */
export interface StreamReport {
  readonly stream: number
  readonly pdus: number
  readonly headerDigests: number
  readonly dataDigests: number
  readonly opcodes: ReadonlySet<number>
}

export interface JudgeOptions {
  /**
   * Connections may end in the middle of a PDU, and there may be Rejects. All have both digests: those on which tshark does not
   * recognise the data digest, which it does or does not by the first data that it sees, are left out.
   */
  readonly isFaulty?: boolean
}

/** Checks a capture whole and describes each of its connections. */
export async function judgeCapture(
  file: string,
  port: number,
  { isFaulty = false }: JudgeOptions = {},
): Promise<StreamReport[]> {
  // Segments that two processors recorded at the same time may stand in the wrong order.
  const settings = ['-o', 'iscsi.bogus_pdu_filter:FALSE', '-o', 'tcp.reassemble_out_of_order:TRUE']
  const read = ['-2', '-r', file, '-d', `tcp.port==${port},iscsi`, ...settings]
  const readAll = async (...args: string[]) =>
    (await runOk(peerPath('tshark'), [...read, ...args], { timeoutMs: 120_000 })).stdout
  const blind = isFaulty ? await streamsWithoutDataDigest(readAll) : []
  const others = blind.map((stream) => ` && tcp.stream!=${stream}`).join('')
  const tshark = (...args: string[]) =>
    readAll(...args.map((arg, index) => (args[index - 1] === '-Y' ? `(${arg})${others}` : arg)))
  const digests = await tshark('-O', 'iscsi', '-Y', 'iscsi')
  const verdicts = [...digests.matchAll(/(Header|Data)Digest: 0x[0-9a-f]+ \((\w+) CRC32/g)]
  const bad = verdicts.filter((verdict) => verdict[2] !== 'Good').map((verdict) => verdict[0])
  assert.deepEqual(bad, [], 'digests that are not good')
  const unread = 'tcp.len>0 && !iscsi && !tcp.reassembled_in && !tcp.analysis.retransmission'
  // Where connections are cut, the last segments of each are not whole PDUs: then only the sum of the bytes tells.
  if (!isFaulty) assert.equal(await tshark('-Y', unread), '', 'segments that are not iSCSI')
  const wrong = `iscsi.opcode.invalid || iscsi.keyvalue.invalid${isFaulty ? '' : ' || iscsi.opcode==0x3f'}`
  assert.equal(await tshark('-Y', wrong), '', 'PDUs of unknown kind, and Rejects')
  await checkMalformed(tshark)

  const fields = [
    'tcp.stream',
    'tcp.srcport',
    'tcp.seq',
    'tcp.len',
    'iscsi.opcode',
    'iscsi.datasegmentlength',
    'iscsi.totalahslength',
    'iscsi.headerdigest32',
    'iscsi.datadigest32',
  ]
  const table = await tshark('-Y', 'tcp.len>0', '-T', 'fields', ...fields.flatMap((field) => ['-e', field]))
  const streams = tally(table, port, isFaulty ? LONGEST_PDU_BYTES : 0)
  const digestFields = streams.reduce(
    (sum, { headerDigests, dataDigests }) => sum + headerDigests + dataDigests,
    0,
  )
  assert.equal(verdicts.length, digestFields, 'every digest has a verdict')
  return streams
}

async function streamsWithoutDataDigest(tshark: (...args: string[]) => Promise<string>): Promise<string[]> {
  const fields = ['-e', 'tcp.stream', '-e', 'iscsi.datadigest32']
  const rows = (await tshark('-Y', 'iscsi', '-T', 'fields', ...fields)).trimEnd().split('\n')
  const streams = Map.groupBy(
    rows.map((row) => row.split('\t')),
    ([stream = '']) => stream,
  )
  return [...streams]
    .filter(([, found]) => found.every(([, digest = '']) => digest === ''))
    .map(([stream]) => stream)
}

/**
 * Nothing is malformed. One thing that tshark calls so is not: data that ends where the initiator's buffer does (Linux first asks for
 * 4 bytes of a VPD page, libiscsi for 64), for it expects the whole page.
 */
async function checkMalformed(tshark: (...args: string[]) => Promise<string>): Promise<void> {
  const rows = async (filter: string, ...fields: string[]): Promise<string[][]> => {
    const table = await tshark('-Y', filter, '-T', 'fields', ...fields.flatMap((field) => ['-e', field]))
    return table
      .split('\n')
      .filter((row) => row !== '')
      .map((row) => row.split('\t'))
  }
  // One frame may hold several PDUs: its fields are lists.
  const commands = await rows(
    'iscsi.opcode==0x01',
    'frame.number',
    'iscsi.scsicommand.expecteddatatransferlength',
  )
  const bufferBytes = new Map(commands.map(([frame, lengths = '']) => [frame, lengths.split(',')]))
  const fields = ['_ws.col.Info', 'frame.number', 'iscsi.request_frame', 'iscsi.datasegmentlength']
  const unexplained = (await rows('_ws.malformed', ...fields)).filter(
    ([info = '', , requests = '', lengths = '']) => {
      const buffers = requests.split(',').flatMap((request) => bufferBytes.get(request) ?? [])
      return (
        !info.includes('Inquiry Response') || !lengths.split(',').some((length) => buffers.includes(length))
      )
    },
  )
  assert.deepEqual(unexplained, [], 'malformed: frame, frame of the request, data segment length')
}

interface Sum extends StreamReport {
  pdus: number
  headerDigests: number
  dataDigests: number
  opcodes: Set<number>
  /** Bytes by direction: [from the initiator, from the target]. */
  tcpBytes: [number, number]
  pduBytes: [number, number]
}

/** Adds up both sides of each connection and compares. */
function tally(table: string, port: number, mayLackBytes: number): StreamReport[] {
  const sums = new Map<number, Sum>()
  for (const row of table.trimEnd().split('\n')) {
    const [stream = '', srcPort = '', sequence = '', tcpLength = '', ...lists] = row.split('\t')
    const [opcodes = [], lengths = [], ahs = [], headerDigests = [], dataDigests = []] = lists.map((list) =>
      list === '' ? [] : list.split(',').map(Number),
    )
    const side = Number(srcPort) === port ? 1 : 0
    const sum: Sum = sums.get(Number(stream)) ?? {
      stream: Number(stream),
      pdus: 0,
      headerDigests: 0,
      dataDigests: 0,
      opcodes: new Set(),
      tcpBytes: [0, 0],
      pduBytes: [0, 0],
    }
    sums.set(sum.stream, sum)
    // Relative sequence numbers begin with 1 behind the SYN, and do not count what was sent twice.
    sum.tcpBytes[side] = Math.max(sum.tcpBytes[side], Number(sequence) - 1 + Number(tcpLength))
    sum.pdus += opcodes.length
    sum.headerDigests += headerDigests.length
    sum.dataDigests += dataDigests.length
    for (const opcode of opcodes) sum.opcodes.add(opcode)
    const withLength = opcodes.filter((opcode) => opcode !== TASK_MANAGEMENT_RESPONSE)
    assert.equal(lengths.length, withLength.length, `a data segment length for each PDU: ${row}`)
    sum.pduBytes[side] += 48 * (opcodes.length - lengths.length)
    for (const [index, length] of lengths.entries()) {
      sum.pduBytes[side] += 48 + (ahs[index] ?? 0) * 4 + ((length + 3) & ~3)
    }
    sum.pduBytes[side] += 4 * (headerDigests.length + dataDigests.length)
  }
  for (const sum of sums.values()) {
    for (const [side, tcpBytes] of sum.tcpBytes.entries()) {
      const lacking = tcpBytes - (sum.pduBytes[side] ?? 0)
      assert.ok(
        lacking >= 0 && lacking <= mayLackBytes,
        `stream ${sum.stream}: bytes in PDUs ${sum.pduBytes.join()}, bytes in TCP ${sum.tcpBytes.join()}`,
      )
    }
    const logins = [...sum.opcodes].filter((opcode) => LOGIN_OPCODES.has(opcode))
    assert.equal(logins.length, 2, `stream ${sum.stream} was captured from its login on`)
  }
  return [...sums.values()]
}
