import assert from 'node:assert/strict'
import { chmodSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { pino } from 'pino'
import { MemoryStore } from '../store/memory.ts'
import { defaultTraits, type MediumState } from './config/state.ts'
import type { OpenDisk } from './disks.ts'
import { unitIdentity } from './identity.ts'
import { UnitRecords } from './unit-records.ts'

const folder = mkdtempSync(join(tmpdir(), 'cygnet-records-'))
after(() => rmSync(folder, { recursive: true }))
const lines: string[] = []
const log = pino({ level: 'info' }, { write: (line: string) => void lines.push(line) })
const identity = unitIdentity('iqn.2026-11.test:disk', 0)

const diskOn = (medium: MediumState): OpenDisk => ({
  lun: 0,
  kind: 'disk',
  blockSizeBytes: 512,
  readOnly: false,
  name: medium.kind === 'file' ? medium.path : 'memory',
  sizeBytes: 512,
  traits: defaultTraits,
  medium,
  store: new MemoryStore({ sizeBytes: 512, defer: setImmediate }),
})

function imageIn(folderName: string): MediumState {
  mkdirSync(join(folder, folderName), { recursive: true })
  const path = join(folder, folderName, 'disk.img')
  writeFileSync(path, Buffer.alloc(512))
  return { kind: 'file', path, createSizeBytes: null }
}

test('an image has its file beside it, and none before there is something to remember', () => {
  const records = new UnitRecords(null, log)
  const file = records.open(diskOn(imageIn('beside')), identity)
  assert.equal(file?.path, join(folder, 'beside', 'disk.img.state'))
  assert.equal(existsSync(file.path), false)
})

test('with a state folder, which is made, each unit has its file there', () => {
  const records = new UnitRecords(join(folder, 'state', 'deep'), log)
  const file = records.open(diskOn(imageIn('elsewhere')), identity)
  assert.match(file?.path ?? '', /state\/deep\/naa\.3[0-9a-f]{15}\.json$/)
  const device = records.open(diskOn({ kind: 'file', path: '/dev/null', createSizeBytes: null }), identity)
  assert.ok(device)
})

test('a device without a state folder and a disk in memory remember nothing', () => {
  const records = new UnitRecords(null, log)
  const device = diskOn({ kind: 'file', path: '/dev/null', createSizeBytes: null })
  assert.equal(records.open(device, identity), undefined)
  assert.match(lines.at(-1) ?? '', /no state folder is set/)
  assert.equal(records.open(diskOn({ kind: 'memory', sizeBytes: 512 }), identity), undefined)
})

test('what belongs to another unit is told, and not used', async () => {
  const disk = diskOn(imageIn('renamed'))
  const records = new UnitRecords(null, log)
  await new Promise((resolve) => records.open(disk, identity)?.set('a', 1, resolve))
  const other = records.open(disk, unitIdentity('iqn.2026-11.test:renamed', 0))
  assert.equal(other?.get('a'), undefined)
  assert.match(lines.at(-1) ?? '', /of another target or LUN/)
  assert.equal(records.open(disk, identity)?.get('a'), 1)
})

test('a state folder that cannot be used is told at the start', () => {
  const path = join(folder, 'a file')
  writeFileSync(path, '')
  assert.throws(() => new UnitRecords(join(path, 'below'), log), { code: 'STATE_FOLDER' })
  if (process.getuid?.() === 0) return
  chmodSync(folder, 0o500)
  assert.throws(() => new UnitRecords(join(folder, 'new'), log), { code: 'STATE_FOLDER' })
  chmodSync(folder, 0o700)
})
