import { CygnetError } from '../../base/errors.ts'
import { MAX_LUN } from '../../scsi/lun.ts'
import { parseIscsiName } from '../../session/iscsi-name.ts'
import { nearest } from './did-you-mean.ts'
import { errorAt, errorAtKey, type Finding, warningAt } from './finding.ts'
import type { Path } from './problem.ts'
import type { SoundPart } from './prune.ts'
import { type LunConfig, type RuleConfig, remedyOf, type TargetConfig } from './schema.ts'
import { kindOf } from './state.ts'

/** What is wrong with targets although each of their settings fits the schema. */
export function checkTargets(part: SoundPart): Finding[] {
  const findings: Finding[] = []
  const { targets } = part.config
  if (Object.keys(targets).length === 0 && part.isWhole(['targets'])) {
    const remedy = 'name a target, such as iqn.2026-11.com.example:disk1'
    findings.push(errorAt(['targets'], { expected: 'at least one target', found: 'none', remedy }))
  }
  const firstOfName = new Map<string, string>()
  for (const [key, target] of Object.entries(targets)) {
    const path = ['targets', key]
    findings.push(...checkName(key, firstOfName, path))
    findings.push(...checkGroups(part, target, path))
    findings.push(...checkPaths(part, target, path))
    findings.push(...checkContent(part, target, path))
    for (const [i, rule] of (target.access ?? []).entries())
      findings.push(...checkRule(part, rule, target, path, i))
    findings.push(...checkOrder(part, target, path))
  }
  return findings
}

function checkName(key: string, firstOfName: Map<string, string>, path: Path): Finding[] {
  try {
    const name = parseIscsiName(key)
    const first = firstOfName.get(name)
    if (first === undefined) {
      firstOfName.set(name, key)
      return []
    }
    const found = `"${key}", which is ${first} again`
    return [
      errorAtKey(path, {
        expected: 'each target once',
        found,
        remedy: 'remove one of the two, or rename it',
      }),
    ]
  } catch (error) {
    if (!(error instanceof CygnetError)) throw error
    return [
      errorAtKey(path, { expected: 'an iSCSI name', found: JSON.stringify(key), remedy: remedyOf(error) }),
    ]
  }
}

function checkGroups(part: SoundPart, { groups = [] }: TargetConfig, path: Path): Finding[] {
  const known = new Set(part.config.portals.map(({ group }) => group))
  if (!part.isWhole(part.inFile(['portals']))) return []
  return groups.flatMap((group, i) => {
    const at = [...path, 'groups', i]
    if (groups.indexOf(group) !== i)
      return [errorAt(at, { expected: 'each group once', found: `${group} again`, remedy: 'remove it' })]
    if (known.has(group)) return []
    const expected = `a group that a portal has: ${[...known].join(', ')}`
    const remedy = `choose one of them, or add a portal with group: ${group}`
    return [errorAt(at, { expected, found: String(group), remedy })]
  })
}

/** States of paths are for groups that serve the target. */
function checkPaths(part: SoundPart, { groups, paths }: TargetConfig, path: Path): Finding[] {
  if (!part.isWhole(part.inFile(['portals']))) return []
  const known = new Set(groups ?? part.config.portals.map(({ group }) => group))
  return Object.keys(paths).flatMap((key) => {
    if (known.has(Number(key))) return []
    const expected = `a portal group that serves the target: ${[...known].join(', ')}`
    return [errorAtKey([...path, 'paths', key], { expected, found: key, remedy: 'correct or remove it' })]
  })
}

