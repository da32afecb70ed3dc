import { randomBytes } from 'node:crypto'
import { CygnetError } from '../base/errors.ts'
import type { BackingStore, Done } from '../store/backing-store.ts'
import type { DurableRecords } from '../store/durable-records.ts'
import { ENCRYPTION_KEY_BYTES, EncryptedStore } from '../store/encrypted.ts'
import type { OpenDisk } from './disks.ts'

const RECORD = 'encryptionKey'
const HEX = new RegExp(`^[0-9a-f]{${2 * ENCRYPTION_KEY_BYTES}}$`)

/**
 * The store of a disk that is kept encrypted. Its key is made when it is first served, and is among its records; a disk in
 * memory takes its key with it.
 * @throws {CygnetError} ENCRYPTION_KEY where there is no place for the key, or it is not understood
 */
export async function encryptedStore(
  { store, name, blockSizeBytes, medium }: OpenDisk,
  records: DurableRecords | undefined,
): Promise<BackingStore> {
  if (!records && medium.kind !== 'memory') {
    const message = `There is no place for the key of ${name}: set a state folder.`
    throw new CygnetError('ENCRYPTION_KEY', message)
  }
  const saveKey = (key: Uint8Array, done: Done): void => {
    if (records) records.set(RECORD, Buffer.from(key).toString('hex'), done)
    else done(undefined)
  }
  const key = keyOf(records?.get(RECORD), name) ?? (await newKey(saveKey, name))
  return new EncryptedStore(store, { blockBytes: blockSizeBytes, key, randomBytes, saveKey })
}

function keyOf(saved: unknown, name: string): Uint8Array | undefined {
  if (saved === undefined) return undefined
  if (typeof saved === 'string' && HEX.test(saved)) return Uint8Array.from(Buffer.from(saved, 'hex'))
  throw new CygnetError('ENCRYPTION_KEY', `The key of ${name} is not understood: restore its state file.`)
}

function newKey(save: (key: Uint8Array, done: Done) => void, name: string): Promise<Uint8Array> {
  const key = randomBytes(ENCRYPTION_KEY_BYTES)
  return new Promise((resolve, reject) => {
    save(key, (error) => {
      if (!error) return resolve(key)
      const message = `The key of ${name} cannot be saved: see that its state can be written.`
      reject(new CygnetError('ENCRYPTION_KEY', message, { cause: error.cause }))
    })
  })
}
