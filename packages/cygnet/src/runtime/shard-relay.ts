import { mkdtemp, rm } from 'node:fs/promises'
import { connect, createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** How long an end may take what the other has sent, once that is closed. Nobody counts it any more. */
const CLOSE_TIMEOUT_MS = 5000

/**
 * Two ends of one local connection, the second paused. Node has no socketpair: this is a Unix socket in a folder that
 * only this user can enter, gone again at once.
 */
export async function socketPair(): Promise<[near: Socket, far: Socket]> {
  const folder = await mkdtemp(join(tmpdir(), 'cygnet-'))
  const server = createServer({ pauseOnConnect: true })
  try {
    const path = join(folder, 'relay')
    return await new Promise((resolve, reject) => {
      server.once('error', reject)
      server.listen(path, () => {
        const near = connect(path).once('error', reject)
        server.once('connection', (far) => {
          near.off('error', reject)
          resolve([near, far])
        })
      })
    })
  } finally {
    server.close()
    await rm(folder, { recursive: true, force: true })
  }
}

/**
 * Carries bytes both ways until either end closes, or has closed; then both do.
 * @returns what says that the other end of `other` has closed: as long as `one` takes no bytes, nothing shows it here
 */
export function relay(one: Socket, other: Socket, closeTimeoutMs = CLOSE_TIMEOUT_MS): () => void {
  for (const [from, into] of [
    [one, other],
    [other, one],
  ] as const) {
    const closed = (): void => {
      into.destroySoon()
      destroyLater(into, closeTimeoutMs)
    }
    from.on('error', () => from.destroy())
    if (from.closed) closed()
    else from.once('close', closed)
    from.pipe(into)
  }
  return () => destroyLater(one, closeTimeoutMs)
}

function destroyLater(socket: Socket, timeoutMs: number): void {
  if (socket.closed) return
  const timer = setTimeout(() => socket.destroy(), timeoutMs)
  socket.once('close', () => clearTimeout(timer))
}
