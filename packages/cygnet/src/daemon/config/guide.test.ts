import assert from 'node:assert/strict'
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { after, test } from 'node:test'
import { isMap, isScalar, parse, parseDocument } from 'yaml'
import { TestCertificates } from '../../runtime/tls-certificates.test-helper.ts'
import { allSettings, sections, settingsTable } from './guide.test-helper.ts'
import { printedJsonSchema } from './json-schema.ts'
import { checkConfig } from './load.ts'
import { environment, scratchFolder } from './marked.test-helper.ts'
import { formatProblem } from './problem.ts'

const root = resolve(import.meta.dirname, '../../../../..')
const guidePath = join(root, 'docs/guides/configuration.md')
const schemaPath = join(root, 'packages/cygnet/cygnet.schema.json')
const examplePath = join(root, 'examples/cygnet.yaml')

/** With UPDATE=1 in the environment, what is generated is written instead of compared. */
function isCurrent(path: string, expected: string): void {
  if (process.env['UPDATE'] === '1') writeFileSync(path, expected)
  assert.equal(readFileSync(path, 'utf8'), expected, `stale: run this test once with UPDATE=1`)
}

test('the JSON Schema of the package is current', () => {
  isCurrent(schemaPath, printedJsonSchema())
})

test('the tables of the guide are those of the schema', () => {
  let guide = readFileSync(guidePath, 'utf8')
  for (const section of sections) {
    const marks = new RegExp(`(?<=<!-- settings of ${section} -->\n\n).*?(?=\n\n<!-- end -->)`, 's')
    assert.match(guide, marks, `the guide has no place for ${section}`)
    guide = guide.replace(marks, () => settingsTable(section))
  }
  isCurrent(guidePath, guide)
})

const blocks = [...readFileSync(guidePath, 'utf8').matchAll(/```yaml\n(?<text>.*?)```/gs)].map(
  (match) => match.groups?.['text'] ?? '',
)
const minimal = 'targets: { iqn.2026-11.dev.example:minimal: { luns: { 0: { memory: 1M } } } }\n'
const folder = scratchFolder()

const certificates = new TestCertificates()
after(() => certificates.remove())
const { certFile, keyFile } = certificates.ca('authority')

/** Creates the files that secrets, certificates and keys are read from. */
function createNamedFiles(text: string): void {
  for (const [, name = ''] of text.matchAll(/(?:secretFile|certFile|keyFile|clientCaFile): ([\w./-]+)/g)) {
    const path = join(folder, name)
    mkdirSync(dirname(path), { recursive: true })
    if (name.endsWith('.pem')) copyFileSync(certFile, path)
    else if (name.endsWith('.key')) copyFileSync(keyFile, path)
    else writeFileSync(path, Buffer.from(name.padEnd(16)).toString('hex'), { mode: 0o600 })
  }
}

function problemsOf(text: string): string[] {
  createNamedFiles(text)
  const variables = { ...environment, CYGNET_MUTUAL: 'a mutual secret', CYGNET_HOST2: 'the secret of host2' }
  return checkConfig(text, join(folder, 'cygnet.yaml'), variables).problems.map(formatProblem)
}

test('every example of the guide is a valid file, or part of one', () => {
  assert.ok(blocks.length > 5)
  for (const block of blocks) {
    const isWhole = /^targets:/m.test(block)
    // A part shows portals or targets that refer to each other: what it leaves out is there.
    const problems = problemsOf(isWhole ? block : block + minimal)
    // The one way to write a secret that is warned of is shown, too.
    const others = problems.filter((line) => !line.includes('expected a secret outside of this file'))
    assert.deepEqual(others, [], block)
  }
})

/** What the guide calls the keys of mappings, by the end of the mapping's path. */
const KEY_NAMES = [
  ['targets', 'NAME'],
  ['NAME.luns', 'LUN'],
  ['NAME.paths', 'GROUP'],
] as const

/** The settings that a YAML file uses, written as the guide does. */
function pathsIn(value: unknown, path: string): string[] {
  if (Array.isArray(value)) return value.flatMap((entry) => pathsIn(entry, `${path}[]`))
  if (typeof value !== 'object' || value === null) return []
  return Object.entries(value).flatMap(([key, child]) => {
    const name = KEY_NAMES.find(([end]) => path.endsWith(end))?.[1] ?? key
    const childPath = path === '' ? name : `${path}.${name}`
    return [childPath, ...pathsIn(child, childPath)]
  })
}

test('every setting has an example in the guide', () => {
  const used = new Set(blocks.flatMap((block) => pathsIn(parse(block), '')))
  const missing = allSettings.map(({ path }) => path).filter((path) => !used.has(path))
  assert.deepEqual(missing, [])
})

test('the example file is valid, and editors find its schema', () => {
  const text = readFileSync(examplePath, 'utf8')
  assert.deepEqual(problemsOf(text), [])
  const schema = /^# yaml-language-server: \$schema=(?<path>\S+)$/m.exec(text)?.groups?.['path'] ?? ''
  assert.equal(resolve(dirname(examplePath), schema), schemaPath)
})

test('the example file is commented, and shows every section', () => {
  const text = readFileSync(examplePath, 'utf8')
  const { contents } = parseDocument(text)
  assert.ok(isMap(contents))
  assert.deepEqual(
    contents.items.map(({ key }) => (isScalar(key) ? key.value : undefined)),
    sections,
  )
  assert.ok([...text.matchAll(/# \S/g)].length >= 10)
})
