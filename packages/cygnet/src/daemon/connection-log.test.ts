import assert from 'node:assert/strict'
import { test } from 'node:test'
import { pino } from 'pino'
import type { ConnectionEvent } from '../session/target-role/target-connection.ts'
import type { TargetSession } from '../session/target-role/target-session.ts'
import { ConnectionLog } from './connection-log.ts'

function record(
  level: string,
  events: readonly (readonly [string, ConnectionEvent])[],
): Record<string, unknown>[] {
  const lines: Record<string, unknown>[] = []
  const destination = {
    write: (line: string) => void lines.push(JSON.parse(line) as Record<string, unknown>),
  }
  const log = new ConnectionLog(pino({ level, base: null, timestamp: false }, destination))
  for (const [peer, event] of events) log.record(peer, event)
  return lines
}

const rejected: ConnectionEvent = { kind: 'rejected', reason: 4, explanation: 'unknown opcode 0x1c' }

test('a dropped connection is logged with peer and reason', () => {
  assert.deepEqual(record('info', [['10.0.0.1:5', { kind: 'dropped', reason: 'header digest error' }]]), [
    { level: 40, peer: '10.0.0.1:5', reason: 'header digest error', msg: 'connection dropped' },
  ])
})

test('a login is logged with who logged in, and as which user', () => {
  const identity = { initiatorName: 'iqn.a', targetName: 'iqn.b', type: 'Normal', user: 'host1' }
  const session = { identity } as TargetSession
  const [line] = record('info', [['10.0.0.1:5', { kind: 'logged-in', session }]])
  assert.deepEqual(
    [line?.initiator, line?.target, line?.type, line?.user],
    ['iqn.a', 'iqn.b', 'Normal', 'host1'],
  )
})

test('a peer that breaks the protocol again and again is logged once', () => {
  const lines = record('info', [
    ['10.0.0.1:5', rejected],
    ['10.0.0.1:5', rejected],
    ['10.0.0.2:6', rejected],
    ['10.0.0.1:5', rejected],
  ])
  assert.deepEqual(
    lines.map(({ peer, reason }) => [peer, reason]),
    [
      ['10.0.0.1:5', 'unknown opcode 0x1c'],
      ['10.0.0.2:6', 'unknown opcode 0x1c'],
    ],
  )
})

test('a new connection from the same port is logged again', () => {
  const lines = record('info', [
    ['10.0.0.1:5', rejected],
    ['10.0.0.1:5', { kind: 'logged-out' }],
    ['10.0.0.1:5', rejected],
  ])
  assert.deepEqual(
    lines.map(({ msg }) => msg),
    ['PDU rejected', 'logout', 'PDU rejected'],
  )
})
