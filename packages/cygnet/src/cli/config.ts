import { Command } from 'commander'

export const DEFAULT_CONFIG = 'cygnet.yaml'

export function configCommand(): Command {
  return new Command('config')
    .description('Check the configuration file, or print its JSON Schema.')
    .addCommand(
      new Command('check')
        .description('Tell everything that is wrong in the configuration file, with line and column.')
        .option('-c, --config <FILE>', 'the file', DEFAULT_CONFIG)
        .action(check),
    )
    .addCommand(
      new Command('schema')
        .description('Print the JSON Schema of the file, for editors.')
        .action(printSchema),
    )
}

/** The parser and the schema are loaded only by commands that use them. */
async function check({ config }: { readonly config: string }): Promise<void> {
  const { loadConfig } = await import('../daemon/config/load.ts')
  const { formatProblem } = await import('../daemon/config/problem.ts')
  const { state, warnings } = loadConfig(config)
  for (const warning of warnings) process.stderr.write(`${formatProblem(warning)}\n`)
  const luns = state.targets.reduce((sum, target) => sum + target.luns.length, 0)
  const counts = [
    count(state.portals.length, 'portal'),
    count(state.targets.length, 'target'),
    count(luns, 'LUN'),
  ]
  process.stdout.write(`${config} is valid: ${counts.join(', ')}.\n`)
}

const count = (number: number, what: string): string => `${number} ${what}${number === 1 ? '' : 's'}`

async function printSchema(): Promise<void> {
  const { printedJsonSchema } = await import('../daemon/config/json-schema.ts')
  process.stdout.write(printedJsonSchema())
}
