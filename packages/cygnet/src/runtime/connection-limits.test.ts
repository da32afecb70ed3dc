import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { ConnectionLimits, type LimitedConnection } from './connection-limits.ts'

interface Fake extends LimitedConnection {
  isLoggingIn: boolean
  isDiscovery: boolean
  readonly evictions: string[]
}

function connect(limits: ConnectionLimits, address: string, isLoggingIn = true): Fake {
  const evictions: string[] = []
  const fake: Fake = {
    address,
    isLoggingIn,
    isDiscovery: false,
    evictions,
    evict: (reason) => {
      evictions.push(reason)
      limits.remove(fake)
    },
  }
  limits.add(fake)
  return fake
}

const newLimits = (): ConnectionLimits =>
  new ConnectionLimits({ connections: 4, connectionsPerAddress: 3, loginsAtOnce: 2 })

describe('connection limits', () => {
  test('connections below every limit come in', () => {
    const limits = newLimits()
    assert.equal(limits.refusal('a'), undefined)
    connect(limits, 'a')
    assert.equal(limits.refusal('a'), undefined)
  })

  test('a login too many takes the place of the oldest', () => {
    const limits = newLimits()
    const [first, second, third] = ['a', 'b', 'c'].map((address) => connect(limits, address))
    assert.equal(first?.evictions.length, 1)
    assert.equal(second?.evictions.length, 0)
    assert.equal(third?.evictions.length, 0)
  })

  test('a session is never put out by a login', () => {
    const limits = newLimits()
    const session = connect(limits, 'a')
    session.isLoggingIn = false
    for (const address of ['b', 'c', 'd', 'e']) connect(limits, address)
    assert.deepEqual(session.evictions, [])
  })

  test('an address has its own limit', () => {
    const limits = newLimits()
    for (let i = 0; i < 3; i++) connect(limits, 'a', false)
    assert.match(limits.refusal('a') ?? '', /3 connections from a/)
    assert.equal(limits.refusal('b'), undefined)
  })

  test('with sessions in every place a connection is refused, and comes in when one has gone', () => {
    const limits = newLimits()
    const sessions = ['a', 'b', 'c', 'd'].map((address) => connect(limits, address, false))
    assert.match(limits.refusal('e') ?? '', /4 connections already/)
    limits.remove(sessions[0] as Fake)
    assert.equal(limits.refusal('e'), undefined)
  })

  test('where all places are taken, a login makes room', () => {
    const limits = newLimits()
    const login = connect(limits, 'a')
    for (const address of ['b', 'c', 'd']) connect(limits, address, false)
    assert.equal(limits.refusal('e'), undefined)
    connect(limits, 'e')
    assert.equal(login.evictions.length, 1)
  })

  test('where all places are taken, a discovery session makes room, the oldest first', () => {
    const limits = newLimits()
    const [first, second, third, fourth] = ['a', 'b', 'c', 'd'].map((address) =>
      connect(limits, address, false),
    ) as [Fake, Fake, Fake, Fake]
    second.isDiscovery = true
    third.isDiscovery = true
    assert.equal(limits.refusal('e'), undefined)
    const login = connect(limits, 'e')
    const evicted = [first, second, third, fourth, login].map(({ evictions }) => evictions.length)
    assert.deepEqual(evicted, [0, 1, 0, 0, 0])
  })
})
