/**
 * A public error: `code` is stable and made for programs, `message` says what to do.
 * Expected outcomes inside the core are values, not errors.
 */
export class CygnetError extends Error {
  override readonly name: string = 'CygnetError'
  readonly code: string

  constructor(code: string, message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
  }
}
