/**
 * The test command: `npm test`, or a part of it: `npm test -- unit`, `npm test -- interop --only qemu`.
 * The last line is `N passed, N failed`; under `CI=true` whatever did not run counts as failed.
 */
import { spawnSync } from 'node:child_process'
import { globSync } from 'node:fs'
import { join, relative, resolve } from 'node:path'
import { parseArgs, styleText } from 'node:util'
import { runFile } from './support/run-file.ts'
import { type Outcome, Tally } from './support/tally.ts'

/** Checks that are one program each, of `node_modules/.bin`. */
const commandStages = {
  typecheck: ['tsc', '-p', 'tsconfig.json'],
  lint: ['oxlint', '--type-aware', '--deny-warnings'],
  format: ['biome', 'format'],
} as const

interface FileStage {
  readonly files: readonly string[]
  /** Files that run at the same time. One where they measure time, or use much of the machine. */
  readonly atOnce: number
  /** Files that run one by one beside the others: they wait for a guest, which keeps one processor busy. */
  readonly beside?: RegExp
  readonly fileTimeoutMs: number
}

const fileStages = {
  unit: {
    files: ['packages/*/src/**/*.test.ts', 'test/support/*.test.ts', 'bench/*.test.ts'],
    atOnce: 2,
    fileTimeoutMs: 120_000,
  },
  simulation: { files: ['sim/**/*.test.ts'], atOnce: 2, fileTimeoutMs: 240_000 },
  property: { files: ['test/property/**/*.test.ts'], atOnce: 2, fileTimeoutMs: 180_000 },
  conformance: { files: ['test/conformance/**/*.test.ts'], atOnce: 2, fileTimeoutMs: 300_000 },
  interop: {
    files: ['test/interop/**/*.test.ts'],
    atOnce: 1,
    beside: /kernel|lio|file-system/,
    fileTimeoutMs: 480_000,
  },
} as const satisfies Record<string, FileStage>

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    /** Run only the files whose path contains this. */
    only: { type: 'string' },
    /** The checkout to test: this one, except for the runner's own tests. */
    root: { type: 'string', default: resolve(import.meta.dirname, '..') },
  },
})
const root = resolve(values.root)
const strict = process.env['CI'] === 'true'
const tally = new Tally(strict)
const write = (text: string): void => void process.stdout.write(text)
const heading = (text: string): void => write(`\n${styleText('bold', text)}\n`)

const marks: Record<Outcome, string> = {
  passed: styleText('green', 'ok      '),
  failed: styleText('red', 'FAILED  '),
  skipped: styleText('yellow', 'skipped '),
  todo: styleText('yellow', 'to do   '),
}

function runCommandStage(name: string, [program, ...options]: readonly [string, ...string[]]): void {
  heading(`${name}: ${program} ${options.join(' ')}`)
  const { status } = spawnSync(process.execPath, [join(root, 'node_modules/.bin', program), ...options], {
    cwd: root,
    stdio: 'inherit',
    timeout: 120_000,
  })
  tally.add({ where: name, name, outcome: status === 0 ? 'passed' : 'failed' })
}

/** Runs one file; its lines are printed together at its end, or as they come where files run one by one. */
async function runAndPrint(file: string, stage: FileStage): Promise<void> {
  const live = stage.atOnce === 1 && stage.beside === undefined
  const path = relative(root, file)
  const started = performance.now()
  const counts: Record<Outcome, number> = { passed: 0, failed: 0, skipped: 0, todo: 0 }
  let output = ''
  let lines = ''
  const say = (text: string): void => {
    if (live) write(text)
    else lines += text
  }
  if (live) write(`${path}\n`)
  await runFile({
    root,
    file,
    timeoutMs: stage.fileTimeoutMs,
    onCheck(check, durationMs, failure) {
      tally.add(check)
      counts[check.outcome]++
      if (live || check.outcome !== 'passed')
        say(
          `  ${marks[check.outcome]}${check.name}${check.reason ? ` (${check.reason})` : ''}  ${duration(durationMs)}\n`,
        )
      if (failure !== undefined) say(`${failure.replaceAll(/^/gm, '    ')}\n`)
    },
    onOutput(text) {
      if (live) write(text.replaceAll(/^(?=.)/gm, '    '))
      else output += text
    },
  })
  const worst =
    counts.failed > 0 ? 'failed' : counts.skipped > 0 ? 'skipped' : counts.todo > 0 ? 'todo' : 'passed'
  const total = Object.values(counts).reduce((sum, count) => sum + count, 0)
  if (!live)
    write(`${marks[worst]}${path}  ${total} tests  ${duration(performance.now() - started)}\n${lines}`)
  if (counts.failed > 0 && output !== '')
    write(`  output of ${path}:\n${output.replaceAll(/^(?=.)/gm, '    ')}\n`)
}

const duration = (ms: number): string => (ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`)

async function runFileStage(name: string, stage: FileStage, only: string): Promise<void> {
  const files = globSync([...stage.files], { cwd: root, exclude: ['**/node_modules/**'] })
    .filter((file) => file.includes(only))
    .toSorted()
  if (files.length === 0) return
  heading(`${name}: ${files.length} files`)
  const worker = async (waiting: Iterable<string>): Promise<void> => {
    for (const file of waiting) await runAndPrint(join(root, file), stage)
  }
  const isBeside = (file: string): boolean => stage.beside?.test(file) ?? false
  const others = files.filter((file) => !isBeside(file)).values()
  await Promise.all([
    worker(files.filter(isBeside)),
    ...Array.from({ length: stage.atOnce }, () => worker(others)),
  ])
}

const names = [...Object.keys(commandStages), ...Object.keys(fileStages)]
const unknown = positionals.filter((name) => !names.includes(name))
if (unknown.length > 0) {
  process.stderr.write(`There is no stage "${unknown.join(', ')}"; the stages are ${names.join(', ')}.\n`)
  process.exit(2)
}
const wanted = (name: string): boolean => positionals.length === 0 || positionals.includes(name)

write(`Node ${process.version}${strict ? ', CI=true: whatever does not run counts as failed' : ''}\n`)
for (const [name, command] of Object.entries(commandStages))
  if (wanted(name) && (values.only === undefined || positionals.includes(name)))
    runCommandStage(name, command)
for (const [name, stage] of Object.entries(fileStages))
  if (wanted(name)) await runFileStage(name, stage, values.only ?? '')

write(tally.lines().join('\n') + '\n')
if (tally.passed + tally.failed === 0) process.stderr.write('Nothing was run: no file matches.\n')
process.exitCode = tally.failed > 0 || tally.passed === 0 ? 1 : 0
