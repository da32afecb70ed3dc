import * as z from 'zod'
import { CygnetError } from '../../base/errors.ts'
import { MAX_LUN } from '../../scsi/lun.ts'
import { settableAccessStates } from '../../scsi/target-port-groups.ts'
import { chapAlgorithmNames } from '../../session/auth/chap-algorithms.ts'
import { formatAddressRange, parseAddressRange } from '../../target/address-range.ts'
import { parseNamePattern } from '../../target/name-pattern.ts'
import { type Address, ISCSI_PORT, parseAddress } from '../address.ts'
import { logLevels } from '../log-level.ts'
import { parseSize } from '../size.ts'
import { backoffSettings, type LimitSetting, limitSettings } from './limits.ts'
import { defaultGroup, defaultPortal, MAX_SHARDS, unitKinds } from './state.ts'

/*
 * The shape of cygnet.yaml. Each setting's `title` says what is expected, in error messages and in editors; its
 * `description` is also the guide's. What concerns several settings at once is in cross-checks.ts.
 */

/** What a custom issue carries: what to do about the value. */
export interface IssueParams {
  readonly remedy: string
}

/** A value that a parser of ours reads; the parser's own error says what to do. */
function parsed<Value>(title: string, parse: (text: string) => Value) {
  return z
    .string()
    .transform((text, context) => {
      try {
        return parse(text)
      } catch (error) {
        if (!(error instanceof CygnetError)) throw error
        const params: IssueParams = { remedy: remedyOf(error) }
        context.issues.push({ code: 'custom', input: text, params })
        return z.NEVER
      }
    })
    .meta({ title })
}

/** The parsers' sentences have the form `"TEXT" is not a SOMETHING: what to do.` */
export const remedyOf = ({ message }: CygnetError): string =>
  message.replace(/^".*" is not an? [a-zA-Z ]+: /s, '').replace(/\.$/, '')

const LOCAL_HOST: Address = { host: '127.0.0.1', port: ISCSI_PORT }
const address = (title: string, defaults: Address) => parsed(title, (text) => parseAddress(text, defaults))
const size = z
  .union([z.string(), z.number()])
  .transform((value, context) => {
    try {
      return parseSize(String(value))
    } catch (error) {
      if (!(error instanceof CygnetError)) throw error
      const params: IssueParams = { remedy: remedyOf(error) }
      context.issues.push({ code: 'custom', input: value, params })
      return z.NEVER
    }
  })
  .meta({ title: 'a size such as 512M or 20G' })

const integer = (least: number, most: number) =>
  z
    .int()
    .min(least)
    .max(most)
    .meta({ title: `a whole number from ${least} to ${most}` })
const flag = () => z.boolean().meta({ title: 'true or false' })
const text = (title: string, mostCharacters: number) => z.string().min(1).max(mostCharacters).meta({ title })
const path = (title: string) => text(title, 4096)
/** RFC 7143 §6.1: a value of a local name or of CHAP_N. */
const userName = () => text('a user name of 1 to 255 characters', 255)
/** It is also the number of a SCSI target port, which is never 0. */
const group = () => integer(1, 65_535)
const lunNumber = () => integer(0, MAX_LUN)
/** Judged by the cross-checks, so that an entry is looked into even where its key is wrong. */
const lunKey = z
  .string()
  .meta({ title: `a LUN from 0 to ${MAX_LUN}`, pattern: String.raw`^(0|[1-9]\d{0,4})$` })
const groupKey = z
  .string()
  .meta({ title: 'a portal group tag from 1 to 65535', pattern: String.raw`^[1-9]\d{0,4}$` })
const targetKey = z
  .string()
  .meta({ title: 'an iSCSI name', pattern: String.raw`^([iI][qQ][nN]|[eE][uU][iI]|[nN][aA][aA])\.` })

