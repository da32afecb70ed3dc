import assert from 'node:assert/strict'
import { test } from 'node:test'
import { checkWholeBlocks } from './blocks.ts'

test('whole blocks are accepted', () => {
  checkWholeBlocks('disk.img', 512, 512)
  checkWholeBlocks('disk.img', 8192, 4096)
})

test('part of a block is refused with the length that would do', () => {
  assert.throws(() => checkWholeBlocks('disk.img', 1000, 512), {
    code: 'IMAGE_BLOCKS',
    message:
      'disk.img has 1000 bytes, which is not a whole number of 512-byte blocks: make it 1024 bytes long (truncate -s 1024).',
  })
})

test('where smaller blocks would fit, the refusal says so', () => {
  assert.throws(() => checkWholeBlocks('disk.img', 512, 4096), {
    message: /truncate -s 4096\), or use blocks of 512 bytes\.$/,
  })
  assert.throws(() => checkWholeBlocks('disk.img', 1000, 4096), { message: /truncate -s 4096\)\.$/ })
})

test('an empty disk is refused', () => {
  assert.throws(() => checkWholeBlocks('disk.img', 0, 4096), { message: /truncate -s 4096\)\.$/ })
})
