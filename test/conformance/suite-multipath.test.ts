/** libiscsi's family MultipathIO, and what its author tried beyond: one unit through two target ports, by two sessions at once. */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { describe, test } from 'node:test'
import type { RawInitiator } from '../support/raw-initiator.ts'
import { Scratch } from '../support/scratch.ts'
import { startSlowTarget } from '../support/slow-target.ts'
import {
  BLOCK_BYTES,
  blocksOf,
  cdb16,
  compareAndWrite,
  heedAttentions,
  inquiry,
  read,
  senseOf,
  startSuiteTarget,
  Status,
  type SuiteTarget,
  suiteTargetAt,
  TARGET,
  write,
} from './suite.test-helper.ts'

const scratch = new Scratch()
const target = await startSuiteTarget(scratch, { 0: { memory: '4M' } })
test.after(() => scratch.end())

/** Of a disk whose reads and writes overlap, as each takes its time. */
async function slowTarget(): Promise<SuiteTarget> {
  let operations = 0
  const sizeBytes = 64 * BLOCK_BYTES
  const delayMs = (): number => ++operations % 4
  const ports = await startSlowTarget(scratch, { target: TARGET, sizeBytes, delayMs, groups: 2 })
  return suiteTargetAt(scratch, ports[0] ?? 0, ports)
}

/** One initiator's two ports, each at a target port. Unit attentions are heard. */
async function twoPaths(to = target): Promise<readonly [RawInitiator, RawInitiator]> {
  const [one = 0, two = 0] = to.ports
  return [await to.logIn({ port: one }), await to.logIn({ port: two })]
}

const LOGICAL_UNIT_RESET = 5
const ABORT_TASK = 1
const FUNCTION_COMPLETE = 0
const TASK_DOES_NOT_EXIST = 1

describe('one unit through two ports', () => {
  test('has one identity', async () => {
    const [first, second] = await twoPaths()
    assert.deepEqual(await inquiry(first, 0x80), await inquiry(second, 0x80))
    const designatorsOfUnit = async (initiator: RawInitiator): Promise<string[]> => {
      const page = await inquiry(initiator, 0x83)
      const found: string[] = []
      for (let at = 4; at < page.length; at += 4 + page.readUInt8(at + 3)) {
        const association = (page.readUInt8(at + 1) >>> 4) & 3
        if (association === 0) found.push(page.toString('hex', at, at + 4 + page.readUInt8(at + 3)))
      }
      return found
    }
    const designators = await designatorsOfUnit(first)
    assert.ok(designators.length > 0)
    assert.deepEqual(await designatorsOfUnit(second), designators)
  })

  test('what is written by one path is read by both', async () => {
    const paths = await twoPaths()
    for (const writer of paths) {
      for (const blocks of [1, 7, 256]) {
        const data = randomBytes(blocks * BLOCK_BYTES)
        await write(writer, blocks, data)
        for (const reader of paths) assert.ok((await read(reader, blocks, blocks)).equals(data))
      }
    }
  })

  test('SAM-5 §7.7 a reset of the unit by one path is heard on the other, once; then both work', async () => {
    const paths = await twoPaths()
    for (const [resetter, other] of [paths, paths.toReversed()]) {
      assert.ok(resetter && other)
      assert.equal(await resetter.taskManagement(LOGICAL_UNIT_RESET), FUNCTION_COMPLETE)
      const heard = await heedAttentions(other)
      assert.ok(heard.length === 1 && [0x2900, 0x2902, 0x2903].includes(heard[0] ?? 0), heard.join())
      await heedAttentions(resetter)
      for (const path of paths) assert.deepEqual(await heedAttentions(path), [])
      await write(resetter, 0, blocksOf(1, 'R'))
      assert.deepEqual(await read(other, 0, 1), blocksOf(1, 'R'))
    }
  })
})

