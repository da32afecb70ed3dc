/**
 * A disc that a PC boots from, made by xorriso. Its boot sector reads the disc's volume descriptor through the firmware and writes
 * the name in it to the serial port, so that a machine that boots says what it has booted.
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import { createHash } from 'node:crypto'
import { peerPath } from './peer.ts'
import { runOk, type Scratch } from './scratch.ts'
import { Seeded } from './seeded.ts'

export const VOLUME = 'CYGNET_BOOT'
const BOOT_SECTOR_BYTES = 2048
const LOADED_AT = 0x7c00

/** 16-bit code of El Torito, which has the drive's number in DL. */
function bootSector(): Buffer {
  const code = [
    [0x31, 0xc0], //        xor ax, ax
    [0x8e, 0xd8], //        mov ds, ax
    [0x8e, 0xd0], //        mov ss, ax
    [0xbc, 0x00, 0x7c], //  mov sp, 7c00h
    [0xbe, 0, 0], //        mov si, packet
    [0xb4, 0x42], //        mov ah, 42h       extended read
    [0xcd, 0x13], //        int 13h
    [0x72, 0x11], //        jc end
    [0xbe, 0x28, 0x80], //  mov si, 8028h     the volume's name
    [0xb9, 0x20, 0x00], //  mov cx, 32
    [0xac], //              lodsb
    [0xba, 0xf8, 0x03], //  mov dx, 3f8h      the serial port
    [0xee], //              out dx, al
    [0xe2, 0xf9], //        loop -7
    [0xb0, 0x10], //        mov al, 10h
    [0xe6, 0xf4], //        out f4h, al       ends the machine
    [0xf4], //        end:  hlt
    [0xeb, 0xfd], //        jmp end
  ].flat()
  // One block, to 0000:8000, from LBA 16.
  const packet = [0x10, 0, 1, 0, 0x00, 0x80, 0, 0, 16, 0, 0, 0, 0, 0, 0, 0]
  const sector = Buffer.alloc(BOOT_SECTOR_BYTES)
  sector.set([...code, ...packet])
  sector.writeUInt16LE(LOADED_AT + code.length, code.indexOf(0xbe) + 1)
  return sector
}

export interface BootDisc {
  readonly path: string
  /** Of its files, as `sha256sum` writes and reads them. */
  readonly sums: string
}

/** Makes `NAME.iso` with files of random bytes. */
export async function makeBootDisc(scratch: Scratch, name: string): Promise<BootDisc> {
  const tree = scratch.path(`${name}-tree`)
  mkdirSync(`${tree}/folder`, { recursive: true })
  writeFileSync(`${tree}/boot.bin`, bootSector())
  const seeded = new Seeded()
  const sums = ['one', 'folder/a longer name.data', 'folder/three'].map((file, i) => {
    const bytes = seeded.bytes(1_000_000 * i + 12_345)
    writeFileSync(`${tree}/${file}`, bytes)
    return `${createHash('sha256').update(bytes).digest('hex')}  ${file}\n`
  })
  const path = scratch.path(`${name}.iso`)
  const boot = ['-b', 'boot.bin', '-no-emul-boot', '-boot-load-size', '4']
  await runOk(peerPath('xorriso'), [
    ...['-as', 'mkisofs', '-quiet', '-R', '-J', '-V', VOLUME],
    ...boot,
    ...['-o', path, tree],
  ])
  return { path, sums: sums.join('') }
}