const secretSettings = {
  secretFile: path('the path of a file').describe('File with the secret, in one line.').optional(),
  secretEnv: text('the name of an environment variable', 255)
    .describe('Environment variable with the secret.')
    .optional(),
  secret: text('a secret', 1024).describe('The secret itself; gives a warning.').optional(),
}
const exactlyOne = (...names: string[]) => ({ oneOf: names.map((name) => ({ required: [name] })) })
const credential = (title: string) =>
  z
    .strictObject({ user: userName().describe('User name, sent as CHAP_N.'), ...secretSettings })
    .meta({ title, ...exactlyOne('secretFile', 'secretEnv', 'secret') })

const auth = z
  .strictObject({
    users: z
      .array(credential('a user and a secret'))
      .min(1)
      .meta({ title: 'a list of users, at least one' })
      .describe('Who may log in. Each has a name and a secret.'),
    mutual: credential('a user and a secret')
      .describe(
        'How the target authenticates itself to initiators that ask for it. Without it, their logins fail.',
      )
      .optional(),
    algorithms: z
      .array(z.enum(chapAlgorithmNames).meta({ title: `one of ${chapAlgorithmNames.join(', ')}` }))
      .min(1)
      .meta({ title: 'a list of algorithms, the most wanted first' })
      .describe('CHAP algorithms that are accepted, the most wanted first.')
      .default([...chapAlgorithmNames]),
    preference: z
      .enum(['target', 'initiator'])
      .meta({ title: 'target or initiator' })
      .describe('Whose order of algorithms decides.')
      .default('target'),
    requireMutual: flag()
      .describe('Refuses initiators that do not ask the target to authenticate itself.')
      .default(false),
    allowShortSecrets: flag().describe('Accept secrets of less than 12 bytes.').default(false),
  })
  .meta({ title: 'a mapping with users' })

const moved = z
  .strictObject({
    to: address('an address as HOST:PORT', { host: '', port: ISCSI_PORT }).describe(
      'Where to log in instead; port 3260 where none is given.',
    ),
    permanent: flag().describe('Initiators may remember it.').default(false),
  })
  .meta({ title: 'a mapping with to' })

const tls = z
  .strictObject({
    certFile: path('the path of a file')
      .describe('Certificate of the server in PEM, and those of its authorities behind it.')
      .optional(),
    keyFile: path('the path of a file').describe('Private key of the certificate, in PEM.').optional(),
    clientCaFile: path('the path of a file')
      .describe('Authorities in PEM, one of which must have signed the certificate of each client.')
      .optional(),
    psk: z
      .array(
        z
          .strictObject({
            identity: text('an identity of 1 to 128 characters', 128).describe(
              'What the client calls the key.',
            ),
            keyFile: path('the path of a file').describe(
              'File with the key in hexadecimal digits; `openssl rand -hex 32` makes one.',
            ),
          })
          .meta({ title: 'an identity and a keyFile' }),
      )
      .meta({ title: 'a list of pre-shared keys' })
      .describe('Pre-shared keys that clients may use instead of certificates.')
      .default([]),
  })
  .meta({ title: 'a mapping with certFile and keyFile, or psk' })

const portal = z
  .strictObject({
    listen: address('an address as HOST:PORT', LOCAL_HOST).describe(
      "Where to listen: `10.0.0.1:3260`, `'[fd00::1]:3260'`, `0.0.0.0` or `'[::]'` for every network. Port 3260 where none is given.",
    ),
    advertise: address('an address as HOST:PORT', { host: '', port: 0 })
      .describe(
        'What discovery reports instead, where initiators see another address (NAT, containers). The port of `listen` where none is given.',
      )
      .optional(),
    group: group()
      .describe('Portal group tag. Connections of one session may use all portals of a group.')
      .default(defaultGroup),
    tls: tls.describe('Takes TLS 1.3 connections only.').optional(),
    moved: moved.describe('Sends logins at this portal elsewhere.').optional(),
  })
  .meta({ title: 'a mapping with listen' })

