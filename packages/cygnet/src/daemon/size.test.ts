import assert from 'node:assert/strict'
import { test } from 'node:test'
import { formatSize, parseSize } from './size.ts'

const good = {
  '4096': 4096,
  '1K': 1024,
  '512M': 512 * 2 ** 20,
  '1G': 2 ** 30,
  '1.5T': 1.5 * 2 ** 40,
  '1P': 2 ** 50,
  '64m': 64 * 2 ** 20,
  '1GiB': 2 ** 30,
  '2gb': 2 ** 31,
  '512B': 512,
}
for (const [text, sizeBytes] of Object.entries(good))
  test(`${text} is ${sizeBytes} bytes`, () => {
    assert.equal(parseSize(text), sizeBytes)
  })

const bad = {
  '': /such as 512M/,
  G: /such as 512M/,
  '-1G': /such as 512M/,
  '1E': /such as 512M/,
  '1 G': /such as 512M/,
  '1e3': /such as 512M/,
  '0': /at least one block/,
  '0.1K': /whole number of bytes/,
  '9P': /at most/,
}
for (const [text, message] of Object.entries(bad))
  test(`"${text}" is refused as a size`, () => {
    assert.throws(() => parseSize(text), { code: 'SIZE_INVALID', message })
  })

test('sizes are written exactly', () => {
  assert.deepEqual([2 ** 30, 1.5 * 2 ** 40, 1000, 1536, 2 ** 30 + 512, 8 * 2 ** 50].map(formatSize), [
    '1 GiB',
    '1.5 TiB',
    '1000 bytes',
    '1.5 KiB',
    '1073742336 bytes',
    '8 PiB',
  ])
})