function checkContent(part: SoundPart, { luns, moved, removed }: TargetConfig, path: Path): Finding[] {
  const lunsPath = [...path, 'luns']
  const findings = Object.entries(luns).flatMap(([key, lun]) => checkLun(part, key, lun, [...lunsPath, key]))
  const count = Object.keys(luns).length
  if (moved && removed) {
    const found = 'moved'
    findings.push(
      errorAtKey([...path, 'moved'], {
        expected: 'no new place for a removed target',
        found,
        remedy: 'keep one of them',
      }),
    )
  }
  if ((moved || removed) && count > 0) {
    const found = count === 1 ? 'a LUN' : `${count} LUNs`
    const [where, key] = moved ? ['has moved', 'moved'] : ['is removed', 'removed']
    const remedy = `remove luns, or remove ${key} to serve them here`
    findings.push(errorAtKey(lunsPath, { expected: `no LUNs where the target ${where}`, found, remedy }))
  } else if (!moved && !removed && count === 0 && part.isWhole(part.inFile(path))) {
    const remedy = 'add luns: with 0: { file: disk.img } below it'
    findings.push(errorAtKey(lunsPath, { expected: 'at least one LUN', found: 'none', remedy }))
  }
  return findings
}

/** LUN numbers are written in one way only, so that no two keys are the same LUN. */
const isLun = (key: string): boolean => /^(?:0|[1-9]\d*)$/.test(key) && Number(key) <= MAX_LUN

function checkLunKey(key: string, path: Path): Finding[] {
  if (isLun(key)) return []
  const remedy = 'choose a number of that range'
  return [errorAtKey(path, { expected: `a LUN from 0 to ${MAX_LUN}`, found: JSON.stringify(key), remedy })]
}

function checkLun(part: SoundPart, key: string, lun: LunConfig, path: Path): Finding[] {
  const findings = checkLunKey(key, path)
  const expected = 'file or memory'
  if (lun.file !== undefined && lun.memory !== undefined)
    findings.push(errorAtKey(path, { expected, found: 'both', remedy: 'keep one of the two' }))
  else if (lun.file === undefined && lun.memory === undefined && part.isWhole(part.inFile(path)))
    findings.push(errorAtKey(path, { expected, found: 'neither', remedy: 'say where the disk is' }))
  else if (lun.memory !== undefined && lun.size !== undefined) {
    const remedy = 'write the size behind memory, and remove size'
    findings.push(errorAtKey([...path, 'size'], { expected: 'size with file only', found: 'memory', remedy }))
  }
  const isDisc = (lun.kind ?? kindOf(lun.file ?? '')) === 'cdrom'
  if (isDisc) findings.push(...checkDisc(lun, path))
  for (const name of ['memory', 'size'] as const) {
    const sizeBytes = lun[name]
    if (sizeBytes === undefined || sizeBytes % lun.blockSize === 0) continue
    findings.push(
      errorAt([...path, name], {
        expected: `a whole number of ${lun.blockSize}-byte blocks`,
        found: `${sizeBytes} bytes`,
        remedy: wholeBlocksRemedy(sizeBytes, lun),
      }),
    )
  }
  if (lun.physicalBlockSize !== undefined && lun.physicalBlockSize < lun.blockSize) {
    const finding = {
      expected: `at least the block size, ${lun.blockSize}`,
      found: String(lun.physicalBlockSize),
      remedy: 'remove it',
    }
    findings.push(errorAt([...path, 'physicalBlockSize'], finding))
  }
  if (lun.readOnly && lun.size !== undefined && !isDisc) {
    const remedy = 'remove size, or remove readOnly for the first start'
    const found = 'a disk that is created and never written'
    findings.push(warningAt([...path, 'size'], { expected: 'an image that is there', found, remedy }))
  }
  return findings
}

/** A disc is an image that is there, with a format of its own. */
function checkDisc(lun: LunConfig, path: Path): Finding[] {
  const wrong = {
    memory: lun.memory !== undefined,
    size: lun.size !== undefined,
    blockSize: lun.blockSize !== 512,
    physicalBlockSize: lun.physicalBlockSize !== undefined,
    encrypted: lun.encrypted,
  }
  const why = lun.kind === undefined ? 'remove it, or write kind: disk' : 'remove it'
  return Object.entries(wrong).flatMap(([name, isWrong]) => {
    if (!isWrong) return []
    const found = `${name} of a CD or DVD`
    return [errorAtKey([...path, name], { expected: 'settings of a disc', found, remedy: why })]
  })
}

