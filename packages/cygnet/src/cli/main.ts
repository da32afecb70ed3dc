import { readFileSync } from 'node:fs'
import { Command } from 'commander'
import { CygnetError } from '../base/errors.ts'
import { attachCommand } from './attach.ts'
import { benchCommand } from './bench.ts'
import { configCommand } from './config.ts'
import { copyCommand } from './copy.ts'
import { discoverCommand } from './discover.ts'
import { firstFailure } from './first-failure.ts'
import { infoCommand } from './info.ts'
import { escapeControls } from './log.ts'
import { reserveCommand } from './reserve.ts'
import { serveCommand } from './serve.ts'
import { tunnelCommand } from './tunnel.ts'
import { verifyCommand } from './verify.ts'

/** Which option does what an error of a lower layer asks for. */
const hints: Readonly<Record<string, string>> = {
  LISTEN_FAILED: '--listen, or "listen" in the configuration file',
  STORE_MISSING: 'such as --size 1G, or "size: 1G" in the configuration file',
  STORE_EMPTY: 'such as --size 1G, or "size: 1G" in the configuration file',
  STORE_NOT_PERMITTED: '--read-only, or "readOnly: true" in the configuration file',
  STORE_OPEN_FAILED: 'its folder must exist and have room',
}

/** Runs the command line. An expected error ends as one sentence on stderr and exit code 1; anything else is a bug. */
export function main(args: readonly string[]): void {
  const program = new Command('cygnet')
    .description(
      'An iSCSI target that serves disk images to any operating system, and an initiator that uses LUNs.',
    )
    .version(packageVersion())
    .showHelpAfterError('(cygnet --help shows what there is)')
    .addCommand(serveCommand())
    .addCommand(configCommand())
    .addCommand(discoverCommand())
    .addCommand(infoCommand())
    .addCommand(copyCommand())
    .addCommand(attachCommand())
    .addCommand(benchCommand())
    .addCommand(verifyCommand())
    .addCommand(reserveCommand())
    .addCommand(tunnelCommand())
  // Who closes the pipe behind them loses the words, and nothing else ends.
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => undefined)
  program.parseAsync(args, { from: 'user' }).catch((failure: unknown) => {
    const error = firstFailure(failure)
    if (!(error instanceof CygnetError)) throw error
    const hint = hints[error.code]
    // It may quote what a peer or a file says.
    const message = error.message.split('\n').map(escapeControls).join('\n')
    process.stderr.write(`cygnet: ${message}${hint === undefined ? '' : ` (${hint})`}\n`)
    process.exitCode = 1
  })
}

function packageVersion(): string {
  const url = new URL('../../package.json', import.meta.url)
  const { version } = JSON.parse(readFileSync(url, 'utf8')) as { version: string }
  return version
}
