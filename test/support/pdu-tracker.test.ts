import assert from 'node:assert/strict'
import { test } from 'node:test'
import { LoginWatch, PduTracker, type Region, regions } from './pdu-tracker.ts'
import { buildBhs, type Digests, encodeText, frame, Op } from './raw-pdu.ts'
import { Seeded } from './seeded.ts'

const NONE: Digests = { header: false, data: false }
const requestText = encodeText({ InitiatorName: 'iqn.2026-11.dev.example:a', HeaderDigest: 'None,CRC32C' })
const request = frame(buildBhs(Op.login, { immediate: true, flags: 0x87 }), requestText, NONE)
const response = (keys: Record<string, string>, flags = 0x87): Buffer =>
  frame(buildBhs(Op.loginResponse, { flags }), encodeText(keys), NONE)

/** Walks `bytes` in random pieces: each region of each PDU with its opcode and length. */
function walk(tracker: PduTracker, bytes: Buffer, random: Seeded): [number, Region, number][] {
  const found: [number, Region, number][] = []
  let previous = -1
  for (let at = 0; at < bytes.length; ) {
    const chunk = bytes.subarray(at, at + random.between(1, 70))
    let next = 0
    tracker.walk(chunk, ({ opcode, region, start, end }) => {
      assert.equal(start, next, 'pieces follow each other')
      next = end
      const index = regions.indexOf(region)
      const last = found.at(-1)
      if (index === previous && last !== undefined) last[2] += end - start
      else found.push([opcode, region, end - start])
      previous = index
    })
    assert.equal(next, chunk.length, 'nothing is left out')
    at += chunk.length
  }
  return found
}

test('regions of PDUs are found whatever way the bytes are cut, with the digests that the login chose', () => {
  for (let seed = 0; seed < 50; seed++) {
    const random = new Seeded(seed)
    const digests: Digests = { header: random.next() < 0.5, data: random.next() < 0.5 }
    const login = new LoginWatch()
    const toTarget = new PduTracker(login)
    const toInitiator = new PduTracker(login)
    walk(toTarget, request, random)
    assert.ok(!login.isFullFeature)
    const keys = {
      HeaderDigest: digests.header ? 'CRC32C' : 'None',
      DataDigest: digests.data ? 'CRC32C' : 'None',
    }
    // The text of a login may come in several responses.
    walk(toInitiator, response({ TargetAlias: 'x' }, 0x04), random)
    assert.ok(!login.isFullFeature)
    walk(toInitiator, response(keys), random)
    assert.ok(login.isFullFeature)
    assert.deepEqual(login.digests, digests)

    const withAhs = frame(buildBhs(Op.scsiCommand), Buffer.alloc(37), digests, { ahs: Buffer.alloc(8) })
    const bare = frame(buildBhs(Op.taskManagement), Buffer.alloc(0), digests)
    const data = frame(buildBhs(Op.dataOut), Buffer.alloc(512), digests)
    const expected: [number, Region, number][] = []
    for (const [opcode, header, length] of [
      [Op.scsiCommand, 56, 40],
      [Op.taskManagement, 48, 0],
      [Op.dataOut, 48, 512],
    ] as const) {
      expected.push([opcode, 'header', header])
      if (digests.header) expected.push([opcode, 'header-digest', 4])
      if (length > 0) expected.push([opcode, 'data', length])
      if (length > 0 && digests.data) expected.push([opcode, 'data-digest', 4])
    }
    // Two headers in a row cannot be told apart by their region: one PDU at a time.
    const found = [withAhs, bare, data].flatMap((bytes) => walk(toTarget, bytes, random))
    assert.deepEqual(found, expected)
    assert.equal(toTarget.pdus, 4)
  }
})

test('a refused login does not begin the full feature phase', () => {
  const login = new LoginWatch()
  const refusal = buildBhs(Op.loginResponse, { flags: 0x87 })
  refusal.writeUInt8(2, 36)
  new PduTracker(login).walk(frame(refusal, Buffer.alloc(0), NONE), () => undefined)
  assert.ok(!login.isFullFeature)
})
