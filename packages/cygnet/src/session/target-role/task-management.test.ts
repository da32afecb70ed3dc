import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import {
  TaskManagementFunction as Function,
  TaskManagementResponseCode as Response,
} from '../../pdu/codes.ts'
import { FakeOpcode, fakeCdb, pattern } from './fake-target.test-helper.ts'
import type { Pair } from '../negotiator.ts'
import { TestPeer } from './peer.test-helper.ts'
import { type Answer, asNopIn, asR2T, asReject, asScsi, asTask, names } from '../wire.test-helper.ts'

function loggedIn(
  options: ConstructorParameters<typeof TestPeer>[0] = {},
  more: readonly Pair[] = [],
): TestPeer {
  const peer = new TestPeer(options)
  peer.logIn(more)
  return peer
}

const write = (
  peer: TestPeer,
  lengthBytes: number,
  more: Parameters<TestPeer['command']>[1] = {},
): Answer[] =>
  peer.command(fakeCdb(FakeOpcode.write, lengthBytes), {
    write: true,
    expectedDataTransferLength: lengthBytes,
    ...more,
  })

function answerR2T(peer: TestPeer, answer: Answer | undefined): Answer[] {
  const r2t = asR2T(answer)
  return peer.dataOut(
    {
      initiatorTaskTag: r2t.initiatorTaskTag,
      targetTransferTag: r2t.targetTransferTag,
      bufferOffset: r2t.bufferOffset,
    },
    pattern(r2t.desiredDataTransferLength),
  )
}

const abort = (peer: TestPeer, tag: number, refCmdSN: number): Answer[] =>
  peer.taskManagement({ function: Function.abortTask, referencedTaskTag: tag, refCmdSN })

/** All but the NOP-Ins that only tell of places in the command window (§11.4.11). */
const others = (answers: readonly Answer[]): Answer[] => answers.filter(({ name }) => name !== 'NOP-In')

function assertResponse(answers: readonly Answer[], response: number): void {
  assert.deepEqual(names(answers), ['Task Management Function Response'])
  assert.equal(asTask(answers[0]).response, response)
}

/** The whole window is open, nothing is left in memory, and commands are carried out. */
function assertAllFree(peer: TestPeer): void {
  const window = peer.connection.session?.window
  assert.equal(window?.active, 0, 'a place of the command window is lost')
  assert.equal(peer.connection.session?.taskCount, 0)
  assert.equal(asScsi(peer.command(fakeCdb(FakeOpcode.none)).at(-1)).status, 0)
  peer.assertAtRest()
  peer.finish()
}

