import { CygnetError } from '../base/errors.ts'

/** Logical block sizes that operating systems boot from and mount; 2048 is that of CDs and DVDs. */
export type BlockSize = 512 | 2048 | 4096

/** @throws {CygnetError} IMAGE_BLOCKS: a disk is whole blocks, and at least one. */
export function checkWholeBlocks(what: string, sizeBytes: number, blockSizeBytes: BlockSize): void {
  const tailBytes = sizeBytes % blockSizeBytes
  if (tailBytes === 0 && sizeBytes > 0) return
  const longerBytes = sizeBytes - tailBytes + blockSizeBytes
  const smallerFits = blockSizeBytes === 4096 && sizeBytes % 512 === 0 && sizeBytes > 0
  throw new CygnetError(
    'IMAGE_BLOCKS',
    `${what} has ${sizeBytes} bytes, which is not a whole number of ${blockSizeBytes}-byte blocks: ` +
      `make it ${longerBytes} bytes long (truncate -s ${longerBytes})${smallerFits ? ', or use blocks of 512 bytes' : ''}.`,
  )
}
