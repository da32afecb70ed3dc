/**
 * What a test holds against `recorded.json`: processor time of the target for one request, as a multiple of the floor's in
 * the same process, and the memory that one request allocates. A fixed number of requests comes in batches, so that
 * target and floor have the same to do however busy the machine is.
 */
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import { connect as connectTcp, type Socket } from 'node:net'
import { fileURLToPath } from 'node:url'
import { connect, type ScsiDisk } from '../packages/cygnet/src/initiator.ts'
import { exitOf, type Scratch } from '../test/support/scratch.ts'
import { encodeGreeting, exchangeOf, MessageCounter, MessageWriter } from './floor.ts'
import type { GuardTarget, Taken } from './guard-target.ts'

export const guardedPatterns = ['read', 'write'] as const
export type GuardedPattern = (typeof guardedPatterns)[number]

export interface Guards {
  /** Target CPU over floor CPU, for one request. */
  readonly cpuOverFloor: Readonly<Record<GuardedPattern, number>>
  /** On the heap and in buffers of the target's process, for one request. */
  readonly allocatedBytes: Readonly<Record<GuardedPattern, number>>
}

const file = fileURLToPath(new URL('recorded.json', import.meta.url))
export const recordedGuards = (): Guards => JSON.parse(readFileSync(file, 'utf8')) as Guards
export const recordGuards = (guards: Guards): void =>
  writeFileSync(file, `${JSON.stringify(guards, undefined, 2)}\n`)

const BLOCK_BYTES = 4096
/** Requests of one batch. */
const DEPTH = 32
/** Batches before anything is measured: until Node has compiled what runs. */
const WARM_UP_BATCHES = 2500
const BATCHES = 300
const ROUNDS = 5
/** MiB for new objects: no collection of garbage is due while a measurement lasts. */
const NEW_SPACE_MIB = 256

type Batch = () => Promise<unknown>

export async function measureGuards(scratch: Scratch): Promise<Guards> {
  const child = startTarget(scratch)
  const [{ url, floorPort }] = (await once(child, 'message')) as [GuardTarget]
  await using disk = await connect(url)
  const cpuOverFloor = { read: 0, write: 0 }
  const allocatedBytes = { read: 0, write: 0 }
  for (const pattern of guardedPatterns) {
    /* oxlint-disable no-await-in-loop -- in turn */
    const ours = batchOf(disk, pattern)
    const theirs = await floorBatch(scratch, floorPort, pattern)
    for (const batch of [ours, theirs]) await repeat(batch, WARM_UP_BATCHES)
    // What disturbs a process only ever adds to what it takes: the least of the rounds counts.
    let [least, floor] = [nothingYet, nothingYet]
    for (let round = 0; round < ROUNDS; round++) {
      least = lesser(least, await taken(child, ours))
      floor = lesser(floor, await taken(child, theirs))
    }
    /* oxlint-enable no-await-in-loop */
    cpuOverFloor[pattern] = Number((least.cpuUs / floor.cpuUs).toPrecision(3))
    allocatedBytes[pattern] = Math.round(least.bytes / (BATCHES * DEPTH))
  }
  return { cpuOverFloor, allocatedBytes }
}

interface Least {
  readonly cpuUs: number
  readonly bytes: number
}

const nothingYet: Least = { cpuUs: Infinity, bytes: Infinity }

const lesser = (one: Least, other: Least): Least => ({
  cpuUs: Math.min(one.cpuUs, other.cpuUs),
  bytes: Math.min(one.bytes, other.bytes),
})

function startTarget(scratch: Scratch): ChildProcess {
  const script = fileURLToPath(new URL('guard-target.ts', import.meta.url))
  const space = [`--max-semi-space-size=${NEW_SPACE_MIB}`, `--min-semi-space-size=${NEW_SPACE_MIB}`]
  const child = fork(script, {
    execArgv: ['--expose-gc', ...space],
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  })
  scratch.defer(() => {
    child.kill('SIGKILL')
    return exitOf(child)
  })
  return child
}

/** What the target's process takes for all batches of one round. */
async function taken(child: ChildProcess, batch: Batch): Promise<Least> {
  await ask(child, 'begin')
  await repeat(batch, BATCHES)
  const { cpuUs, heapBytes, bufferBytes, collections } = (await ask(child, 'end')) as Taken
  // What was collected is not counted any more: such a round says nothing of memory.
  return { cpuUs, bytes: collections === 0 ? heapBytes + bufferBytes : Infinity }
}

async function ask(child: ChildProcess, word: 'begin' | 'end'): Promise<unknown> {
  const answer = once(child, 'message')
  child.send(word)
  const [message] = (await answer) as [unknown]
  return message
}

async function repeat(batch: Batch, times: number): Promise<void> {
  // oxlint-disable-next-line no-await-in-loop -- one after the other
  for (let i = 0; i < times; i++) await batch()
}

/** The same requests, each time it is called, to blocks that do not touch. */
function batchOf(disk: ScsiDisk, pattern: GuardedPattern): Batch {
  const buffers = Array.from({ length: DEPTH }, () => new Uint8Array(BLOCK_BYTES))
  const offset = (index: number): number => index * 2 * BLOCK_BYTES
  return pattern === 'read'
    ? () => Promise.all(buffers.map((into, index) => disk.read(offset(index), into)))
    : () => Promise.all(buffers.map((bytes, index) => disk.write(offset(index), bytes)))
}

/** As many exchanges with the floor, on a connection of its own. */
async function floorBatch(scratch: Scratch, port: number, pattern: GuardedPattern): Promise<Batch> {
  const exchange = exchangeOf({ pattern, blockBytes: BLOCK_BYTES })
  const requests = new MessageWriter(exchange.requestBytes)
  const answers = new MessageCounter(exchange.answerBytes)
  const socket: Socket = connectTcp({ port, host: '127.0.0.1', noDelay: true })
  scratch.defer(() => socket.destroy())
  let answered = 0
  let complete: () => void = () => undefined
  socket.on('data', (bytes) => {
    answered += answers.add(bytes.length)
    if (answered === DEPTH) complete()
  })
  await once(socket, 'connect')
  socket.write(encodeGreeting(exchange))
  return () => {
    answered = 0
    requests.write(socket, DEPTH)
    return new Promise<void>((resolve) => (complete = resolve))
  }
}
