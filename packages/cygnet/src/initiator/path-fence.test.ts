import assert from 'node:assert/strict'
import { test } from 'node:test'
import { diskOn, type Network, turn, two } from './fake-paths.test-helper.ts'
import type { ScsiDisk } from './scsi-disk.ts'

/** A write of ones to block 0 that path 0 has taken and not answered when it is cut. */
async function cutInWrite(network: Network): Promise<ScsiDisk> {
  const disk = await diskOn(await network.open(), network)
  const [first] = network.sessions
  if (first) first.isStuck = true
  const write = disk.write(0, new Uint8Array(512).fill(1))
  const other = disk.write(512, new Uint8Array(512).fill(1))
  await turn()
  network.cut(0)
  await Promise.all([write, other])
  return disk
}

test('after a path is lost, a write on top of one that may still land waits; others do not', async () => {
  const network = two()
  await using disk = await cutInWrite(network)
  const [bytes] = network.disks.map((one) => one.bytes)
  assert.ok(bytes)
  await disk.read(0, 512)
  await disk.write(1024, new Uint8Array(512).fill(2))
  const newer = Promise.allSettled([
    disk.write(0, new Uint8Array(512).fill(2)),
    disk.write(512, new Uint8Array(512).fill(2)),
  ])
  await turn()
  assert.ok(bytes[0] === 1 || bytes[512] === 1, 'one of them was on path 0')
  assert.equal(await network.timing.runUntil(newer), 2000)
  assert.deepEqual([bytes[0], bytes[512]], [2, 2])
})

test('and goes on as soon as the lost session is reinstated', async () => {
  const network = two()
  await using disk = await cutInWrite(network)
  network.isDown[0] = false
  const newer = Promise.all([
    disk.write(0, new Uint8Array(512).fill(2)),
    disk.write(512, new Uint8Array(512).fill(2)),
  ])
  assert.equal(await network.timing.runUntil(newer), 200, 'the first try')
  const [first, , again] = network.logins
  assert.deepEqual(again, first, 'the same path, the same ISID')
})

test('or at once, by another portal of its portal group', async () => {
  const network = two()
  network.groups = [1, 1]
  await using disk = await cutInWrite(network)
  const newer = Promise.all([
    disk.write(0, new Uint8Array(512).fill(2)),
    disk.write(512, new Uint8Array(512).fill(2)),
  ])
  assert.equal(await network.timing.runUntil(newer), 0)
  const [lost, beside, fence] = network.logins
  assert.deepEqual(fence, [1, lost?.[1]], 'the ISID of path 0, at the portal of path 1')
  assert.notDeepEqual(beside?.[1], lost?.[1])
})
