import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import { test, type TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { relay, socketPair } from './shard-relay.ts'

/** A client, and what a server accepted of it, relayed to `far`. */
async function relayed(
  t: TestContext,
  closeTimeoutMs?: number,
): Promise<Record<'client' | 'accepted' | 'near' | 'far', Socket> & { farClosed: () => void }> {
  const server = createServer({ pauseOnConnect: true }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => server.close())
  const client = connect((server.address() as { port: number }).port, '127.0.0.1')
  const [accepted] = (await once(server, 'connection')) as [Socket]
  const [near, far] = await socketPair()
  const farClosed = relay(accepted, near, closeTimeoutMs)
  t.after(() => [client, accepted, near, far].forEach((socket) => socket.destroy()))
  return { client, accepted, near, far, farClosed }
}

async function until(condition: () => boolean): Promise<void> {
  const end = performance.now() + 5000
  while (!condition()) {
    assert.ok(performance.now() < end)
    await sleep(10)
  }
}

test('bytes go both ways', async (t) => {
  const { client, far } = await relayed(t)
  const sent = randomBytes(3_000_000)
  far.pipe(far)
  client.write(sent)
  const received: Buffer[] = []
  let lengthBytes = 0
  for await (const chunk of client) {
    received.push(chunk as Buffer)
    lengthBytes += (chunk as Buffer).length
    if (lengthBytes >= sent.length) break
  }
  assert.ok(sent.equals(Buffer.concat(received)))
})

test('what was written before the end arrives', async (t) => {
  const { client, far } = await relayed(t)
  client.end('the last words')
  const chunks: Buffer[] = []
  far.on('data', (chunk: Buffer) => chunks.push(chunk))
  await once(far.resume(), 'end', { signal: AbortSignal.timeout(5000) })
  assert.equal(String(Buffer.concat(chunks)), 'the last words')
})

for (const side of ['client', 'far'] as const) {
  test(`when the ${side} end breaks, the other closes`, async (t) => {
    const sockets = await relayed(t)
    const other = sockets[side === 'client' ? 'far' : 'client']
    other.on('error', () => undefined)
    sockets[side].destroy()
    await once(other.resume(), 'close', { signal: AbortSignal.timeout(5000) })
  })
}

test('an end that broke before its relay began closes the other', async (t) => {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => server.close())
  const broken = connect((server.address() as { port: number }).port, '127.0.0.1').destroy()
  await once(broken, 'close')
  const [near, far] = await socketPair()
  t.after(() => [near, far].forEach((socket) => socket.destroy()))
  relay(broken, near)
  await once(far.resume(), 'close', { signal: AbortSignal.timeout(5000) })
})

for (const side of ['client', 'far'] as const) {
  test(`when the ${side} end closes, one that reads nothing is not waited for long`, async (t) => {
    const sockets = await relayed(t, 100)
    const { client, accepted, near, far } = sockets
    // More than kernel and streams take.
    for (const socket of [client, far]) socket.on('error', () => undefined).write(randomBytes(20_000_000))
    await sleep(100)
    sockets[side].destroy()
    await until(() => accepted.destroyed && near.destroyed)
  })
}

test('a client that reads nothing is not waited for long when the far end is known to be closed', async (t) => {
  const { accepted, near, far, farClosed } = await relayed(t, 100)
  far.write(randomBytes(20_000_000))
  await sleep(100)
  far.destroy()
  farClosed()
  await until(() => accepted.destroyed && near.destroyed)
})
