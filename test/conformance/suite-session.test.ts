/** libiscsi's families iSCSISendTargets, iSCSINop and iSCSITMF: what a session in its full feature phase answers. */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { describe, test } from 'node:test'
import { decodeTextPairs, NO_TAG, Op, type RawInitiator } from '../support/raw-initiator.ts'
import { Scratch } from '../support/scratch.ts'
import {
  blocksOf,
  cdb16,
  heedAttentions,
  read,
  senseOf,
  startSuiteTarget,
  Status,
  TARGET,
  write,
  WRITE_16,
} from './suite.test-helper.ts'

const scratch = new Scratch()
const target = await startSuiteTarget(scratch, { 0: { memory: '4M' } })
const REQUEST_FINAL = 0x80
const PROTOCOL_ERROR = 4

test.after(() => scratch.end())

describe('Appendix C SendTargets in a normal session', () => {
  const own = [
    ['TargetName', TARGET],
    ...target.ports.map((port, i) => ['TargetAddress', `127.0.0.1:${port},${i + 1}`]),
  ]
  /** As an immediate request, and as one that takes its CmdSN. */
  const ask = async (
    initiator: RawInitiator,
    text: string,
    immediate = true,
  ): Promise<[string, string][]> => {
    const fields = { immediate, word20: NO_TAG }
    const answer = await initiator.request(Op.text, fields, Buffer.from(`${text}\0`))
    assert.deepEqual([answer.opcode, answer.flags], [Op.textResponse, REQUEST_FINAL])
    assert.equal(answer.bhs.readUInt32BE(20), NO_TAG, 'a transfer tag where all is said')
    return decodeTextPairs(answer.data)
  }

  test('nothing and its name are the session’s own target, with every portal and its tag', async () => {
    const initiator = await target.logIn()
    for (const value of ['', TARGET]) {
      for (const immediate of [true, false]) {
        assert.deepEqual(await ask(initiator, `SendTargets=${value}`, immediate), own, value)
      }
    }
  })

  test('a key that is none is not understood, a value that is none is rejected; then the session goes on', async () => {
    const initiator = await target.logIn()
    const answers = {
      'SendTargetsPlease=All': [['SendTargetsPlease', 'NotUnderstood']],
      'SENDTARGETS=All': [['SENDTARGETS', 'NotUnderstood']],
      // The suite wants an answer here; Appendix C has the last word.
      'SendTargets=All': [['SendTargets', 'Reject']],
      'SendTargets=Alle': [['SendTargets', 'Reject']],
      'SendTargets=A': [['SendTargets', 'Reject']],
      'SendTargets=all': [['SendTargets', 'Reject']],
    }
    for (const [text, answer] of Object.entries(answers)) {
      assert.deepEqual(await ask(initiator, text), answer)
    }
    // No key begins with a small letter (§6.1): the request itself is wrong.
    const fields = { immediate: true, itt: initiator.allocateItt(), word20: NO_TAG }
    initiator.send(initiator.bhs(Op.text, fields), Buffer.from('sENDtARGETS=aLL\0'))
    const reject = await initiator.receive()
    assert.deepEqual([reject.opcode, reject.bhs.readUInt8(2)], [Op.reject, PROTOCOL_ERROR])
    assert.equal(reject.data.readUInt32BE(16), fields.itt)
    assert.deepEqual(await ask(initiator, 'SendTargets=iqn.2026-11.dev.example:another'), [])
    assert.deepEqual(await ask(initiator, 'SendTargets='), own)
    assert.deepEqual(await heedAttentions(initiator), [])
  })
})

describe('§11.18 NOP-Out', () => {
  for (const length of [0, 1, 3, 4, 8, 1021, 4096]) {
    test(`a ping with ${length} bytes of data is echoed`, async () => {
      const initiator = await target.logIn()
      const data = randomBytes(length)
      for (const immediate of [true, false]) {
        const answer = await initiator.request(Op.nopOut, { immediate, word20: NO_TAG }, data)
        assert.deepEqual([answer.opcode, answer.bhs.readUInt32BE(20)], [Op.nopIn, NO_TAG])
        assert.deepEqual(answer.data, data)
      }
    })
  }

  test('pings are answered while commands are at work, each with its own data', async () => {
    const initiator = await target.logIn()
    const data = blocksOf(8, 1)
    const writes = Array.from({ length: 8 }, (_, i) =>
      initiator.command(cdb16(WRITE_16, 8 * i, 8), { write: data }),
    )
    const pings = Array.from({ length: 8 }, (_, i) => initiator.ping(Buffer.from(`ping ${i}`)))
    assert.deepEqual(
      (await Promise.all(pings)).map((answer) => answer.data.toString()),
      pings.map((_, i) => `ping ${i}`),
    )
    for (const result of await Promise.all(writes)) assert.equal(senseOf(result), 'status 0')
  })
})

