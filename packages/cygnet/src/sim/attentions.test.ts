import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Attentions } from './attentions.ts'

function setUp() {
  let order = 0
  const takeOrder = (): number => ++order
  const attentions = new Attentions(takeOrder)
  const reset = (): void => attentions.expect(0, 'a reset', takeOrder(), takeOrder())
  const issue = (lun = 0) => ({ lun, order: takeOrder() })
  return { attentions, takeOrder, reset, issue }
}

test('the first command after a reset has to hear of it', () => {
  const { attentions, reset, issue } = setUp()
  const before = issue()
  reset()
  assert.equal(attentions.succeeded(before, []), undefined)
  assert.equal(attentions.succeeded(issue(1), []), undefined, 'another unit')
  assert.match(
    attentions.succeeded(issue(), []) ?? '',
    /LUN 0 succeeded without a unit attention for a reset/,
  )
})

test('who has heard of it may succeed', () => {
  const { attentions, reset, issue, takeOrder } = setUp()
  reset()
  attentions.heard(0, takeOrder())
  assert.equal(attentions.succeeded(issue(), []), undefined)
})

test('who has heard of it before the reset was known to be over has heard of it', () => {
  const { attentions, issue, takeOrder } = setUp()
  const since = takeOrder()
  attentions.heard(0, takeOrder())
  attentions.expect(0, 'a reset', since, takeOrder())
  assert.equal(attentions.succeeded(issue(), []), undefined)
})

test('nothing is concluded where an older command may have brought it, or an answer may be lost', () => {
  const { attentions, reset, issue, takeOrder } = setUp()
  reset()
  const older = issue()
  assert.equal(attentions.succeeded(issue(), [older]), undefined)
  reset()
  attentions.forget()
  assert.equal(attentions.succeeded(issue(), []), undefined)
  const since = takeOrder()
  attentions.forget(0)
  attentions.expect(0, 'a reset', since, takeOrder())
  assert.equal(attentions.succeeded(issue(), []), undefined)
})
