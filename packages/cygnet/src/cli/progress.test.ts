import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { PieceSums } from './piece-sums.ts'
import { barLine, formatTime, Progress, progressLine, roundedSize } from './progress.ts'

test('sizes in three digits, times in minutes', () => {
  assert.deepEqual([0, 1023, 1024, 1_500_000, 1023 * 1024, 5 * 2 ** 30, 2 ** 50 * 2000].map(roundedSize), [
    '0 bytes',
    '1023 bytes',
    '1.00 KiB',
    '1.43 MiB',
    '1023 KiB',
    '5.00 GiB',
    '2000 PiB',
  ])
  assert.deepEqual([0, 6.2, 754, 3723].map(formatTime), ['0:00', '0:07', '12:34', '1:02:03'])
})

test('a line has a bar, a share, a rate and the time left', () => {
  const line = progressLine('copying', 2 ** 29, 2 ** 30, 2 ** 20 * 100)
  assert.equal(line, 'copying  ███████████░░░░░░░░░░░  50%  512 MiB of 1.00 GiB  100 MiB/s  0:06 left')
  assert.equal(progressLine('copying', 5 * 2 ** 20, undefined, 2 ** 20), 'copying  5.00 MiB  1.00 MiB/s')
  assert.match(progressLine('copying', 0, 100, 0), / 0%.*–:–– left/)
  const long = progressLine('verifying', 2 ** 29, 2 ** 30, 2 ** 20 * 100, 70)
  assert.equal(long.length, 69)
  assert.match(long, /^verifying  █+░+  50%  512 MiB of 1\.00 GiB  100 MiB\/s  0:06 left$/)
})

test('a line of work that is not counted in bytes', () => {
  assert.equal(
    barLine('verifying', 0.25, ['12 requests'], 7.5),
    'verifying  ██████░░░░░░░░░░░░░░░░░░  25%  12 requests  0:08 left',
  )
})

describe('progress', () => {
  function shown(isTTY: boolean, isQuiet = false) {
    const state = { now: 0, text: '' }
    const output = { isTTY, columns: 200, write: (text: string) => (state.text += text) }
    const progress = new Progress('copying', 1000 * 2 ** 20, isQuiet, output, () => state.now)
    return { state, progress }
  }

  test('is drawn ten times a second at most, with the rate of the last seconds', () => {
    const { state, progress } = shown(true)
    for (state.now = 1; state.now <= 10_000; state.now++) {
      // The first half is ten times as fast.
      progress.update((state.now <= 5000 ? state.now * 10 : 50_000 + (state.now - 5000)) * 2048)
    }
    const lines = state.text.split('\r\u001b[K')
    assert.ok(lines.length > 90 && lines.length <= 102, `${lines.length}`)
    assert.match(lines.at(-1) ?? '', /1\.95 MiB\/s|2\.\d\d MiB\/s/)
    progress.end()
    assert.ok(state.text.endsWith('\r\u001b[K'))
  })

  test('says nothing where nobody looks', () => {
    for (const { state, progress } of [shown(false), shown(true, true)]) {
      state.now = 1000
      progress.update(5)
      progress.end()
      assert.deepEqual([state.text, progress.doneBytes, progress.seconds], ['', 5, 1])
    }
  })
})

test('sums of pieces do not depend on how the bytes came, and show where they differ', () => {
  const bytes = Uint8Array.from({ length: 2_500_000 }, (_, i) => (i * 31) & 0xff)
  const whole = new PieceSums()
  whole.add(bytes)
  const parts = new PieceSums()
  for (let at = 0; at < bytes.length; at += 70_001) parts.add(bytes.subarray(at, at + 70_001))
  assert.deepEqual([parts.lengthBytes, parts.sums.length], [2_500_000, 3])
  assert.equal(whole.differsFrom(parts), undefined)
  bytes[1_500_000] = (bytes[1_500_000] ?? 0) ^ 1
  const other = new PieceSums()
  other.add(bytes)
  assert.equal(whole.differsFrom(other), 1024 * 1024)
  const short = new PieceSums()
  short.add(bytes.subarray(0, 1024 * 1024))
  assert.equal(short.differsFrom(whole), 1024 * 1024)
})
