#!/usr/bin/env node
/* Written in old syntax on purpose: an older Node must get as far as the sentence below. */
'use strict'

var oldestMajor = 24
var major = parseInt(process.versions.node, 10)

if (major < oldestMajor) {
  process.stderr.write(
    'cygnet needs Node.js ' +
      oldestMajor +
      ' or newer, and this is ' +
      process.versions.node +
      ': install a newer one from https://nodejs.org and start cygnet again.\n',
  )
  process.exitCode = 1
} else {
  /* Disk I/O that the page cache cannot answer waits in this pool; its default of 4 threads is little for a disk. */
  if (process.env.UV_THREADPOOL_SIZE === undefined) process.env.UV_THREADPOOL_SIZE = '16'
  var fs = require('fs')
  var path = require('path')
  /* A checkout runs its sources as they are; the published package holds compiled ones only. */
  var source = path.join(__dirname, '../src/cli/main.ts')
  var compiled = path.join(__dirname, '../dist/cli/main.js')
  require(fs.existsSync(source) ? source : compiled).main(process.argv.slice(2))
}
