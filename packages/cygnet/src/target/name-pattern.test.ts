import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { matchesName, type NamePattern, parseNamePattern } from './name-pattern.ts'

const cases: readonly [pattern: string, name: string, fits: boolean][] = [
  ['*', 'iqn.2001-04.com.example:a', true],
  ['iqn.2001-04.com.example:a', 'iqn.2001-04.com.example:a', true],
  ['iqn.2001-04.com.example:a', 'iqn.2001-04.com.example:ab', false],
  ['iqn.1993-08.org.debian:*', 'iqn.1993-08.org.debian:01:ab12', true],
  ['iqn.1993-08.org.debian:*', 'iqn.1993-08.org.debian:', true],
  ['iqn.1993-08.org.debian:*', 'iqn.1993-08.org.debian', false],
  ['IQN.1993-08.org.Debian:*', 'iqn.1993-08.org.debian:x', true],
  ['*:web-*', 'iqn.2001-04.com.example:web-7', true],
  ['*:web-*', 'iqn.2001-04.com.example:db-7', false],
  ['*a*b*', 'iqn.b.a', false],
  ['*-1', 'iqn.2001-04.com.example:a-1', true],
  ['*-1', 'iqn.2001-04.com.example:a-12', false],
  ['iqn.a*a', 'iqn.a', false],
  ['iqn.ab*bc*c', 'iqn.abcbcc', true],
  ['iqn.ab*bc*c', 'iqn.abc', false],
  ['iqn.1991-05.com.microsoft:my_host', 'iqn.1991-05.com.microsoft:my_host', true],
  ['iqn.1991-05.com.microsoft:my_host', 'iqn.1991-05.com.microsoft:my-host', false],
  // A dot is a dot.
  ['iqn.2001-04.com.example*', 'iqn.2001-04xcom.example', false],
]
for (const [pattern, name, fits] of cases)
  test(`${name} ${fits ? 'fits' : 'does not fit'} the pattern ${pattern}`, () => {
    assert.equal(matchesName(parseNamePattern(pattern), name), fits)
  })

const bad = {
  '': /must begin with/,
  debian: /must begin with/,
  'iqn.2001 *': /letters, digits/,
  'iqn.[ab]*': /letters, digits/,
  'iqn.?': /letters, digits/,
  [`iqn.${'a'.repeat(220)}`]: /224 characters/,
}
for (const [text, message] of Object.entries(bad))
  test(`"${text.slice(0, 40)}" is refused as a pattern of names`, () => {
    assert.throws(() => parseNamePattern(text), { code: 'NAME_PATTERN_INVALID', message })
  })

test('a pattern fits what the equivalent regular expression matches', () => {
  const text = (characters: string) =>
    fc.string({ unit: fc.constantFrom(...characters.split('')), maxLength: 12 })
  fc.assert(
    fc.property(text('ab*'), text('ab'), (pattern, name) => {
      const expected = new RegExp(`^${pattern.replaceAll('*', '.*')}$`).test(name)
      assert.equal(matchesName(pattern as NamePattern, name), expected)
    }),
    { numRuns: 5000 },
  )
})

test('a pattern made to backtrack costs no time', () => {
  const pattern = parseNamePattern(`iqn.${'*a'.repeat(100)}*b`)
  const start = performance.now()
  for (let i = 0; i < 100; i++) assert.equal(matchesName(pattern, `iqn.${'a'.repeat(219)}`), false)
  assert.ok(performance.now() - start < 1000)
})