const lun = z
  .strictObject({
    file: path('the path of an image or a block device').describe('Image file or block device.').optional(),
    memory: size.describe('A disk in memory of this size; it is gone at the end.').optional(),
    size: size
      .describe('Creates a missing image with this size, sparse. Without it, the image must be there.')
      .optional(),
    kind: z
      .enum(unitKinds)
      .meta({ title: `one of ${unitKinds.join(', ')}` })
      .describe(
        'What initiators see: a `disk`, or a drive with a CD or DVD in it, `cdrom`. Where nothing is said, files that end in `.iso` are discs, all else is a disk.',
      )
      .optional(),
    blockSize: z
      .literal([512, 4096])
      .meta({ title: '512 or 4096' })
      .describe('Bytes of a logical block.')
      .default(512),
    readOnly: flag().describe('Refuses every write.').default(false),
    thin: flag()
      .describe(
        'Lets initiators release space that they no longer use (UNMAP), where the image’s file system can.',
      )
      .default(true),
    removable: flag().describe('The disk is one that initiators can eject.').default(false),
    encrypted: flag()
      .describe(
        'Keeps a new disk encrypted (AES-256-XTS). The key is with what the disk remembers, not in the image; initiators can destroy it (SANITIZE, cryptographic erase).',
      )
      .default(false),
    physicalBlockSize: z
      .literal([512, 4096])
      .meta({ title: '512 or 4096' })
      .describe(
        'Bytes of a physical block, for initiators that align their writes: 4096 with a block size of 512 is a 512e disk. As below the image where nothing is said.',
      )
      .optional(),
    spaceWarning: size
      .describe(
        'Tells initiators of a thin disk (THIN PROVISIONING SOFT THRESHOLD REACHED) when no more than this is left in the file system of its image. They can change it (MODE SELECT). Without it, they hear of it only where they ask for that.',
      )
      .optional(),
  })
  .meta({ title: 'a mapping with file or memory', ...exactlyOne('file', 'memory') })

const rule = z
  .strictObject({
    initiators: z
      .array(parsed('a pattern such as iqn.1993-08.org.debian:*', parseNamePattern))
      .min(1)
      .meta({ title: 'a list of name patterns, at least one' })
      .describe('Patterns of initiator names; `*` stands for any characters. Any name where none is given.')
      .optional(),
    addresses: z
      .array(
        parsed('an address or a range such as 10.0.0.0/8', (range) =>
          formatAddressRange(parseAddressRange(range)),
        ),
      )
      .min(1)
      .meta({ title: 'a list of address ranges, at least one' })
      .describe(
        'Addresses and ranges in CIDR notation that it connects from. Any address where none is given.',
      )
      .optional(),
    users: z
      .array(userName())
      .min(1)
      .meta({ title: 'a list of users, at least one' })
      .describe('Users of the target’s `auth`. Any of them where none is given.')
      .optional(),
    luns: z
      .union([z.array(lunNumber()).min(1), z.record(lunKey, lunNumber())])
      .meta({ title: 'a list of LUNs, or a mapping of LUN to LUN' })
      .describe(
        'What it sees: a list of the target’s LUNs, or a mapping of the LUN that it sees to the LUN of the target. All of them where none is given.',
      )
      .optional(),
    readOnly: flag().describe('Refuses its writes.').default(false),
  })
  .meta({ title: 'a mapping of conditions' })

