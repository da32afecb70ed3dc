import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { encodeText } from '../pdu/text.ts'
import { TextExchange } from './text-exchange.ts'

const LIMIT_BYTES = 64 * 1024

test('text that is split at every byte is put together again', () => {
  const exchange = new TextExchange(LIMIT_BYTES)
  const text = encodeText([
    ['InitiatorName', 'iqn.2026-11.test:host'],
    ['X-test.long', 'x'.repeat(1000)],
  ])
  for (const byte of text.subarray(0, -1)) {
    assert.equal(exchange.receive([Uint8Array.of(byte)], true).kind, 'partial')
    assert.equal(exchange.isReceiving, true)
  }
  const whole = exchange.receive([text.subarray(-1)], false)
  assert.ok(whole.kind === 'complete')
  assert.deepEqual(
    whole.pairs.map(([key, value]) => [key, value.length]),
    [
      ['InitiatorName', 21],
      ['X-test.long', 1000],
    ],
  )
  assert.equal(exchange.isReceiving, false)
})

test('text that comes byte by byte costs little more than its length', () => {
  setFlagsFromString('--expose-gc')
  const collectGarbage = runInNewContext('gc') as () => void
  const usedBytes = (): number => {
    collectGarbage()
    const { heapUsed, external } = process.memoryUsage()
    return heapUsed + external
  }
  const exchanges = Array.from({ length: 8 }, () => new TextExchange(LIMIT_BYTES))
  const byte = Uint8Array.of(0x41)
  const before = usedBytes()
  for (const exchange of exchanges) {
    for (let i = 0; i < LIMIT_BYTES; i++) exchange.receive([byte], true)
  }
  const perByte = (usedBytes() - before) / (exchanges.length * LIMIT_BYTES)
  assert.ok(perByte < 8, `${perByte.toFixed(1)} bytes for each`)
  for (const exchange of exchanges) {
    assert.equal(exchange.receive([byte], true).kind, 'error', 'one byte more is one too many')
  }
})
