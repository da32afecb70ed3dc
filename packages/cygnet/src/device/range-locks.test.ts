import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import * as fc from 'fast-check'
import { Operation } from './operation.ts'
import { RangeLocks } from './range-locks.ts'

type Kind = 'shared' | 'exclusive'

/** Locks with a host that writes down who may run, at once or later. */
function setUp() {
  const running = new Set<Operation>()
  const host = {
    descriptorSense: false,
    wake: (op: Operation): void => op.next(op),
    end: (): void => assert.fail('no operation ends here'),
  }
  const locks = new RangeLocks(host)
  const acquire = (kind: Kind, offset: number, lengthBytes: number): Operation => {
    const op = new Operation(host, () => undefined)
    op.offset = offset
    op.lengthBytes = lengthBytes
    locks.acquire(op, kind, () => running.add(op))
    return op
  }
  return { host, locks, running, acquire }
}

const overlap = (a: Operation, b: Operation): boolean =>
  a.offset < b.offset + b.lengthBytes && b.offset < a.offset + a.lengthBytes

describe('range locks', () => {
  it('never let an exclusive holder overlap another, and let everybody have a turn', () => {
    const request = fc.record({
      kind: fc.constantFrom<Kind>('shared', 'exclusive'),
      offset: fc.nat(20),
      lengthBytes: fc.integer({ min: 1, max: 8 }),
      releases: fc.array(fc.nat(), { maxLength: 3 }),
    })
    fc.assert(
      fc.property(fc.array(request, { maxLength: 40 }), (requests) => {
        const { locks, running, acquire } = setUp()
        let started = 0
        const releaseOne = (pick: number): void => {
          const op = [...running][pick % Math.max(1, running.size)]
          if (!op) return
          running.delete(op)
          started++
          locks.release(op)
        }
        const check = (): void => {
          for (const a of running) {
            for (const b of running) {
              if (a !== b && overlap(a, b)) assert.ok(a.lock === 'shared' && b.lock === 'shared')
            }
          }
        }
        for (const { kind, offset, lengthBytes, releases } of requests) {
          acquire(kind, offset, lengthBytes)
          check()
          for (const pick of releases) {
            releaseOne(pick)
            check()
          }
        }
        while (running.size > 0) {
          releaseOne(0)
          check()
        }
        assert.equal(started, requests.length)
      }),
    )
  })

  it('grant all that one release frees before any of it runs', () => {
    const { host, locks, acquire } = setUp()
    const holder = acquire('exclusive', 0, 10)
    const waiters = [acquire('shared', 0, 5), acquire('shared', 5, 5)]
    assert.ok(waiters.every((op) => op.phase === 'locked'))
    const seen: string[][] = []
    host.wake = () => void seen.push(waiters.map((op) => op.phase))
    locks.release(holder)
    assert.deepEqual(seen, [
      ['ready', 'ready'],
      ['ready', 'ready'],
    ])
  })

  it('forget a waiter that gives up, and let go whom it held back', () => {
    const { locks, running, acquire } = setUp()
    const writer = acquire('shared', 0, 4)
    const waiting = acquire('exclusive', 2, 4)
    const behind = acquire('shared', 4, 2)
    assert.deepEqual([...running], [writer])
    locks.release(waiting)
    assert.deepEqual([...running], [writer, behind])
  })
})