describe('§11.5.1 ABORT TASK', () => {
  test('of a task held for its order: function complete, and it is never carried out', () => {
    const peer = loggedIn()
    peer.cmdSN = 2
    peer.command(fakeCdb(FakeOpcode.none), { initiatorTaskTag: 50 })
    assertResponse(abort(peer, 50, 2), Response.functionComplete)
    assert.deepEqual(names(peer.command(fakeCdb(FakeOpcode.none), { cmdSN: 1 })), ['SCSI Response'])
    assert.equal(peer.target.submitted.length, 1)
    assert.notEqual(peer.target.submitted[0]?.tag, 50)
    assertAllFree(peer)
  })

  test('of a task held for its order whose data has not come: late data is taken quietly', () => {
    const peer = loggedIn({}, [['InitialR2T', 'No']])
    peer.cmdSN = 2
    write(peer, 512, { initiatorTaskTag: 50, final: false })
    abort(peer, 50, 2)
    assert.deepEqual(names(peer.command(fakeCdb(FakeOpcode.none), { cmdSN: 1 })), ['SCSI Response'])
    assert.deepEqual(others(peer.dataOut({ initiatorTaskTag: 50 }, pattern(512))), [])
    assertAllFree(peer)
  })

  test('of a task that waits for memory', () => {
    const peer = loggedIn({ limits: { sessionBufferBytes: 4096 } })
    peer.target.hold = true
    const expected = { read: true, expectedDataTransferLength: 4096 }
    peer.command(fakeCdb(FakeOpcode.read, 0, 4096), expected)
    peer.command(fakeCdb(FakeOpcode.read, 0, 4096), { ...expected, initiatorTaskTag: 50 })
    assertResponse(abort(peer, 50, 2), Response.functionComplete)
    peer.target.finishHeld()
    assert.deepEqual(names(peer.poll()), ['SCSI Data-In'])
    assert.equal(peer.target.submitted.length, 1)
    peer.target.hold = false
    assertAllFree(peer)
  })

  test('of a task that waits for data: function complete, and its late data is taken quietly', () => {
    const peer = loggedIn()
    const [r2t] = write(peer, 512, { initiatorTaskTag: 50 })
    assertResponse(abort(peer, 50, 1), Response.functionComplete)
    const [nop] = answerR2T(peer, r2t)
    assert.equal(asNopIn(nop).targetTransferTag, 0xffff_ffff, '§11.4.11 a place is free again')
    assertAllFree(peer)
  })

  test('of a task whose data never comes: its place and its tag are free again after a while', () => {
    const peer = loggedIn({ limits: { commandDepth: 2, drainTimeoutMs: 500 } })
    for (let round = 0; round < 5; round++) {
      const cmdSN = peer.cmdSN
      write(peer, 512, { initiatorTaskTag: 50 })
      assertResponse(abort(peer, 50, cmdSN), Response.functionComplete)
      peer.advance(500)
    }
    assert.equal((peer.maxCmdSN ?? 0) - (peer.expCmdSN ?? 0) + 1, 2, '§11.4.11 the initiator knows')
    assertAllFree(peer)
  })

  test('of a task in I/O: the response waits for the I/O, and the task has none', () => {
    const peer = loggedIn()
    peer.target.hold = true
    const expected = { read: true, expectedDataTransferLength: 512, initiatorTaskTag: 50 }
    peer.command(fakeCdb(FakeOpcode.read, 0, 512), expected)
    assert.deepEqual(abort(peer, 50, 1), [])
    peer.target.finishHeld()
    assertResponse(peer.poll(), Response.functionComplete)
    peer.target.hold = false
    assertAllFree(peer)
  })

  test('twice of the same task: the second one finds it in the act', () => {
    const peer = loggedIn()
    peer.target.hold = true
    peer.command(fakeCdb(FakeOpcode.none), { initiatorTaskTag: 50 })
    assert.deepEqual(abort(peer, 50, 1), [])
    assertResponse(abort(peer, 50, 1), Response.taskDoesNotExist)
    peer.target.finishHeld()
    assertResponse(peer.poll(), Response.functionComplete)
    peer.target.hold = false
    assertAllFree(peer)
  })

  test('of a task that is done: it does not exist, and its response was sent before', () => {
    const peer = loggedIn()
    peer.command(fakeCdb(FakeOpcode.none), { initiatorTaskTag: 50 })
    assertResponse(abort(peer, 50, 1), Response.taskDoesNotExist)
    assertAllFree(peer)
  })

  test('§7.8 of a task that has failed and waits for the last of its data: it is not answered any more', () => {
    const peer = loggedIn({}, [['InitialR2T', 'No']])
    const more = { write: true, final: false, expectedDataTransferLength: 512, initiatorTaskTag: 50 }
    assert.deepEqual(peer.command(fakeCdb(FakeOpcode.fail), more), [])
    assertResponse(abort(peer, 50, 1), Response.functionComplete)
    assert.deepEqual(others(peer.dataOut({ initiatorTaskTag: 50 }, pattern(512))), [])
    assertAllFree(peer)
  })

  test('§11.6.1 of a command that never came: its CmdSN counts as received', () => {
    const peer = loggedIn()
    peer.cmdSN = 2
    assert.deepEqual(peer.command(fakeCdb(FakeOpcode.none)), [])
    const answers = abort(peer, 50, 1)
    assert.deepEqual(names(answers), ['Task Management Function Response', 'SCSI Response'])
    assert.equal(asTask(answers[0]).response, Response.functionComplete)
    assertAllFree(peer)
  })

  test('§11.5.5 of an immediate task that is done: the next CmdSN is not taken for its', () => {
    const peer = loggedIn()
    peer.command(fakeCdb(FakeOpcode.none), { initiatorTaskTag: 50, immediate: true, cmdSN: 1 })
    assertResponse(abort(peer, 50, peer.cmdSN), Response.taskDoesNotExist)
    assert.deepEqual(names(peer.command(fakeCdb(FakeOpcode.none))), ['SCSI Response'])
    assertAllFree(peer)
  })

  test('§11.6.1 a RefCmdSN outside the window names no task', () => {
    const peer = loggedIn()
    assertResponse(abort(peer, 50, 0), Response.taskDoesNotExist)
    assertResponse(abort(peer, 50, 1000), Response.taskDoesNotExist)
    assertAllFree(peer)
  })

  test('a task management function cannot be aborted', () => {
    const peer = loggedIn()
    peer.target.hold = true
    peer.command(fakeCdb(FakeOpcode.none))
    assert.deepEqual(peer.taskManagement({ function: Function.logicalUnitReset, initiatorTaskTag: 60 }), [])
    assertResponse(abort(peer, 60, 1), Response.functionRejected)
    peer.target.finishHeld()
    assertResponse(peer.poll(), Response.functionComplete)
    assertResponse(abort(peer, 60, 1), Response.taskDoesNotExist)
    peer.target.hold = false
    assertAllFree(peer)
  })

  test('the tag of an aborted task may be used again at once', () => {
    const peer = loggedIn()
    write(peer, 512, { initiatorTaskTag: 50 })
    abort(peer, 50, 1)
    const again = peer.command(fakeCdb(FakeOpcode.none), { initiatorTaskTag: 50 })
    assert.deepEqual(names(again), ['SCSI Response'])
    assertAllFree(peer)
  })
})

