import { CygnetError } from '../../base/errors.ts'
import { TlsPortal } from '../../runtime/tls.ts'
import { errorAt, errorAtKey, type Finding, warningAt } from './finding.ts'
import { fileFault, resolvePath, type Surroundings, warnAboutRights } from './named-files.ts'
import { tlsOf } from './normalise.ts'
import type { Path } from './problem.ts'
import type { SoundPart } from './prune.ts'
import type { TlsConfig } from './schema.ts'

/** As much as the server reads. */
const MAX_PEM_BYTES = 1024 * 1024

/** Finds what is wrong with the TLS settings of portals and with the files that they name. */
export function checkTls({ config }: SoundPart, { folder }: Surroundings): Finding[] {
  return config.portals.flatMap(({ tls }, i) => {
    if (!tls) return []
    const path = ['portals', i, 'tls']
    const findings = [...checkSettings(tls, path), ...checkFiles(tls, path, folder)]
    if (findings.some(({ severity }) => severity === 'error')) return findings
    return [...findings, ...checkMaterial(tls, path, folder)]
  })
}

function checkSettings({ certFile, keyFile, clientCaFile, psk }: TlsConfig, path: Path): Finding[] {
  const findings: Finding[] = []
  const expected = 'certFile and keyFile, or psk'
  if (certFile !== undefined && keyFile === undefined) {
    findings.push(errorAtKey(path, { expected, found: 'certFile alone', remedy: 'add keyFile' }))
  } else if (certFile === undefined && keyFile !== undefined) {
    findings.push(errorAtKey(path, { expected, found: 'keyFile alone', remedy: 'add certFile' }))
  } else if (certFile === undefined && clientCaFile === undefined && psk.length === 0) {
    findings.push(errorAtKey(path, { expected, found: 'neither', remedy: 'add certFile and keyFile' }))
  }
  if (clientCaFile !== undefined && certFile === undefined) {
    findings.push(
      errorAtKey([...path, 'clientCaFile'], {
        expected: 'clientCaFile with certFile and keyFile',
        found: 'clientCaFile without them',
        remedy: 'clients show certificates only to a server that has one: add certFile and keyFile',
      }),
    )
  }
  if (clientCaFile !== undefined && psk.length > 0) {
    findings.push(
      errorAtKey([...path, 'clientCaFile'], {
        expected: 'clientCaFile or psk',
        found: 'both',
        remedy: 'use two portals: one for client certificates, one for pre-shared keys',
      }),
    )
  }
  if (certFile !== undefined && clientCaFile === undefined && psk.length > 0) {
    findings.push(
      warningAt([...path, 'psk'], {
        expected: 'psk, or certFile with keyFile',
        found: 'both, so that clients without a key are let in too: the certificate is enough for them',
        remedy: 'remove certFile and keyFile where every client has a key, or use two portals',
      }),
    )
  }
  const identities = psk.map(({ identity }) => identity)
  for (const [i, identity] of identities.entries()) {
    if (identities.indexOf(identity) === i) continue
    findings.push(
      errorAt([...path, 'psk', i, 'identity'], {
        expected: 'an identity of its own for each key',
        found: `"${identity}" again`,
        remedy: 'remove one of the two, or rename it',
      }),
    )
  }
  return findings
}

function checkFiles(tls: TlsConfig, path: Path, folder: string): Finding[] {
  const { certFile, keyFile, clientCaFile, psk } = tls
  const files = [
    { file: certFile, at: [...path, 'certFile'], isPrivate: false },
    { file: keyFile, at: [...path, 'keyFile'], isPrivate: true },
    { file: clientCaFile, at: [...path, 'clientCaFile'], isPrivate: false },
    ...psk.map((key, i) => ({ file: key.keyFile, at: [...path, 'psk', i, 'keyFile'], isPrivate: true })),
  ]
  return files.flatMap(({ file, at, isPrivate }) => {
    if (file === undefined) return []
    const resolved = resolvePath(folder, file)
    const fault = fileFault(resolved, MAX_PEM_BYTES)
    if (fault) return [errorAt(at, { expected: 'a file', ...fault })]
    return isPrivate ? warnAboutRights(resolved, at) : []
  })
}

/** Reads the files as the server will. */
function checkMaterial(tls: TlsConfig, path: Path, folder: string): Finding[] {
  const { certificate, clientCaFile, psk } = tlsOf(tls, folder)
  try {
    void new TlsPortal(
      { ...certificate, ...(clientCaFile !== null && { clientCaFile }), psk },
      () => undefined,
    )
    return []
  } catch (error) {
    if (!(error instanceof CygnetError)) throw error
    const remedy = error.message.replace(/\.$/, '')
    return [errorAtKey(path, { expected: 'certificates and keys that can be used', found: 'others', remedy })]
  }
}
