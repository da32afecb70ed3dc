/** Debian's istgt as a target: one disk behind LUN 0 of each of its targets. */
import { writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { peerPath } from './peer.ts'
import { freePort, type Scratch } from './scratch.ts'
import { createImage, sleep } from './subject.ts'

const BASE = 'iqn.2026-11.dev.example'
const START_TRIES = 100

export interface IstgtDisk {
  /** Last part of the target's name. */
  readonly name: string
  readonly size: string
  readonly blockSize: 512 | 4096
  /** With it, every login has CHAP, and may ask for the target's proof; without it, none has. */
  readonly chap?: IstgtChap
}

export interface IstgtUser {
  readonly user: string
  readonly secret: string
}

export interface IstgtChap {
  readonly host: IstgtUser
  readonly target: IstgtUser
}

export interface Istgt {
  readonly port: number
  readonly pid: number
  /** A target's name is this, a colon, and the name of its disk. */
  readonly base: string
  url(name: string, query?: string): string
}

/** Starts it, and waits until it listens. */
export async function startIstgt(scratch: Scratch, disks: readonly IstgtDisk[]): Promise<Istgt> {
  const port = await freePort()
  const control = await freePort()
  const groups = disks.map(({ chap }, index) => {
    const words = chap
      ? [chap.host.user, chap.host.secret, chap.target.user, chap.target.secret]
      : ['nobody', 'nobodys-secret']
    return `[AuthGroup${index + 1}]\n  Auth ${words.map((word) => `"${word}"`).join(' ')}\n`
  })
  writeFileSync(scratch.path('auth.conf'), groups.join(''), { mode: 0o600 })
  const units = disks.map(({ name, size, blockSize, chap }, index) => {
    createImage(scratch.path(`${name}.istgt`), size)
    return `[LogicalUnit${index + 1}]
  TargetName ${BASE}:${name}
  Mapping PortalGroup1 InitiatorGroup1
  AuthMethod ${chap ? 'CHAP' : 'None'}
  AuthGroup ${chap ? `AuthGroup${index + 1}` : 'None'}
  UseDigest Auto
  UnitType Disk
  BlockLength ${blockSize}
  LUN0 Storage ${scratch.path(`${name}.istgt`)} Auto
`
  })
  writeFileSync(
    scratch.path('istgt.conf'),
    `[Global]
  NodeBase "${BASE}"
  PidFile ${scratch.path('istgt.pid')}
  AuthFile ${scratch.path('auth.conf')}
  MediaDirectory ${scratch.folder}
  DiscoveryAuthMethod None
  MaxSessions 16
  MaxConnections 4
[UnitControl]
  AuthMethod CHAP
  AuthGroup AuthGroup1
  Portal UC1 127.0.0.1:${control}
  Netmask 127.0.0.1
[PortalGroup1]
  Portal DA1 127.0.0.1:${port}
[InitiatorGroup1]
  InitiatorName "ALL"
  Netmask 127.0.0.0/8
${units.join('')}`,
  )
  const child = scratch.spawn(peerPath('istgt'), ['-c', scratch.path('istgt.conf'), '-D'])
  for (let tries = 0; !(await isListening(port)); tries++) {
    if (tries === START_TRIES || child.exitCode !== null) throw new Error('istgt is not ready')
    await sleep(100)
  }
  const pid = child.pid ?? -1
  return {
    port,
    pid,
    base: BASE,
    url: (name, query = '') => `iscsi://127.0.0.1:${port}/${BASE}:${name}/0${query}`,
  }
}

function isListening(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1')
    const end = (answer: boolean) => (): void => {
      socket.destroy()
      resolve(answer)
    }
    socket.once('connect', end(true))
    socket.once('error', end(false))
  })
}
