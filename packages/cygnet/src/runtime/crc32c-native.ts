import { createRequire } from 'node:module'
import type { NativeCrc32c } from '../base/crc32c.ts'
import { useFastCrc32c } from '../base/crc32c.ts'

type Crc32Package = { readonly crc32c: (input: Uint8Array, initialState?: number) => number }

/**
 * Lets long inputs be summed by the processor's own CRC32C instruction, through `@node-rs/crc32`. Returns undefined,
 * or why that is not possible, for the log; the table code in `base/` is always there.
 */
export function installNativeCrc32c(
  importPackage: () => Crc32Package = () => createRequire(import.meta.url)('@node-rs/crc32') as Crc32Package,
): string | undefined {
  try {
    // Its "initial state" is the CRC of what came before, which is what `crc32c` chains.
    const native: NativeCrc32c = importPackage().crc32c
    // One binary for each platform: one that computes nonsense must never sum a byte.
    if (native(CHECK_INPUT, native(CHECK_INPUT, 0)) >>> 0 !== CHECK_VALUE)
      return '@node-rs/crc32 computes wrong sums'
    useFastCrc32c(native)
    return undefined
  } catch (error) {
    return `@node-rs/crc32 is not available: ${(error as Error).message.split('\n')[0]}`
  }
}

const CHECK_INPUT = new TextEncoder().encode('123456789')
/** CRC32C of the check input, twice in a row. */
const CHECK_VALUE = 0xa86c53f4
