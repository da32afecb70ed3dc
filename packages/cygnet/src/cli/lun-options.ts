import { type Command, InvalidArgumentError } from 'commander'
import { withLoginOptions, withTlsOptions } from './login-options.ts'

/** Gives a command the options of reaching a LUN. */
export const withLunOptions = (command: Command): Command =>
  withTlsOptions(
    withLoginOptions(command)
      .option('--connections <N>', 'connections of the session, 1 to 32 (default: 1)', wholeNumber(1, 32))
      .option(
        '--reopen-limit <SECONDS>',
        'for how long a lost session is opened again before requests fail (default: 30)',
        wholeNumber(0, 86_400),
      )
      .option(
        '--task-timeout <SECONDS>',
        'after which a command without an answer is aborted; 0: never (default: 60)',
        wholeNumber(0, 86_400),
      )
      .option(
        '--path <HOST[:PORT]|URL>',
        'another way to the same LUN, used together with the first; again for each',
        (text: string, before: readonly string[]): readonly string[] => [...before, text],
        [],
      )
      .option(
        '--isid <HEX>',
        'the ISID of the session, 12 hexadecimal digits: reservations belong to it (default: random)',
        parseIsid,
      )
      .option('--all-paths', 'use all portals that the target tells'),
  )

/** Reads a whole number within bounds. */
export const wholeNumber =
  (least: number, most: number) =>
  (text: string): number => {
    const value = /^\d{1,15}$/.test(text) ? Number(text) : Number.NaN
    if (value >= least && value <= most) return value
    throw new InvalidArgumentError(`It must be a whole number from ${least} to ${most}.`)
  }

function parseIsid(text: string): Uint8Array {
  const digits = /^(?:0x)?([\da-f]{12})$/i.exec(text)?.[1]
  if (digits === undefined) throw new InvalidArgumentError('An ISID has 12 hexadecimal digits.')
  return Uint8Array.from({ length: 6 }, (_, i) => Number.parseInt(digits.slice(2 * i, 2 * i + 2), 16))
}
