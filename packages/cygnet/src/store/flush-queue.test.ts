import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import * as fc from 'fast-check'
import type { Done, StoreError } from './backing-store.ts'
import { FlushQueue } from './flush-queue.ts'

const IO_ERROR: StoreError = { failure: 'medium', cause: new Error('EIO') }

function setUp() {
  const syncs: Done[] = []
  const queue = new FlushQueue((done) => syncs.push(done))
  const answers: (string | StoreError)[] = []
  const request = (name: string): void => queue.request((error) => answers.push(error ?? name))
  const complete = (error?: StoreError): void => {
    const sync = syncs.shift()
    assert.ok(sync, 'no sync is under way')
    sync(error)
  }
  return { queue, syncs, answers, request, complete }
}

describe('flush queue', () => {
  test('the first request syncs even if nothing was written yet', () => {
    const { syncs, request, complete, answers } = setUp()
    request('a')
    assert.equal(syncs.length, 1)
    assert.deepEqual(answers, [])
    complete()
    assert.deepEqual(answers, ['a'])
  })

  test('requests during a sync share one more where something was written since it began', () => {
    const { queue, syncs, request, complete, answers } = setUp()
    request('a')
    queue.noteWrite()
    request('b')
    request('c')
    assert.equal(syncs.length, 1)
    complete()
    assert.deepEqual(answers, ['a'])
    assert.equal(syncs.length, 1)
    complete()
    assert.deepEqual(answers, ['a', 'b', 'c'])
    assert.equal(syncs.length, 0)
  })

  test('a request joins the running sync where nothing was written since it began', () => {
    const { syncs, request, complete, answers } = setUp()
    request('a')
    request('b')
    complete()
    assert.deepEqual(answers, ['a', 'b'])
    assert.equal(syncs.length, 0)
  })

  test('nothing is synced twice', () => {
    const { syncs, request, complete, answers } = setUp()
    request('a')
    complete()
    request('b')
    assert.equal(syncs.length, 0)
    assert.deepEqual(answers, ['a', 'b'])
  })

  test('a failed sync fails those who wait for the next one and all later requests', () => {
    const { queue, syncs, request, complete, answers } = setUp()
    request('a')
    queue.noteWrite()
    request('b')
    complete({ failure: 'no-space' })
    assert.deepEqual(answers, [{ failure: 'no-space' }, { failure: 'no-space' }])
    queue.noteWrite()
    request('c')
    assert.equal(syncs.length, 0)
    assert.deepEqual(answers[2], { failure: 'medium' })
  })

  test('a failure keeps its cause, and a store that went away stays away', () => {
    const { request, complete, answers } = setUp()
    request('a')
    complete({ failure: 'gone', cause: new Error('ENODEV') })
    request('b')
    assert.deepEqual(answers[1], { failure: 'gone', cause: new Error('ENODEV') })
    const other = setUp()
    other.request('a')
    other.complete(IO_ERROR)
    other.request('b')
    assert.deepEqual(other.answers[1], IO_ERROR)
  })

  test('a request made while another is answered gets a sync of its own where it needs one', () => {
    let syncs = 0
    const queue = new FlushQueue((done) => {
      syncs++
      done(undefined)
    })
    const answers: string[] = []
    queue.request(() => {
      answers.push('a')
      queue.noteWrite()
      queue.request(() => answers.push('b'))
    })
    assert.deepEqual(answers, ['a', 'b'])
    assert.equal(syncs, 2)
  })

  test('whatever the order of events, a flush covers all that was written before it', () => {
    const event = fc.constantFrom('write', 'request', 'complete' as const)
    fc.assert(
      fc.property(fc.array(event, { maxLength: 60 }), (events) => {
        let written = 0
        let durable = 0
        const syncs: { covers: number; done: Done }[] = []
        const queue = new FlushQueue((done) => syncs.push({ covers: written, done }))
        let waiting = 0
        const complete = (): void => {
          const sync = syncs.shift()
          if (sync === undefined) return
          durable = Math.max(durable, sync.covers)
          sync.done(undefined)
        }
        for (const name of events) {
          assert.ok(syncs.length <= 1, 'two syncs at a time')
          if (name === 'complete') complete()
          else if (name === 'write') {
            written++
            queue.noteWrite()
          } else {
            const needed = written
            waiting++
            queue.request(() => {
              waiting--
              assert.ok(durable >= needed, `acknowledged ${needed} writes with ${durable} on the disk`)
            })
          }
        }
        while (syncs.length > 0) complete()
        assert.equal(waiting, 0, 'a flush was never answered')
      }),
    )
  })
})
