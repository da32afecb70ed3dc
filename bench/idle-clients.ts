/**
 * Logs in so many sessions, in a process of its own: `node idle-clients.ts URL COUNT`. Prints how long that took in
 * milliseconds, and keeps them until it is ended.
 */
import { openSession, parseIscsiUrl, type Session } from '../packages/cygnet/src/initiator.ts'

/** Logins under way together. */
const AT_ONCE = 32

const [url = '', count = '0'] = process.argv.slice(2)
const options = parseIscsiUrl(url)
const sessions: Session[] = []
let left = Number(count)

async function login(): Promise<void> {
  // oxlint-disable-next-line no-await-in-loop -- so many logins at a time as there are callers
  while (left-- > 0) sessions.push(await openSession(options))
}

const startMs = performance.now()
await Promise.all(Array.from({ length: AT_ONCE }, login))
process.stdout.write(`${performance.now() - startMs}\n`)
