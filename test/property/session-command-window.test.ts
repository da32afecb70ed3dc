import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { serialAdd, serialDistance } from '../../packages/cygnet/src/base/serial32.ts'
import { CommandWindow } from '../../packages/cygnet/src/session/target-role/command-window.ts'

type Step =
  | { readonly kind: 'accept' | 'plug' | 'plugBelow'; readonly offset: number }
  | { readonly kind: 'complete' }
  | { readonly kind: 'deliver' }

const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ kind: fc.constant('accept' as const), offset: fc.integer({ min: -3, max: 12 }) }),
  fc.record({
    kind: fc.constantFrom('plug' as const, 'plugBelow' as const),
    offset: fc.integer({ min: -2, max: 9 }),
  }),
  fc.record({ kind: fc.constantFrom('complete' as const, 'deliver' as const) }),
)

/**
 * The model counts from 0 without wrapping: which numbers are settled (delivered or plugged), which are held, and how
 * many commands are in work.
 */
test('§4.2.2.1 the command window does what a model without wrap-around does', () => {
  fc.assert(
    fc.property(
      fc.nat({ max: 0xffff_ffff }),
      fc.integer({ min: 1, max: 6 }),
      fc.array(step, { maxLength: 60 }),
      (initial, depth, steps) => {
        const window = new CommandWindow<number>(initial, depth)
        const settled = new Set<number>()
        const held = new Set<number>()
        let active = 0
        let next = 0
        let highest = depth - 1
        const pass = (): void => {
          while (settled.has(next)) next++
        }
        const last = (): number => next + depth - active - 1
        const isOpen = (number: number): boolean =>
          number >= next && number <= last() && !held.has(number) && !settled.has(number)
        for (const action of steps) {
          const base = next
          if (action.kind === 'accept') {
            const number = base + action.offset
            assert.equal(window.accept(serialAdd(initial, number), number), isOpen(number))
            if (isOpen(number)) held.add(number)
          } else if (action.kind === 'plug') {
            const number = base + action.offset
            const open = isOpen(number)
            assert.equal(window.plug(serialAdd(initial, number)), open)
            if (open) settled.add(number)
            pass()
          } else if (action.kind === 'plugBelow') {
            const end = Math.min(base + action.offset, last() + 1)
            window.plugBelow(serialAdd(initial, base + action.offset))
            for (let number = next; number < end; number++) if (!held.has(number)) settled.add(number)
            pass()
          } else if (action.kind === 'deliver') {
            const expected = held.has(next) ? next : undefined
            assert.equal(window.next(), expected)
            if (expected !== undefined) {
              held.delete(expected)
              settled.add(expected)
              active++
              pass()
            }
          } else if (active > 0) {
            window.complete()
            active--
          }
          assert.equal(serialDistance(initial, window.expCmdSN), next)
          assert.equal(serialDistance(initial, window.maxCmdSN), last())
          assert.ok(last() >= highest, 'MaxCmdSN went back')
          highest = last()
          assert.equal(window.active, active)
        }
      },
    ),
    { numRuns: 2000 },
  )
})
