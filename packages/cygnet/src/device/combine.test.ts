import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import * as fc from 'fast-check'
import { combineBytes } from './combine.ts'

const expected = (a: Uint8Array, b: Uint8Array, combination: string): Uint8Array =>
  a.map((byte, i) => (combination === 'or' ? byte | (b[i] ?? 0) : byte ^ (b[i] ?? 0)))

describe('combining bytes in place', () => {
  it('gives the same however the other side is cut and wherever its pieces lie', () => {
    const piece = fc.record({
      data: fc.uint8Array({ maxLength: 40 }),
      /** Bytes before it in its buffer. */
      offset: fc.nat(5),
    })
    fc.assert(
      fc.property(
        fc.constantFrom('or' as const, 'exclusive-or' as const),
        fc.array(piece, { maxLength: 8 }),
        fc.nat(5),
        fc.nat(255),
        (combination, pieces, start, fill) => {
          const slices = pieces.map(({ data, offset }) => {
            const buffer = new Uint8Array(offset + data.length)
            buffer.set(data, offset)
            return buffer.subarray(offset)
          })
          const whole = Uint8Array.from(pieces.flatMap(({ data }) => [...data]))
          const memory = new Uint8Array(start + whole.length + 8).fill(fill)
          const bytes = memory.subarray(start, start + whole.length)
          const before = Uint8Array.from(bytes)
          combineBytes(bytes, slices, combination)
          assert.deepEqual(bytes, expected(before, whole, combination))
          assert.ok(memory.subarray(0, start).every((byte) => byte === fill))
          assert.ok(memory.subarray(start + whole.length).every((byte) => byte === fill))
        },
      ),
    )
  })
})
