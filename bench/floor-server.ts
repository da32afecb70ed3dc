/**
 * The server of the floor, in a process of its own: `node floor-server.ts [CERTIFICATE KEY]`, with a certificate over TLS.
 * Prints its port.
 */
import { readFileSync } from 'node:fs'
import { createServer, type Server } from 'node:net'
import { createServer as createTlsServer } from 'node:tls'
import { servePlain, serveTls } from './floor-service.ts'

const [certFile, keyFile] = process.argv.slice(2)
const server: Server =
  certFile === undefined || keyFile === undefined
    ? createServer({ pauseOnConnect: true }, servePlain)
    : createTlsServer(
        { cert: readFileSync(certFile), key: readFileSync(keyFile), minVersion: 'TLSv1.3' },
        serveTls,
      )
server.listen(0, '127.0.0.1', () => {
  const address = server.address()
  if (address !== null && typeof address === 'object') process.stdout.write(`${address.port}\n`)
})
