import { CygnetError } from '../base/errors.ts'
import { type Address, formatAddress } from './address.ts'

type Remedy = (address: Address) => string

const remedies: Readonly<Record<string, Remedy>> = {
  EADDRINUSE: ({ host, port }) =>
    `another program has that port: end it (ss -ltnp "sport = :${port}" shows it), or choose another port, such as ${formatAddress({ host, port: port + 1 })}.`,
  EADDRNOTAVAIL: () =>
    'this machine does not have that address: choose one of its own (ip address shows them).',
  EACCES: () => 'this user may not use that port: choose one from 1024 up.',
  EPERM: () => 'this user may not use that port: choose one from 1024 up.',
  ENOTFOUND: ({ host }) => `the name ${host} is not known: check it, or give an address.`,
  EAI_AGAIN: ({ host }) => `the name ${host} cannot be looked up now: give an address.`,
  EAFNOSUPPORT: () => 'this machine does not use that kind of address: choose an IPv4 address.',
}

/** Turns an error of the system about listening into one that says what to do. */
export function listenError(address: Address, error: unknown): CygnetError {
  const code = error instanceof Error && 'code' in error ? String(error.code) : ''
  const remedy = remedies[code]?.(address) ?? (error instanceof Error ? error.message : String(error))
  return new CygnetError('LISTEN_FAILED', `Cannot listen on ${formatAddress(address)}: ${remedy}`, {
    cause: error,
  })
}