describe('§11.5.1 functions for many tasks', () => {
  for (const name of [
    'abortTaskSet',
    'clearTaskSet',
    'logicalUnitReset',
    'targetWarmReset',
    'targetColdReset',
  ] as const) {
    test(`${name} answers when all tasks have ended, and none of them is answered after it`, () => {
      const peer = loggedIn()
      peer.target.hold = true
      for (let i = 0; i < 3; i++) peer.command(fakeCdb(FakeOpcode.none))
      assert.deepEqual(peer.taskManagement({ function: Function[name] }), [])
      peer.target.finishHeld(2)
      assert.deepEqual(others(peer.poll()), [])
      peer.target.finishHeld()
      assertResponse(peer.poll(), Response.functionComplete)
      assert.deepEqual(
        peer.target.managed.map((managed) => managed.taskManagementFunction),
        [Function[name]],
      )
      peer.target.hold = false
      assertAllFree(peer)
    })
  }

  test('§4.2.3.3 the response waits for the data that R2Ts have asked for', () => {
    const peer = loggedIn()
    const r2ts = [...write(peer, 512), ...write(peer, 512)]
    assert.deepEqual(peer.taskManagement({ function: Function.abortTaskSet }), [])
    assert.deepEqual(others(answerR2T(peer, r2ts[0])), [])
    assertResponse(answerR2T(peer, r2ts[1]), Response.functionComplete)
    assertAllFree(peer)
  })

  test('§4.2.3.3 data that never comes is not waited for longer than the drain timeout', () => {
    const peer = loggedIn({ limits: { drainTimeoutMs: 500 } })
    write(peer, 512)
    assert.deepEqual(peer.taskManagement({ function: Function.logicalUnitReset }), [])
    assert.deepEqual(peer.advance(499), [])
    assertResponse(peer.advance(1), Response.functionComplete)
    assertAllFree(peer)
  })

  test('§11.5.1 a task that has failed and waits for the last of its data has no response after that', () => {
    const peer = loggedIn({}, [['InitialR2T', 'No']])
    const more = { write: true, final: false, expectedDataTransferLength: 512, initiatorTaskTag: 50 }
    assert.deepEqual(peer.command(fakeCdb(FakeOpcode.fail), more), [])
    assert.deepEqual(peer.taskManagement({ function: Function.logicalUnitReset }), [])
    const answers = peer.dataOut({ initiatorTaskTag: 50 }, pattern(512))
    assertResponse(others(answers), Response.functionComplete)
    assertAllFree(peer)
  })

  test('tasks that wait for memory end as well', () => {
    const peer = loggedIn({ limits: { sessionBufferBytes: 1024 } })
    peer.target.hold = true
    const expected = { read: true, expectedDataTransferLength: 1024 }
    for (let i = 0; i < 3; i++) peer.command(fakeCdb(FakeOpcode.read, 0, 1024), expected)
    assert.equal(peer.target.submitted.length, 1)
    assert.deepEqual(others(peer.taskManagement({ function: Function.abortTaskSet })), [])
    peer.target.finishHeld()
    assertResponse(peer.poll(), Response.functionComplete)
    assert.equal(peer.target.submitted.length, 1)
    peer.target.hold = false
    assertAllFree(peer)
  })

  test('§4.2.3.3 an immediate function waits for the commands with lower CmdSNs, and ends them', () => {
    for (const name of ['abortTaskSet', 'clearTaskSet', 'logicalUnitReset'] as const) {
      const peer = loggedIn()
      peer.target.hold = true
      peer.cmdSN = 2
      peer.command(fakeCdb(FakeOpcode.none))
      peer.command(fakeCdb(FakeOpcode.none))
      assert.deepEqual(peer.taskManagement({ function: Function[name] }), [], name)
      const answers = peer.command(fakeCdb(FakeOpcode.none), { cmdSN: 1 })
      peer.target.finishHeld()
      assertResponse([...answers, ...peer.poll()], Response.functionComplete)
      peer.target.hold = false
      assertAllFree(peer)
    }
  })

  test('§4.2.3.3 a target reset counts missing commands with lower CmdSNs as received', () => {
    const peer = loggedIn()
    peer.cmdSN = 3
    peer.command(fakeCdb(FakeOpcode.none))
    assertResponse(peer.taskManagement({ function: Function.targetWarmReset }), Response.functionComplete)
    assert.equal(peer.target.submitted.length, 0)
    assertAllFree(peer)
  })

  test('a function that is not immediate waits for its turn', () => {
    const peer = loggedIn()
    peer.cmdSN = 2
    assert.deepEqual(peer.taskManagement({ function: Function.abortTaskSet, immediate: false }), [])
    const answers = peer.command(fakeCdb(FakeOpcode.none), { cmdSN: 1 })
    assert.deepEqual(names(answers), ['SCSI Response', 'Task Management Function Response'])
    assertAllFree(peer)
  })

  test('§11.6.1 a LUN that does not exist', () => {
    const peer = loggedIn()
    for (const name of ['abortTaskSet', 'logicalUnitReset'] as const) {
      assertResponse(
        peer.taskManagement({ function: Function[name], lun: 5n << 48n }),
        Response.lunDoesNotExist,
      )
    }
    assertAllFree(peer)
  })
})

