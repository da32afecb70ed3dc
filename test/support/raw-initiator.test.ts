import assert from 'node:assert/strict'
import { test } from 'node:test'
import { buildBhs, cutPdu, digestOf, frame, Op } from './raw-pdu.ts'

test('the digest of the raw initiator gives the values of RFC 3720 §B.4', () => {
  assert.equal(digestOf(Buffer.alloc(32)).toString('hex'), 'aa36918a')
  assert.equal(digestOf(Buffer.alloc(32, 0xff)).toString('hex'), '43aba862')
  assert.equal(
    digestOf(Buffer.from(Array.from({ length: 32 }, (_, index) => index))).toString('hex'),
    '4e79dd46',
  )
})

test('a framed PDU is cut into the same parts, and a flipped bit under either digest is noticed', () => {
  const digests = { header: true, data: true }
  const bytes = frame(buildBhs(Op.nopIn, { lun: 3, itt: 9 }), Buffer.from('hello'), digests, {
    ahs: Buffer.alloc(8, 1),
  })
  const cut = cutPdu(Buffer.concat([bytes, Buffer.alloc(10)]), digests)
  assert.equal(cut?.used, bytes.length)
  assert.equal(cut.pdu.data.toString(), 'hello')
  assert.equal(cut.pdu.ahs.length, 8)
  assert.equal(cut.pdu.itt, 9)
  assert.equal(cutPdu(bytes.subarray(0, -1), digests), undefined)
  for (const at of [17, 50, 62, 70]) {
    const broken = Buffer.from(bytes)
    broken[at] = broken.readUInt8(at) ^ 4
    assert.throws(() => cutPdu(broken, digests), /bad (header|data) digest/)
  }
})
