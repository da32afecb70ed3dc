import assert from 'node:assert/strict'
import { test } from 'node:test'
import { blockDeviceFacts } from './disk-io-block-device.ts'

const system = (files: Record<string, string>) => (path: string) => files[path]

test('a disk’s size and sectors are read from /sys', () => {
  const facts = blockDeviceFacts(
    8 * 256 + 16,
    system({
      '/sys/dev/block/8:16/size': '2097152\n',
      '/sys/dev/block/8:16/queue/physical_block_size': '4096\n',
      '/sys/dev/block/8:16/queue/write_zeroes_max_bytes': '0\n',
    }),
  )
  assert.deepEqual(facts, { sizeBytes: 1 << 30, physicalBlockBytes: 4096, canZero: false })
})

test('a partition has its disk’s queue', () => {
  const facts = blockDeviceFacts(
    259 * 256 + 3,
    system({
      '/sys/dev/block/259:3/size': '100\n',
      '/sys/dev/block/259:3/../queue/physical_block_size': '512\n',
      '/sys/dev/block/259:3/../queue/write_zeroes_max_bytes': '33553920\n',
    }),
  )
  assert.deepEqual(facts, { sizeBytes: 51_200, physicalBlockBytes: 512, canZero: true })
})

test('minor numbers above 255 are decoded', () => {
  const device = (7 << 8) | (300 & 0xff) | ((300 & ~0xff) << 12)
  assert.equal(blockDeviceFacts(device, system({ '/sys/dev/block/7:300/size': '8' }))?.sizeBytes, 4096)
})

test('a device without a medium, or unknown to the system, has no facts', () => {
  assert.equal(blockDeviceFacts(1, system({ '/sys/dev/block/0:1/size': '0\n' })), undefined)
  assert.equal(blockDeviceFacts(1, system({})), undefined)
})
