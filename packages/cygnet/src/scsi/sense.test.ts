import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import * as fc from 'fast-check'
import { AdditionalSense, additionalSenseName } from './additional-sense.ts'
import type { FieldPointer, SenseData } from './sense.ts'
import { decodeSense, describeSense, encodeSense, invalidCdbField, SenseKey } from './sense.ts'

const fieldPointer: fc.Arbitrary<FieldPointer> = fc.record(
  {
    in: fc.constantFrom('cdb' as const, 'parameters' as const),
    byte: fc.nat(0xffff),
    bit: fc.nat(7),
  },
  { requiredKeys: ['in', 'byte'], noNullPrototype: true },
)

const senseData = (informationMax: number): fc.Arbitrary<SenseData> =>
  fc.record(
    {
      key: fc.constant<number>(SenseKey.illegalRequest),
      additional: fc.nat(0xffff),
      information: fc.nat(informationMax),
      field: fieldPointer,
      deferred: fc.constant(true),
    },
    { requiredKeys: ['key', 'additional'], noNullPrototype: true },
  )

describe('sense data', () => {
  it('survives fixed format', () => {
    fc.assert(
      fc.property(senseData(0xffff_ffff), (sense) => {
        assert.deepEqual(decodeSense(encodeSense(sense, false)), sense)
      }),
    )
  })

  it('survives descriptor format, with 64-bit information', () => {
    fc.assert(
      fc.property(senseData(Number.MAX_SAFE_INTEGER), (sense) => {
        assert.deepEqual(decodeSense(encodeSense(sense, true)), sense)
      }),
    )
  })

  it('has the bytes that SPC-5 draws', () => {
    const sense: SenseData = { ...invalidCdbField(2, 5), information: 0x01020304 }
    const fixed = 'f0 00 05 01 02 03 04 0a 00 00 00 00 24 00 00 cd 00 02'
    assert.equal(Buffer.from(encodeSense(sense, false)).toString('hex'), fixed.replaceAll(' ', ''))
    const descriptor = '72 05 24 00 00 00 00 14 00 0a 80 00 00 00 00 00 01 02 03 04 02 06 00 00 cd 00 02 00'
    assert.equal(Buffer.from(encodeSense(sense, true)).toString('hex'), descriptor.replaceAll(' ', ''))
  })

  it('leaves INFORMATION out of fixed format where it has more than 32 bits', () => {
    const sense: SenseData = { key: SenseKey.mediumError, additional: 0x1100, information: 2 ** 32 }
    const decoded = decodeSense(encodeSense(sense, false))
    assert.equal(decoded?.information, undefined)
    assert.equal(decoded?.key, SenseKey.mediumError)
  })

  it('takes any bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
        const sense = decodeSense(bytes)
        assert.ok(sense === undefined || (sense.key >= 0 && sense.key <= 15))
      }),
    )
    assert.equal(decodeSense(new Uint8Array(0)), undefined)
    assert.deepEqual(decodeSense(Uint8Array.of(0x70, 0, 6)), { key: 6, additional: 0 })
  })

  it('reads well', () => {
    assert.equal(
      describeSense(invalidCdbField(1, 5)),
      'illegal request: invalid field in CDB (byte 1, bit 5 of the CDB)',
    )
    assert.equal(
      describeSense({ key: SenseKey.mediumError, additional: 0x1100, information: 9, deferred: true }),
      'deferred medium error: unrecovered read error (information 9)',
    )
    for (const code of Object.values(AdditionalSense)) assert.doesNotMatch(additionalSenseName(code), /\//)
    assert.equal(additionalSenseName(0x5d10), 'additional sense 5d/10')
  })
})

it('progress round-trips in both formats, with the sense keys that have it', () => {
  for (const key of [SenseKey.noSense, SenseKey.notReady]) {
    const sense = { key, additional: AdditionalSense.sanitizeInProgress, progress: 0x8001 }
    assert.deepEqual(decodeSense(encodeSense(sense, false)), sense)
    assert.deepEqual(decodeSense(encodeSense(sense, true)), sense)
    assert.match(describeSense(sense), /sanitize in progress \(50 % done\)$/)
  }
})
