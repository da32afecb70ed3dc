import assert from 'node:assert/strict'
import { test } from 'node:test'
import { firstFailure } from './first-failure.ts'

const failingTo = (failure: Error): AsyncDisposable => ({
  [Symbol.asyncDispose]: () => Promise.reject(failure),
})

test('of a failure and those of closing what was open, the first is told', async () => {
  const first = new Error('the disk is gone')
  const run = async (): Promise<void> => {
    await using _source = failingTo(new Error('close of the source'))
    await using _destination = failingTo(new Error('close of the destination'))
    throw first
  }
  await assert.rejects(run(), (error) => error instanceof SuppressedError && firstFailure(error) === first)
  assert.equal(firstFailure(first), first)
})
