import assert from 'node:assert/strict'
import { test } from 'node:test'
import { RangeOrder } from './range-order.ts'

/** Requests that end when they are told to, and what has begun and ended. */
class Requests {
  readonly order = new RangeOrder()
  readonly log: string[] = []
  readonly #ends = new Map<string, () => void>()

  start(name: string, start: number, end: number, isWrite: boolean): void {
    void this.order.run(start, end, isWrite, () => {
      this.log.push(`+${name}`)
      return new Promise<void>((resolve) => this.#ends.set(name, resolve))
    })
  }

  async end(name: string): Promise<void> {
    this.log.push(`-${name}`)
    this.#ends.get(name)?.()
    for (let i = 0; i < 6; i++) await Promise.resolve()
  }
}

test('writes to one range run in the order in which they came', async () => {
  const requests = new Requests()
  requests.start('a', 0, 10, true)
  requests.start('b', 5, 15, true)
  requests.start('c', 9, 10, true)
  await requests.end('a')
  await requests.end('b')
  await requests.end('c')
  assert.deepEqual(requests.log, ['+a', '-a', '+b', '-b', '+c', '-c'])
  assert.equal(requests.order.size, 0)
})

test('reads run together; a write waits for them, and reads after it for the write', async () => {
  const requests = new Requests()
  requests.start('r1', 0, 10, false)
  requests.start('r2', 5, 15, false)
  requests.start('w', 8, 9, true)
  requests.start('r3', 8, 20, false)
  requests.start('far', 9, 10, false)
  assert.deepEqual(requests.log, ['+r1', '+r2', '+far'])
  await requests.end('r1')
  assert.equal(requests.log.includes('+w'), false)
  await requests.end('r2')
  assert.equal(requests.log.at(-1), '+w')
  await requests.end('w')
  assert.equal(requests.log.at(-1), '+r3')
})

test('a request that fails lets the next one go, and idle waits for all', async () => {
  const order = new RangeOrder()
  const failed = order.run(0, 1, true, () => Promise.reject(new Error('medium')))
  let ran = false
  const next = order.run(0, 1, true, async () => {
    await Promise.resolve()
    ran = true
  })
  const idle = order.idle().then(() => ran)
  await assert.rejects(failed, /medium/)
  await next
  assert.equal(await idle, true)
})