describe('§11.6.1 what is not done', () => {
  for (const [code, response] of [
    [Function.taskReassign, Response.taskReassignmentNotSupported],
    [0, Response.functionNotSupported],
    [Function.queryTask, Response.functionNotSupported],
    [127, Response.functionNotSupported],
  ] as const) {
    test(`function ${code} is answered with ${response}`, () => {
      const peer = loggedIn()
      assertResponse(peer.taskManagement({ function: code }), response)
      assertAllFree(peer)
    })
  }
})

describe('§11.17.1 what is rejected', () => {
  const waiting = { function: Function.logicalUnitReset }

  test('a tag that another request has', () => {
    const peer = loggedIn()
    peer.target.hold = true
    peer.command(fakeCdb(FakeOpcode.none), { initiatorTaskTag: 50 })
    assert.deepEqual(peer.taskManagement({ ...waiting, initiatorTaskTag: 60 }), [])
    for (const initiatorTaskTag of [50, 60]) {
      assert.equal(asReject(peer.taskManagement({ ...waiting, initiatorTaskTag })[0]).reason, 0x07)
    }
    peer.finish()
  })

  test('more functions than may wait at a time', () => {
    const peer = loggedIn({ limits: { immediateDepth: 3 } })
    write(peer, 512)
    for (let i = 0; i < 3; i++) assert.deepEqual(peer.taskManagement(waiting), [])
    assert.equal(asReject(peer.taskManagement(waiting)[0]).reason, 0x06)
    assert.equal(others(peer.advance(3000)).length, 3)
    assertResponse(peer.taskManagement(waiting), Response.functionComplete)
    assertAllFree(peer)
  })
})

test('a connection that ends during a task management function leaves nothing behind', () => {
  const peer = loggedIn()
  write(peer, 512)
  peer.target.hold = true
  peer.command(fakeCdb(FakeOpcode.none))
  peer.taskManagement({ function: Function.logicalUnitReset })
  peer.finish()
  assert.deepEqual(peer.target.closures, ['connection-lost'])
})