const TaskManagement = { abortTask: 1, logicalUnitReset: 5 } as const
const FUNCTION_COMPLETE = 0
const TASK_DOES_NOT_EXIST = 1
const RESET_ATTENTIONS = [0x2900, 0x2902, 0x2903]
const WRITE_BLOCKS = 8

interface HeldWrite {
  readonly itt: number
  readonly cmdSn: number
  /** Whether there was an answer. */
  isAnswered(): boolean
}

/** A write that the target waits for the data of. */
function holdWrite(initiator: RawInitiator): Promise<HeldWrite> {
  return new Promise((resolve, reject) => {
    const itt = initiator.allocateItt()
    const { cmdSn } = initiator
    let isAnswered = false
    const onR2t = (): boolean => {
      resolve({ itt, cmdSn, isAnswered: () => isAnswered })
      return false
    }
    const options = { write: blocksOf(WRITE_BLOCKS, 0xee), itt, immediate: false, onR2t }
    initiator.command(cdb16(WRITE_16, 0, WRITE_BLOCKS), options).then(() => (isAnswered = true), reject)
  })
}

describe('§11.5 task management of what is at work', () => {
  test('ABORT TASK ends a write: it is not answered, and its blocks are as they were', async () => {
    const initiator = await target.logIn()
    const before = blocksOf(WRITE_BLOCKS, 0x11)
    await write(initiator, 0, before)
    const held = await holdWrite(initiator)
    const abort = { referencedItt: held.itt, refCmdSn: held.cmdSn }
    assert.equal(await initiator.taskManagement(TaskManagement.abortTask, abort), FUNCTION_COMPLETE)
    assert.equal(await initiator.taskManagement(TaskManagement.abortTask, abort), TASK_DOES_NOT_EXIST)
    assert.deepEqual(await read(initiator, 0, WRITE_BLOCKS), before)
    assert.ok(!held.isAnswered())
  })

  test('ABORT TASK of a write that is done finds no task, and the write stays', async () => {
    const initiator = await target.logIn()
    const { cmdSn } = initiator
    const data = blocksOf(WRITE_BLOCKS, 0x22)
    const { itt } = await initiator.command(cdb16(WRITE_16, 0, WRITE_BLOCKS), { write: data })
    const abort = { referencedItt: itt, refCmdSn: cmdSn }
    assert.equal(await initiator.taskManagement(TaskManagement.abortTask, abort), TASK_DOES_NOT_EXIST)
    assert.deepEqual(await read(initiator, 0, WRITE_BLOCKS), data)
  })

  test('LOGICAL UNIT RESET ends a write, is confirmed, and every other nexus hears of it', async () => {
    const [initiator, other] = [await target.logIn(), await target.logIn()]
    const before = blocksOf(WRITE_BLOCKS, 0x33)
    await write(initiator, 0, before)
    const held = await holdWrite(initiator)
    assert.equal(await initiator.taskManagement(TaskManagement.logicalUnitReset), FUNCTION_COMPLETE)
    const heard = await heedAttentions(other)
    assert.ok(heard.length === 1 && RESET_ATTENTIONS.includes(heard[0] ?? 0), heard.join())
    await heedAttentions(initiator)
    assert.deepEqual(await read(other, 0, WRITE_BLOCKS), before)
    assert.deepEqual(await read(initiator, 0, WRITE_BLOCKS), before)
    assert.ok(!held.isAnswered())
  })
})

describe('§11.14 Logout', () => {
  const WRITES = 10

  test('a logout behind writes is confirmed, and what was answered before it is on the disk', async () => {
    for (let round = 0; round < 5; round++) {
      const initiator = await target.logIn()
      const data = blocksOf(WRITE_BLOCKS, round + 1)
      const completed = new Set<number>()
      const writes = Array.from({ length: WRITES }, async (_, i) => {
        const lba = i * WRITE_BLOCKS
        const result = await initiator.command(cdb16(WRITE_16, lba, WRITE_BLOCKS), { write: data })
        assert.equal(result.status, Status.good)
        completed.add(lba)
      })
      await Promise.race(writes)
      assert.equal(await initiator.logout(), 0)
      await Promise.allSettled(writes)

      const again = await target.logIn()
      for (const lba of completed) assert.deepEqual(await read(again, lba, WRITE_BLOCKS), data)
      await again.logout()
    }
  })

  test('a logout while a write waits for its data is confirmed; the write has done nothing', async () => {
    const initiator = await target.logIn()
    const before = blocksOf(WRITE_BLOCKS, 0x44)
    await write(initiator, 0, before)
    const held = await holdWrite(initiator)
    assert.equal(await initiator.logout(), 0)
    assert.ok(!held.isAnswered())
    const again = await target.logIn()
    assert.deepEqual(await read(again, 0, WRITE_BLOCKS), before)
  })
})
