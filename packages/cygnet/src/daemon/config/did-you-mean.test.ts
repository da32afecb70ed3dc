import assert from 'node:assert/strict'
import { test } from 'node:test'
import { nearest } from './did-you-mean.ts'

const words = ['file', 'memory', 'size', 'blockSize', 'readOnly']
const cases: Readonly<Record<string, string | undefined>> = {
  fiel: 'file',
  File: 'file',
  memry: 'memory',
  readonly: 'readOnly',
  'read-only': 'readOnly',
  blocksize: 'blockSize',
  sizes: 'size',
  colour: undefined,
  x: undefined,
  '': undefined,
}
for (const [text, expected] of Object.entries(cases))
  test(`"${text}" ${expected === undefined ? 'is near to nothing' : `may mean ${expected}`}`, () => {
    assert.equal(nearest(text, words), expected)
  })
