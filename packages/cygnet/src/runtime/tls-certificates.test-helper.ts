/** Certificates for tests, made by the `openssl` program. */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

export interface Certificate {
  readonly certFile: string
  readonly keyFile: string
}

export interface CertificateOptions {
  /** An X.509 subjectAltName, such as `DNS:localhost`. */
  readonly altNames?: string
  /** Days from now; less than 0: it has expired. Default 30. */
  readonly days?: number
}

/** A folder of certificates of several CAs. */
export class TestCertificates {
  readonly folder = mkdtempSync(join(tmpdir(), 'cygnet-tls-'))

  path(name: string): string {
    return join(this.folder, name)
  }

  remove(): void {
    rmSync(this.folder, { recursive: true })
  }

  ca(name: string): Certificate {
    const files = this.#files(name)
    this.#openssl('req', '-x509', ...newKey, '-subj', `/CN=${name}`, '-days', '30', ...out(files))
    return files
  }

  issue(name: string, ca: Certificate, { altNames, days = 30 }: CertificateOptions = {}): Certificate {
    const files = this.#files(name)
    const request = this.path(`${name}.csr`)
    const extensions = this.path(`${name}.ext`)
    writeFileSync(extensions, altNames === undefined ? '' : `subjectAltName=${altNames}\n`)
    this.#openssl('req', ...newKey, '-subj', `/CN=${name}`, '-keyout', files.keyFile, '-out', request)
    const signer = ['-CA', ca.certFile, '-CAkey', ca.keyFile, '-CAcreateserial', '-extfile', extensions]
    this.#openssl('x509', '-req', '-in', request, '-out', files.certFile, '-days', `${days}`, ...signer)
    return files
  }

  #files(name: string): Certificate {
    return { certFile: this.path(`${name}.crt`), keyFile: this.path(`${name}.key`) }
  }

  #openssl(...args: string[]): void {
    try {
      execFileSync('openssl', args, { stdio: 'pipe' })
    } catch (cause) {
      const { stderr } = cause as { stderr?: Buffer }
      throw new Error(`openssl ${args[0]} failed; is the program installed? ${stderr?.toString() ?? ''}`, {
        cause,
      })
    }
  }
}

const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes']
const out = ({ certFile, keyFile }: Certificate): string[] => ['-keyout', keyFile, '-out', certFile]
