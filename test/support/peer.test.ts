import assert from 'node:assert/strict'
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { findCommand } from './peer.ts'

const folder = mkdtempSync(join(tmpdir(), 'cygnet-peer-'))
after(() => rmSync(folder, { recursive: true }))

test('a program is found in the search path', () => {
  const path = join(folder, 'cygnet-test-peer')
  writeFileSync(path, '#!/bin/sh\n')
  assert.equal(findCommand('cygnet-test-peer', folder), undefined, 'a file that is not executable')
  chmodSync(path, 0o755)
  assert.equal(findCommand('cygnet-test-peer', `/nonexistent:${folder}`), path)
})

test('a folder is not a program', () => {
  mkdirSync(join(folder, 'cygnet-test-folder'))
  assert.equal(findCommand('cygnet-test-folder', folder), undefined)
})

test('a missing program is undefined', () => {
  assert.equal(findCommand('cygnet-no-such-program'), undefined)
})
