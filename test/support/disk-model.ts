/** Random requests to a disk, held to a model in memory: what overlaps must take effect in the order of the calls. */
import assert from 'node:assert/strict'
import type { ScsiDisk } from '../../packages/cygnet/src/initiator.ts'
import { Seeded } from './seeded.ts'

/** Requests under way together. */
const DEPTH = 16
/** A small part of the disk, so that requests meet. */
const WINDOW_BYTES = 256 * 1024

/**
 * Makes `requests` random requests of any alignment and checks every byte that comes back; at the end the whole
 * window once more. The window begins with zeroes.
 */
export async function exerciseDisk(disk: ScsiDisk, requests: number): Promise<void> {
  const seeded = new Seeded()
  const { seed } = seeded
  const random = (end: number): number => seeded.between(0, end - 1)
  const model = new Uint8Array(WINDOW_BYTES)
  const base = Math.floor(disk.sizeBytes / 2 / disk.blockSizeBytes) * disk.blockSizeBytes
  await disk.writeZeroes(base, WINDOW_BYTES)
  const underWay = new Set<Promise<void>>()
  const step = (): Promise<unknown> => {
    const offset = random(WINDOW_BYTES)
    const lengthBytes = Math.min(WINDOW_BYTES - offset, random(3) === 0 ? random(100_000) : random(3000))
    switch (random(8)) {
      case 0: {
        model.fill(0, offset, offset + lengthBytes)
        return disk.writeZeroes(base + offset, lengthBytes, { mayUnmap: random(2) === 0 })
      }
      case 1: {
        const block = disk.blockSizeBytes
        const start = offset - (offset % block)
        const end = Math.min(WINDOW_BYTES, start + block * random(20))
        const pattern = new Uint8Array(block).fill(random(256))
        model.fill(pattern[0] ?? 0, start, end)
        return disk.writeSame(base + start, end - start, pattern)
      }
      case 2:
      case 3:
      case 4: {
        const bytes = new Uint8Array(lengthBytes).fill(random(256))
        model.set(bytes, offset)
        return disk.write(base + offset, bytes, { fua: random(10) === 0 })
      }
      case 5:
        return disk.flush()
      default: {
        const expected = model.slice(offset, offset + lengthBytes)
        return disk.read(base + offset, lengthBytes).then((bytes) => {
          assert.equal(Buffer.compare(bytes, expected), 0, `seed ${seed}: ${lengthBytes} bytes at ${offset}`)
          return undefined
        })
      }
    }
  }
  for (let i = 0; i < requests; i++) {
    const request: Promise<void> = step().then(() => void underWay.delete(request))
    underWay.add(request)
    if (underWay.size >= DEPTH) await Promise.race(underWay)
  }
  await Promise.all(underWay)
  assert.equal(Buffer.compare(await disk.read(base, WINDOW_BYTES), model), 0, `seed ${seed}: at the end`)
}
