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
        '--path <HOST[:PORT]|URL>',
        'another way to the same LUN, used together with the first; again for each',
        (text: string, before: readonly string[]): readonly string[] => [...before, text],
        [],
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
