import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ShardConnections } from './shard-connections.ts'
import type { FromShard } from './shard-messages.ts'

const connection = () => {
  const evictions: string[] = []
  const evict = (reason: string): void => void evictions.push(reason)
  return { address: '192.0.2.1', isLoggingIn: true, isDiscovery: false, evict, evictions }
}

test('the listening process hears of a login once, and of the end', () => {
  const told: FromShard[] = []
  const connections = new ShardConnections((message) => told.push(message))
  const [one, other] = [connection(), connection()]
  for (const [id, each] of [one, other].entries()) {
    connections.add(each)
    connections.name(each, id)
  }
  connections.look()
  assert.deepEqual(told, [])
  one.isLoggingIn = false
  connections.look()
  connections.look()
  connections.remove(one)
  connections.remove(other)
  assert.deepEqual(told, [
    { kind: 'logged-in', id: 0, isDiscovery: false },
    { kind: 'closed', id: 0 },
    { kind: 'closed', id: 1 },
  ])
})

test('a connection that is to make room does, and no other, unless it has logged in', () => {
  const connections = new ShardConnections(() => undefined)
  const [one, other] = [connection(), connection()]
  for (const [id, each] of [one, other].entries()) {
    connections.add(each)
    connections.name(each, id)
  }
  connections.evict(1, 'too many')
  one.isLoggingIn = false
  connections.evict(0, 'too many')
  assert.deepEqual([one.evictions, other.evictions], [[], ['too many']])
})
