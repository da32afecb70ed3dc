/** docs/CONFORMANCE.md names tests that exist. */
import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'

const root = join(import.meta.dirname, '../..')
const document = readFileSync(join(root, 'docs/CONFORMANCE.md'), 'utf8')

interface Row {
  /** Of the RFC; or libiscsi's test. */
  readonly section: string
  readonly role: string
  /** `file › name`, the page's way to write it. */
  readonly tests: readonly string[]
}

const rows: Row[] = document
  .split('\n')
  .filter((line) => line.startsWith('| ') && line.includes('` › '))
  .map((line) => {
    const [section = '', , role = '', tests = ''] = line.slice(2, -2).split(' | ')
    return { section, role, tests: tests.split('<br>') }
  })

/** Paths without `test/` are those of the package's sources; `.test.ts` is left out. */
const pathOf = (file: string): string =>
  join(root, file.startsWith('test/') ? '' : 'packages/cygnet/src', `${file}.test.ts`)

/** The start of a test or suite that is named by a literal or a template. */
const NAMED = /\b(?:test|it|describe)\(\s*(?:'([^'\n]*)'|"([^"\n]*)"|`([^`]*)`)/g
/** The start of a test that is named by a variable, whose value is a literal somewhere in the file. */
const BY_VARIABLE = /\b(?:test|it)\(\s*[a-z]\w*,/

const escape = (text: string): string => text.replaceAll(/[$()*+./?[\\\]^{|}]/g, String.raw`\$&`)

/** Whether a file's tests can have this name. What a template puts into a name has to be in the file as well, word by word. */
function hasTest(source: string, name: string): boolean {
  const text = source.replaceAll(/(\d)_(?=\d)/g, '$1')
  if (BY_VARIABLE.test(text) && ["'", '"'].some((quote) => text.includes(quote + name + quote))) return true
  return [...text.matchAll(NAMED)].some(([, single, double, template]) => {
    if (template === undefined) return name === (single ?? double)
    const parts = template.split(/\$\{[^}]*\}/).map((part) => escape(part))
    const words = new RegExp(`^${parts.join('(.+)')}$`, 's').exec(name)?.slice(1).join(' ')
    return words?.split(/[=, ]+/).every((word) => text.includes(word)) ?? false
  })
}

test('the table has rows for every part of the page, each with a role', () => {
  assert.ok(rows.length > 280, `${rows.length} rows`)
  for (const part of [
    '§4.2.2',
    '§6.',
    '§7.',
    '§8.',
    '§11.5',
    '§11.16',
    '§12.1',
    '§13.',
    'iSCSICHAP',
    'MultipathIO',
  ])
    assert.ok(rows.some(({ section }) => section.startsWith(part)))
  for (const { section, role } of rows) assert.match(role, /^(?:both|initiator|target)$/, section)
})

for (const { section, tests } of rows) {
  for (const reference of tests) {
    test(`${section}: ${reference}`, () => {
      const [, file = '', name = ''] = /^`([^`]+)` › (.+)$/.exec(reference) ?? []
      assert.notEqual(name, '', 'it has the form `file` › name')
      const path = pathOf(file)
      assert.ok(existsSync(path), `${file} does not exist`)
      assert.ok(hasTest(readFileSync(path, 'utf8'), name), `${file} has no test of this name`)
    })
  }
}

test('a name that no test has is noticed', () => {
  const source =
    "test('a key', f)\nfor (const number of [5, 60_000]) test(`the number ${number} is taken`, f)\nuse('a value')"
  for (const name of ['a key', 'the number 5 is taken', 'the number 60000 is taken']) {
    assert.ok(hasTest(source, name), name)
  }
  for (const name of ['a ke', 'the number is taken', 'the number 7 is taken', 'a value']) {
    assert.ok(!hasTest(source, name), name)
  }
  assert.ok(hasTest(`${source}\nfor (const what of all) test(what, f)`, 'a value'))
})