describe('SBC-3 §5.2 COMPARE AND WRITE by two paths', () => {
  test('what one path has changed, the other finds changed', async () => {
    const [first, second] = await twoPaths()
    for (let lba = 0; lba < 64; lba++) {
      await write(first, lba, blocksOf(1, 'A'))
      assert.equal(
        senseOf(await compareAndWrite(second, lba, blocksOf(1, 'A'), blocksOf(1, 'B'))),
        'status 0',
      )
      assert.equal(senseOf(await compareAndWrite(first, lba, blocksOf(1, 'A'), blocksOf(1, 'C'))), 'e/1d00')
      assert.deepEqual(await read(first, lba, 1), blocksOf(1, 'B'))
    }
  })

  /** Which value of a block each path expects, and what it makes of it. */
  const turns = [
    { path: 0, from: 0, to: 1 },
    { path: 1, from: 1, to: 0 },
  ] as const
  const MISCOMPARE = 'e/1d00'

  test('of commands by both at once, each happens as a whole or finds a miscompare', async () => {
    const paths = await twoPaths(await slowTarget())
    await write(paths[0], 0, blocksOf(1, 0))
    const done = [0, 0]
    const all = Array.from({ length: 64 }, () =>
      turns.map(async ({ path, from, to }) => {
        const result = senseOf(await compareAndWrite(paths[path], 0, blocksOf(1, from), blocksOf(1, to)))
        assert.ok(result === 'status 0' || result === MISCOMPARE, result)
        if (result === 'status 0') done[path] = (done[path] ?? 0) + 1
      }),
    )
    await Promise.all(all.flat())
    const [ups = 0, downs = 0] = done
    assert.ok(ups >= 1)
    assert.ok(ups - downs === 0 || ups - downs === 1, `${ups} times from 0 to 1, ${downs} times back`)
    assert.deepEqual(await read(paths[1], 0, 1), blocksOf(1, ups - downs))
  })

  test('of commands that are aborted, each has happened as a whole or not at all', async () => {
    const paths = await twoPaths(await slowTarget())
    await write(paths[0], 0, blocksOf(1, 0))
    let known = 0
    const counts = { aborted: 0, done: 0 }
    for (let round = 0; round < 150; round++) {
      // It waits for its data, or is on its way, or is done when it is aborted.
      const state = (['waiting', 'any', 'done'] as const)[round % 3]
      const turn = turns[known]
      const path = paths[turn?.path ?? 0]
      const other = paths[1 - (turn?.path ?? 0)]
      assert.ok(turn && path && other)
      const itt = path.allocateItt()
      const { cmdSn } = path
      const command = path.command(cdb16(0x89, 0, 1), {
        write: Buffer.concat([blocksOf(1, turn.from), blocksOf(1, turn.to)]),
        itt,
        ...(state === 'waiting' && { immediate: false, onR2t: () => false }),
      })
      command.catch(() => undefined)
      if (state === 'done') await command
      else await new Promise(setImmediate)
      const response = await path.taskManagement(ABORT_TASK, { referencedItt: itt, refCmdSn: cmdSn })
      const isAborted = response === FUNCTION_COMPLETE
      if (isAborted) counts.aborted++
      else {
        assert.equal(response, TASK_DOES_NOT_EXIST)
        assert.equal(senseOf(await command), 'status 0', 'it was done before')
        counts.done++
      }
      const now = await read(other, 0, 1)
      const value = now[0] ?? -1
      assert.ok(now.equals(blocksOf(1, value)), 'half a block')
      if (isAborted) assert.ok([turn.from, turn.to].some((each) => each === value))
      else assert.equal(value, turn.to)
      if (state === 'waiting') assert.deepEqual([isAborted, value], [true, turn.from])
      known = value
    }
    assert.ok(counts.aborted >= 50 && counts.done >= 50, JSON.stringify(counts))
  })
})

describe('SPC-4 §5.13.11 PREEMPT by two paths', () => {
  const Action = { register: 0, clear: 3, preempt: 4, registerAndIgnore: 6 } as const
  const WRITE_EXCLUSIVE_REGISTRANTS_ONLY = 5
  const KEYS = [0x11n, 0x22n] as const

  const out = async (
    initiator: RawInitiator,
    action: number,
    key: bigint,
    actionKey: bigint,
  ): Promise<string> => {
    const list = Buffer.alloc(24)
    list.writeBigUInt64BE(key, 0)
    list.writeBigUInt64BE(actionKey, 8)
    const cdb = [0x5f, action, WRITE_EXCLUSIVE_REGISTRANTS_ONLY, 0, 0, 0, 0, 0, list.length, 0]
    return senseOf(await initiator.command(cdb, { write: list }))
  }
  const conflict = `status ${Status.reservationConflict}`

  async function keysOf(initiator: RawInitiator): Promise<bigint[]> {
    const { data } = await initiator.command([0x5e, 0, 0, 0, 0, 0, 0, 1, 0, 0], { read: 256 })
    return Array.from({ length: data.readUInt32BE(4) / 8 }, (_, i) => data.readBigUInt64BE(8 + 8 * i))
  }

  test('of two that preempt each other at once, one stays registered, and the other is told', async () => {
    for (let round = 0; round < 20; round++) {
      const paths = await twoPaths()
      for (const [i, path] of paths.entries()) {
        assert.equal(await out(path, Action.registerAndIgnore, 0n, KEYS[i] ?? 0n), 'status 0')
      }
      const results = await Promise.all([
        out(paths[0], Action.preempt, KEYS[0], KEYS[1]),
        out(paths[1], Action.preempt, KEYS[1], KEYS[0]),
      ])
      const winner = results.indexOf('status 0')
      const [won, lost] = [paths[winner], paths[1 - winner]]
      assert.ok(won && lost, results.join())
      // The loser's command finds itself not registered, or hears of it first.
      assert.ok([conflict, '6/2a05'].includes(results[1 - winner] ?? ''), results.join())
      assert.deepEqual(await keysOf(won), [KEYS[winner]])
      if (results[1 - winner] === conflict) assert.deepEqual(await heedAttentions(lost), [0x2a05])
      assert.equal(await out(lost, Action.clear, KEYS[1 - winner] ?? 0n, 0n), conflict)
      assert.equal(await out(won, Action.clear, KEYS[winner] ?? 0n, 0n), 'status 0')
      assert.deepEqual(await keysOf(lost), [])
      for (const path of paths) await path.logout()
    }
  })

  test('one that preempts no key of another is refused, as the other does not stay registered', async () => {
    const [first, second] = await twoPaths()
    assert.equal(await out(first, Action.registerAndIgnore, 0n, KEYS[0]), 'status 0')
    assert.equal(await out(second, Action.registerAndIgnore, 0n, KEYS[1]), 'status 0')
    const results = await Promise.all([
      out(first, Action.preempt, KEYS[0], KEYS[1]),
      out(second, Action.preempt, KEYS[1], 0n),
    ])
    assert.equal(results[0], 'status 0')
    assert.ok(['5/2600', conflict, '6/2a05'].includes(results[1]), results.join())
    await heedAttentions(second)
    assert.equal(await out(first, Action.clear, KEYS[0], 0n), 'status 0')
    assert.deepEqual(await keysOf(second), [])
  })
})
