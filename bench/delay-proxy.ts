/**
 * A slow network in front of a port of this machine, in a process of its own: `node delay-proxy.ts PORT DELAY-MS WINDOW-BYTES`, with
 * the delay of one way. Prints the port that it listens on.
 */
import { connect, createServer, type Socket } from 'node:net'
import { DelayLine } from './delay-line.ts'

const [port = 0, delayMs = 0, windowBytes = 0] = process.argv.slice(2).map(Number)

/** Carries what one socket sends to another one. */
function carry(from: Socket, to: Socket): void {
  const line = new DelayLine(delayMs, windowBytes)
  let timer: NodeJS.Timeout | undefined
  const step = (): void => {
    timer = undefined
    for (const bytes of line.take(performance.now()))
      to.write(bytes, () => {
        line.delivered(bytes.length, performance.now())
        arm()
      })
    if (!line.isFull) from.resume()
    arm()
  }
  const arm = (): void => {
    if (timer !== undefined || line.dueMs === undefined) return
    timer = setTimeout(step, Math.max(0, line.dueMs - performance.now()))
  }
  from.setNoDelay(true)
  from.on('data', (bytes: Buffer) => {
    line.put(bytes, performance.now())
    if (line.isFull) from.pause()
    arm()
  })
  from.on('error', () => undefined)
  // The end comes as late as everything else.
  from.on('close', () => setTimeout(() => to.destroy(), delayMs))
}

const server = createServer((near) => {
  const far = connect(port, '127.0.0.1')
  carry(near, far)
  carry(far, near)
})
server.listen(0, '127.0.0.1', () => {
  const address = server.address()
  if (address !== null && typeof address === 'object') process.stdout.write(`${address.port}\n`)
})
