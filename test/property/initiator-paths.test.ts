import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { CygnetError } from '../../packages/cygnet/src/base/errors.ts'
import { FakeDisk, FakeTiming } from '../../packages/cygnet/src/initiator/fake-disk.test-helper.ts'
import type { PathSession } from '../../packages/cygnet/src/initiator/path.ts'
import { PathSet } from '../../packages/cygnet/src/initiator/path-set.ts'
import { ScsiDisk } from '../../packages/cygnet/src/initiator/scsi-disk.ts'
import { type ScsiCommand, settleWith } from '../../packages/cygnet/src/initiator/scsi-executor.ts'
import type {
  ScsiRequestOptions,
  ScsiResult,
  ScsiStatusResult,
} from '../../packages/cygnet/src/session/initiator-role/scsi-request.ts'

/*
 * A disk over two paths that are cut and come back at any time. The target carries out what it has received when it gets to
 * it, also for sessions that are long gone. Whatever happens: no request fails, and every read finds what was written last
 * before it.
 */

const BLOCK = 512
const BLOCKS = 6
/** Less than what `PathFence` allows for, where it has nothing but time. */
const SLOWEST_MS = 1900

/** The target: carries out commands after their service time, unless it has ended their session. */
class Target {
  readonly timing = new FakeTiming()
  readonly disk = new FakeDisk(BLOCKS, BLOCK)
  readonly isDown = [false, false]
  readonly sessions: (LateSession | undefined)[] = [undefined, undefined]
  readonly groups: readonly number[]
  readonly #serviceMs: () => number
  readonly #byName = new Map<string, LateSession>()

  constructor(groups: readonly number[], serviceMs: () => number) {
    this.groups = groups
    this.#serviceMs = serviceMs
  }

  /** RFC 7143 §6.3.5: the same ISID at the same portal group ends the session that has it. */
  logIn(path: number, isid: Uint8Array): LateSession {
    const group = this.groups[path] ?? 0
    const name = `${group} ${isid.join()}`
    const before = this.#byName.get(name)
    if (before) before.isTerminated = true
    const session = new LateSession(this, group, isid)
    this.#byName.set(name, session)
    this.sessions[path] = session
    return session
  }

  serve(session: LateSession, command: ScsiCommand): Promise<ScsiStatusResult> {
    const { promise, resolve } = Promise.withResolvers<ScsiStatusResult>()
    const dataOut = command.dataOut?.map((bytes) => bytes.slice())
    const dataIn = command.dataIn && new Uint8Array(command.dataIn.length)
    const received: ScsiCommand = { ...command, ...(dataOut && { dataOut }), ...(dataIn && { dataIn }) }
    const carryOut = async (): Promise<void> => {
      if (session.isTerminated) return
      const result = await this.disk.execute(received)
      if (!session.isOpen) return
      if (dataIn) command.dataIn?.set(dataIn)
      resolve(result)
    }
    this.timing.schedule(() => void carryOut(), this.#serviceMs())
    return promise
  }
}

class LateSession implements PathSession {
  readonly target = 'iqn.2026-11.test:disk'
  readonly portalGroupTag: number
  readonly isid: Uint8Array
  readonly ended: Promise<CygnetError | undefined>
  isOpen = true
  isTerminated = false
  readonly #target: Target
  readonly #end = Promise.withResolvers<CygnetError | undefined>()

  constructor(target: Target, portalGroupTag: number, isid: Uint8Array) {
    this.#target = target
    this.portalGroupTag = portalGroupTag
    this.isid = isid
    this.ended = this.#end.promise
  }

  execute(command: ScsiCommand): Promise<ScsiStatusResult> {
    const lost = this.ended.then((error) => {
      throw error ?? new CygnetError('SESSION_CLOSED', 'closed')
    })
    return this.isOpen ? Promise.race([this.#target.serve(this, command), lost]) : lost
  }

  submit(command: ScsiRequestOptions, done: (result: ScsiResult) => void): void {
    void settleWith(this.execute(command), done)
  }

  cut(): void {
    this.isOpen = false
    this.#end.resolve(new CygnetError('CONNECTION_LOST', 'It was cut.'))
  }

  close(): Promise<void> {
    this.isOpen = false
    this.#end.resolve(undefined)
    return Promise.resolve()
  }
}

const request = fc.record({
  isWrite: fc.boolean(),
  block: fc.integer({ min: 0, max: BLOCKS - 1 }),
  blocks: fc.integer({ min: 1, max: 3 }),
  /** Time until the next one. */
  pauseMs: fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 300 })),
})
const cut = fc.record({
  path: fc.integer({ min: 0, max: 1 }),
  afterMs: fc.integer({ min: 0, max: 1500 }),
  downMs: fc.integer({ min: 0, max: 1500 }),
})

test('over paths that are cut at any time, every read finds the last write before it', async () => {
  let newIsid = 0
  await fc.assert(
    fc.asyncProperty(
      fc.array(request, { minLength: 5, maxLength: 25 }),
      fc.array(cut, { maxLength: 4 }),
      fc.boolean(),
      fc.infiniteStream(fc.oneof(fc.integer({ min: 0, max: 20 }), fc.integer({ min: 0, max: SLOWEST_MS }))),
      async (requests, cuts, isOneGroup, services) => {
        const target = new Target(isOneGroup ? [1, 1] : [1, 2], () => services.next().value ?? 0)
        const { timing } = target
        const sleep = (ms: number): Promise<void> => new Promise((resolve) => timing.schedule(resolve, ms))
        const harm = async (): Promise<void> => {
          for (const { path, afterMs, downMs } of cuts) {
            // oxlint-disable-next-line no-await-in-loop -- cut after cut
            await sleep(afterMs)
            target.isDown[path] = true
            target.sessions[path]?.cut()
            timing.schedule(() => (target.isDown[path] = false), downMs)
          }
        }
        const run = async (): Promise<void> => {
          const paths = await PathSet.open({
            plans: [0, 1].map((path) => ({
              name: `path ${path}`,
              lun: 0,
              open: async (isid = Uint8Array.of(0x80, 0, 0, 0, newIsid >>> 8, newIsid++)) => {
                if (target.isDown[path]) throw new CygnetError('CONNECT_FAILED', 'It is down.')
                await sleep(1)
                return target.logIn(path, isid)
              },
            })),
            timing,
            waitLimitMs: 30_000,
            onEvent: () => undefined,
          })
          await using disk = await ScsiDisk.open({
            executor: paths,
            timing,
            lun: 0,
            release: () => paths.close(),
          })
          const harmed = harm()
          const model = new Uint8Array(BLOCKS * BLOCK)
          const answers: Promise<void>[] = []
          for (const [index, { isWrite, block, blocks, pauseMs }] of requests.entries()) {
            const start = block * BLOCK
            const end = Math.min(BLOCKS, block + blocks) * BLOCK
            if (isWrite) {
              model.fill(index + 1, start, end)
              answers.push(disk.write(start, model.slice(start, end)))
            } else {
              const expected = model.slice(start, end)
              answers.push(
                disk.read(start, end - start).then((bytes) => assert.deepEqual(bytes, expected, `${index}`)),
              )
            }
            // oxlint-disable-next-line no-await-in-loop -- request after request
            if (pauseMs > 0) await sleep(pauseMs)
          }
          await Promise.all(answers)
          await harmed
          // Whatever is still on its way lands now.
          await sleep(SLOWEST_MS)
          assert.deepEqual(target.disk.bytes, model, 'on the disk')
        }
        const outcome = run()
        await timing.runUntil(outcome)
        await outcome
      },
    ),
    { numRuns: 300 },
  )
})