const target = z
  .strictObject({
    alias: z
      .string()
      .max(255)
      .meta({ title: 'text of at most 255 characters' })
      .describe('A name for people, sent as TargetAlias.')
      .default(''),
    groups: z
      .array(group())
      .min(1)
      .meta({ title: 'a list of portal group tags, at least one' })
      .describe('Portal groups that serve it; all of them where none is named.')
      .optional(),
    paths: z
      .record(
        groupKey,
        z.enum(settableAccessStates).meta({ title: `one of ${settableAccessStates.join(', ')}` }),
      )
      .meta({ title: 'a mapping of portal group to the state of its path' })
      .describe(
        'How good the path through a portal group is, for initiators with several (ALUA); `optimized` where nothing is said.',
      )
      .default({}),
    luns: z
      .record(lunKey, lun)
      .meta({ title: 'a mapping of LUN to disk' })
      .describe('The disks, by LUN.')
      .default({}),
    auth: auth.describe('CHAP: who may log in. Without it, nobody is asked.').optional(),
    access: z
      .array(rule)
      .min(1)
      .meta({ title: 'a list of rules, at least one' })
      .describe(
        'Who may log in and what it sees. The first rule whose conditions all hold decides; where none does, the login is refused.',
      )
      .optional(),
    moved: moved.describe('Sends logins elsewhere instead of serving the target.').optional(),
    removed: flag().describe('Tells initiators that the target is gone for good.').default(false),
  })
  .meta({ title: 'a mapping with luns' })

function settingsOf<Name extends string>(settings: Record<Name, LimitSetting>) {
  const schemas = Object.entries<LimitSetting>(settings).map(
    ([name, { least, most, description, ...limit }]) => [
      name,
      integer(least, most).describe(description).default(limit.default),
    ],
  )
  return Object.fromEntries(schemas) as Record<Name, z.ZodDefault<z.ZodInt>>
}

export const configSchema = z
  .strictObject({
    portals: z
      .array(portal)
      .min(1)
      .meta({ title: 'a list of portals, at least one' })
      .describe('Where to listen.')
      .prefault([{ listen: defaultPortal }]),
    targets: z
      .record(targetKey, target)
      .meta({ title: 'a mapping of iSCSI name to target', minProperties: 1 })
      .describe('The targets, by iSCSI name.'),
    state: path('the path of a folder')
      .describe(
        'Folder for what disks remember beside their data, made where it is missing. Without it, each image has a file beside it, and block devices remember nothing.',
      )
      .optional(),
    shards: z
      .union([z.literal('auto'), integer(1, MAX_SHARDS)])
      .meta({ title: `auto, or a whole number from 1 to ${MAX_SHARDS}` })
      .describe(
        'Processes that share the targets, so that several cores serve them; a target is served by one of them. `auto`: as many as there are cores.',
      )
      .default(1),
    discovery: z
      .strictObject({
        auth: auth.describe('CHAP: who may ask for targets. Without it, nobody is asked.').optional(),
      })
      .meta({ title: 'a mapping with auth' })
      .describe('Discovery sessions.')
      .prefault({}),
    limits: z
      .strictObject({
        ...settingsOf(limitSettings),
        authFailureBackoff: z
          .strictObject(settingsOf(backoffSettings))
          .meta({ title: 'a mapping of settings' })
          .describe('How the guessing of secrets is slowed down.')
          .prefault({}),
      })
      .meta({ title: 'a mapping of limits' })
      .describe('Bounds on what initiators may use.')
      .prefault({}),
    log: z
      .strictObject({
        level: z
          .enum(logLevels)
          .meta({ title: `one of ${logLevels.join(', ')}` })
          .describe('Least level that is logged.')
          .default('info'),
      })
      .meta({ title: 'a mapping with level' })
      .describe('The log.')
      .prefault({}),
  })
  .meta({ title: 'a mapping with portals and targets' })

/** What the file says, its values read and its defaults filled in. */
export type Config = z.output<typeof configSchema>
export type PortalConfig = z.output<typeof portal>
export type TlsConfig = z.output<typeof tls>
export type MovedConfig = z.output<typeof moved>
export type TargetConfig = z.output<typeof target>
export type LunConfig = z.output<typeof lun>
export type AuthConfig = z.output<typeof auth>
export type CredentialConfig = AuthConfig['users'][number]
export type RuleConfig = z.output<typeof rule>