function wholeBlocksRemedy(sizeBytes: number, { blockSize }: LunConfig): string {
  const longerBytes = Math.ceil(sizeBytes / blockSize) * blockSize
  return `write ${longerBytes}`
}

function checkRule(
  part: SoundPart,
  rule: RuleConfig,
  target: TargetConfig,
  targetPath: Path,
  i: number,
): Finding[] {
  const path = [...targetPath, 'access', i]
  return [
    ...checkRuleUsers(part, rule, target, targetPath, path),
    ...checkRuleLuns(part, rule, target, targetPath, path),
  ]
}

function checkRuleUsers(
  part: SoundPart,
  rule: RuleConfig,
  target: TargetConfig,
  targetPath: Path,
  path: Path,
): Finding[] {
  if (!rule.users || !part.isWhole(part.inFile([...targetPath, 'auth']))) return []
  const known = target.auth?.users.map(({ user }) => user) ?? []
  return rule.users.flatMap((user, i) => {
    if (known.includes(user)) return []
    const near = nearest(user, known)
    const expected =
      known.length === 0 ? 'users in the target’s auth' : `a user of the target: ${known.join(', ')}`
    const remedy = near === undefined ? 'add the user to auth, or remove it here' : `did you mean ${near}?`
    return [errorAt([...path, 'users', i], { expected, found: JSON.stringify(user), remedy })]
  })
}

function checkRuleLuns(
  part: SoundPart,
  rule: RuleConfig,
  target: TargetConfig,
  targetPath: Path,
  path: Path,
): Finding[] {
  const { luns } = rule
  if (luns === undefined) return []
  const lunsPath = [...path, 'luns']
  const entries = Array.isArray(luns)
    ? luns.map((lun, i) => ({ lun, at: [...lunsPath, i] }))
    : Object.entries(luns).map(([key, lun]) => ({ lun, at: [...lunsPath, key] }))
  const known = Object.keys(target.luns)
  const findings = Array.isArray(luns)
    ? []
    : Object.keys(luns).flatMap((key) => checkLunKey(key, [...lunsPath, key]))
  for (const [i, { lun, at }] of entries.entries()) {
    if (Array.isArray(luns) && luns.indexOf(lun) !== i) {
      findings.push(errorAt(at, { expected: 'each LUN once', found: `${lun} again`, remedy: 'remove it' }))
    } else if (
      !known.includes(String(lun)) &&
      part.isWhole(part.inFile([...targetPath, 'luns', String(lun)]))
    ) {
      const expected =
        known.length === 0
          ? 'a LUN of the target, which has none'
          : `a LUN of the target: ${known.join(', ')}`
      findings.push(
        errorAt(at, { expected, found: String(lun), remedy: `choose one of them, or add LUN ${lun}` }),
      )
    }
  }
  if (entries.length === 0) {
    const remedy = 'name a LUN, or remove luns so that it sees all'
    findings.push(errorAt(lunsPath, { expected: 'at least one LUN', found: 'none', remedy }))
  }
  return findings
}

/** A rule behind one that fits everybody never decides. */
function checkOrder(part: SoundPart, { access = [] }: TargetConfig, path: Path): Finding[] {
  if (!part.isWhole(part.inFile([...path, 'access']))) return []
  const everybody = access.findIndex(
    ({ initiators, addresses, users }) => !initiators && !addresses && !users,
  )
  if (everybody === -1 || everybody === access.length - 1) return []
  return [
    warningAt([...path, 'access', everybody + 1], {
      expected: 'a rule that can decide',
      found: `one behind access[${everybody}], which fits everybody`,
      remedy: 'put the rule for everybody last',
    }),
  ]
}
