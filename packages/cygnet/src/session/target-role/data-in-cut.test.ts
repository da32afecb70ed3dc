import assert from 'node:assert/strict'
import { test } from 'node:test'
import { DataInCut } from './data-in-cut.ts'

test('§11.7.1 PDUs begin where cutting one after another comes to, wherever the cut begins', () => {
  for (const [startBytes, segmentBytes, maxBurstLength, totalBytes] of [
    [0, 512, 1024, 4096],
    [0, 768, 1024, 5000],
    [1536, 768, 1024, 5000],
    [100, 8192, 512, 2000],
    [2047, 1000, 2048, 9999],
    [4096, 512, 1024, 4096],
  ] as const) {
    const cut = new DataInCut(7, startBytes, segmentBytes, maxBurstLength, totalBytes)
    let offset: number = startBytes
    for (let pdu = 7; offset < totalBytes; pdu++) {
      assert.equal(cut.offsetOf(pdu), offset, `PDU ${pdu} of ${totalBytes} from ${startBytes}`)
      const burstLeftBytes = maxBurstLength - (offset % maxBurstLength)
      offset += Math.min(segmentBytes, burstLeftBytes, totalBytes - offset)
      assert.equal(cut.offsetOf(pdu + 1), offset)
    }
  }
})
