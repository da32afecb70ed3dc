import { mkdtemp, rm } from 'node:fs/promises'
import { connect, createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/**
 * Two ends of one local connection, the second paused. Node has no socketpair: this is a Unix socket in a folder that
 * only this user can enter, gone again at once.
 */
export async function socketPair(): Promise<[near: Socket, far: Socket]> {
  const folder = await mkdtemp(join(tmpdir(), 'cygnet-'))
  try {
    const path = join(folder, 'relay')
    return await new Promise((resolve, reject) => {
      const server = createServer({ pauseOnConnect: true }).once('error', reject)
      server.listen(path, () => {
        const near = connect(path).once('error', reject)
        server.once('connection', (far) => {
          server.close()
          near.off('error', reject)
          resolve([near, far])
        })
      })
    })
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

/** Carries bytes both ways until either end closes; then both do. */
export function relay(one: Socket, other: Socket): void {
  for (const [from, into] of [
    [one, other],
    [other, one],
  ] as const) {
    from.on('error', () => from.destroy())
    from.once('close', () => into.destroySoon())
    from.pipe(into)
  }
}
