import assert from 'node:assert/strict'
import { test } from 'node:test'
import { serialAdd } from '../../base/serial32.ts'
import { CommandWindow } from './command-window.ts'

/** Takes all that can be delivered now. */
function deliverAll<T>(window: CommandWindow<T>): T[] {
  const delivered: T[] = []
  for (let next = window.next(); next !== undefined; next = window.next()) delivered.push(next)
  return delivered
}

test('§4.2.2.1 the window opens at the initial CmdSN with as many places as its depth', () => {
  const window = new CommandWindow<string>(7, 4)
  assert.equal(window.expCmdSN, 7)
  assert.equal(window.maxCmdSN, 10)
  assert.equal(window.active, 0)
})

test('§4.2.2.1 commands are delivered in CmdSN order, whatever order they arrive in', () => {
  const window = new CommandWindow<string>(1, 8)
  assert.ok(window.accept(3, 'c'))
  assert.ok(window.accept(2, 'b'))
  assert.deepEqual(deliverAll(window), [])
  assert.equal(window.expCmdSN, 1, 'no holes in what is acknowledged')
  assert.ok(window.accept(1, 'a'))
  assert.deepEqual(deliverAll(window), ['a', 'b', 'c'])
  assert.equal(window.expCmdSN, 4)
})

test('§4.2.2.1 a command below ExpCmdSN, above MaxCmdSN or twice in the window is ignored', () => {
  const window = new CommandWindow<string>(10, 3)
  assert.equal(window.accept(9, 'before'), false)
  assert.equal(window.accept(13, 'after'), false)
  assert.ok(window.accept(12, 'last place'))
  assert.equal(window.accept(12, 'again'), false)
  assert.ok(window.accept(10, 'first'))
  assert.deepEqual(deliverAll(window), ['first'])
  assert.equal(window.accept(10, 'delivered already'), false)
})

test('§4.2.2.1 numbers wrap around at 2^32', () => {
  const window = new CommandWindow<number>(0xffff_fffe, 4)
  assert.equal(window.maxCmdSN, 1)
  for (const cmdSN of [1, 0, 0xffff_ffff, 0xffff_fffe]) assert.ok(window.accept(cmdSN, cmdSN))
  assert.deepEqual(deliverAll(window), [0xffff_fffe, 0xffff_ffff, 0, 1])
  assert.equal(window.expCmdSN, 2)
  assert.equal(window.maxCmdSN, 1, 'closed')
})

test('§4.2.2.1 the window closes at its depth and reopens as commands complete, MaxCmdSN never going back', () => {
  const window = new CommandWindow<number>(0, 2)
  let maxCmdSN = window.maxCmdSN
  const check = (): void => {
    assert.ok(window.maxCmdSN >= maxCmdSN, 'MaxCmdSN went back')
    maxCmdSN = window.maxCmdSN
  }
  for (const cmdSN of [0, 1]) {
    assert.ok(window.accept(cmdSN, cmdSN))
    deliverAll(window)
    check()
  }
  assert.equal(window.maxCmdSN, window.expCmdSN - 1, 'closed')
  assert.equal(window.accept(2, 2), false)
  window.complete()
  check()
  assert.equal(window.maxCmdSN, window.expCmdSN)
  assert.ok(window.accept(2, 2))
})

test('§11.6.1 a plugged CmdSN counts as received, and takes no place', () => {
  const window = new CommandWindow<string>(5, 4)
  assert.ok(window.accept(6, 'b'))
  assert.ok(window.plug(5))
  assert.deepEqual(deliverAll(window), ['b'])
  assert.equal(window.expCmdSN, 7)
  assert.equal(window.active, 1)
  assert.equal(window.maxCmdSN, 9)
})

test('§11.6.1 a plugged CmdSN is refused when it comes after all', () => {
  const window = new CommandWindow<string>(5, 4)
  assert.ok(window.plug(6))
  assert.equal(window.accept(6, 'late'), false)
  assert.equal(window.plug(6), false)
})

test('§11.6.1 what is outside the window cannot be plugged', () => {
  const window = new CommandWindow<string>(5, 4)
  assert.equal(window.plug(4), false)
  assert.equal(window.plug(9), false)
})

test('completing more commands than were delivered is a bug that is noticed', () => {
  const window = new CommandWindow<string>(5, 4)
  assert.throws(() => window.complete(), /more commands completed/)
})

test('a window has at least one place', () => {
  assert.throws(() => new CommandWindow(0, 0), /at least one place/)
})

test('commands behind a gap are handed out at the end of a session', () => {
  const window = new CommandWindow<string>(1, 4)
  window.accept(2, 'b')
  window.accept(4, 'd')
  assert.deepEqual(window.takeHeld(), ['b', 'd'])
  assert.deepEqual(window.takeHeld(), [])
  assert.ok(window.accept(serialAdd(1, 1), 'b'), 'its number is free again')
})
