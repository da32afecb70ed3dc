import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Operation, type OperationHost } from './operation.ts'
import { OperationSet } from './operation-set.ts'

const host: OperationHost = { descriptorSense: false, wake: () => undefined, end: () => undefined }
const newOperation = (): Operation => new Operation(host, () => undefined)

test('operations come and go in any order, and are listed as they came', () => {
  const set = new OperationSet()
  const [a, b, c, d] = Array.from({ length: 4 }, newOperation) as [Operation, Operation, Operation, Operation]
  for (const op of [a, b, c]) set.add(op)
  set.delete(a)
  set.add(d)
  set.add(a)
  assert.deepEqual(set.inOrder(), [b, c, d, a])
  set.delete(c)
  set.delete(a)
  assert.deepEqual(set.inOrder(), [b, d])
  assert.equal(set.size, 2)
  assert.deepEqual(new Set(set), new Set([b, d]))
  set.delete(b)
  set.delete(d)
  assert.equal(set.size, 0)
})
