import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import { test, type TestContext } from 'node:test'
import { relay, socketPair } from './shard-relay.ts'

/** A client, and what a server accepted of it, relayed to `far`. */
async function relayed(t: TestContext): Promise<{ client: Socket; far: Socket }> {
  const server = createServer({ pauseOnConnect: true }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => server.close())
  const client = connect((server.address() as { port: number }).port, '127.0.0.1')
  const [accepted] = (await once(server, 'connection')) as [Socket]
  const [near, far] = await socketPair()
  relay(accepted, near)
  t.after(() => [client, far].forEach((socket) => socket.destroy()))
  return { client, far }
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
