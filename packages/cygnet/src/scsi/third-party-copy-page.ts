import {
  COPY_DESCRIPTOR_TYPES,
  COPY_DESCRIPTORS_BYTES,
  COPY_SEGMENTS_LIMIT,
  COPY_TARGETS_LIMIT,
  CopyOutAction,
  RodType,
  TOKEN_LIMIT_BYTES,
  TOKEN_RANGES_LIMIT,
} from './copy.ts'
import { set16, set32, set64 } from './fields.ts'
import { Opcode } from './opcodes.ts'
import { newPage, VpdPage } from './vpd.ts'

/** Descriptors of the page (SPC-4 §7.8.17): TYPE (2), LENGTH (2), a multiple of four. */
const Descriptor = {
  tokenLimits: 0x0000,
  supportedCommands: 0x0001,
  parameterData: 0x0004,
  supportedDescriptors: 0x0008,
  tokenFeatures: 0x0106,
  rodTypes: 0x0108,
  generalCopy: 0x8001,
} as const

/** Which service actions an operation code has. */
export type CopyActions = ReadonlyMap<number, readonly number[]>

function descriptor(type: number, rest: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(4 + Math.ceil(rest.length / 4) * 4)
  set16(bytes, 0, type)
  set16(bytes, 2, bytes.length - 4)
  bytes.set(rest, 4)
  return bytes
}

/** LENGTH of the list, then for each command OPERATION CODE, count, service actions. */
function supportedCommands(actions: CopyActions): Uint8Array {
  const list = [...actions].flatMap(([opcode, values]) => [opcode, values.length, ...values])
  return descriptor(Descriptor.supportedCommands, Uint8Array.of(list.length, ...list))
}

/** MAXIMUM CSCD DESCRIPTOR COUNT (2), SEGMENT DESCRIPTOR COUNT (2), DESCRIPTOR LIST LENGTH (4), INLINE DATA LENGTH (4). */
function parameterData(): Uint8Array {
  const rest = new Uint8Array(28)
  set16(rest, 4, COPY_TARGETS_LIMIT)
  set16(rest, 6, COPY_SEGMENTS_LIMIT)
  set32(rest, 8, COPY_DESCRIPTORS_BYTES)
  return descriptor(Descriptor.parameterData, rest)
}

/** TOTAL CONCURRENT COPIES (4), MAXIMUM IDENTIFIED (4), MAXIMUM SEGMENT LENGTH (4), DATA SEGMENT GRANULARITY, INLINE GRANULARITY. */
function generalCopy(granularityExponent: number): Uint8Array {
  const rest = new Uint8Array(32)
  set32(rest, 0, 64)
  set32(rest, 4, 32)
  set32(rest, 8, 0xffff * 4096)
  rest[12] = granularityExponent
  return descriptor(Descriptor.generalCopy, rest)
}

/** Tokens have no time limit: the oldest go when there are too many. */
const NO_TIME_LIMIT = 0xffff_ffff
const ROD_TYPE_BYTES = 64
/** Of a ROD type: WRITE USING TOKEN takes its tokens, POPULATE TOKEN makes them. */
const TOKEN_IN = 0x02
const TOKEN_OUT = 0x01

/**
 * SBC-4 §6.6.6: 6 MAXIMUM RANGE DESCRIPTORS (2), MAXIMUM INACTIVITY TIMEOUT (4), DEFAULT INACTIVITY TIMEOUT (4), MAXIMUM TOKEN
 * TRANSFER SIZE (8) in blocks, OPTIMAL TRANSFER COUNT (8), not reported. Windows and ddpt move no data without it.
 */
function tokenLimits(blockBytes: number): Uint8Array {
  const rest = new Uint8Array(32)
  set16(rest, 6, TOKEN_RANGES_LIMIT)
  set32(rest, 8, NO_TIME_LIMIT)
  set32(rest, 12, NO_TIME_LIMIT)
  set64(rest, 16, TOKEN_LIMIT_BYTES / blockBytes)
  return descriptor(Descriptor.tokenLimits, rest)
}

/** MINIMUM (4) and MAXIMUM (4) TOKEN LIFETIME at 12, MAXIMUM TOKEN INACTIVITY TIMEOUT (4), features by device type: none are told. */
function tokenFeatures(): Uint8Array {
  const rest = new Uint8Array(44)
  set32(rest, 16, NO_TIME_LIMIT)
  set32(rest, 20, NO_TIME_LIMIT)
  return descriptor(Descriptor.tokenFeatures, rest)
}

/** 2 ROD TYPE DESCRIPTORS LENGTH (2), then for each TYPE (4), TOKEN_IN and TOKEN_OUT in byte 4. */
function rodTypes(): Uint8Array {
  const rest = new Uint8Array(4 + 2 * ROD_TYPE_BYTES)
  set16(rest, 2, 2 * ROD_TYPE_BYTES)
  set32(rest, 4, RodType.accessUponReference)
  rest[8] = TOKEN_IN | TOKEN_OUT
  set32(rest, 4 + ROD_TYPE_BYTES, RodType.zero)
  rest[8 + ROD_TYPE_BYTES] = TOKEN_IN
  return descriptor(Descriptor.rodTypes, rest)
}

/** 8Fh: third-party copy. Descriptors are in order of their types. */
export function encodeThirdPartyCopy(
  peripheral: number,
  actions: CopyActions,
  granularityExponent: number,
): Uint8Array {
  const hasTokens = actions.get(Opcode.thirdPartyCopyOut)?.includes(CopyOutAction.populateToken) === true
  const descriptors = [
    ...(hasTokens ? [tokenLimits(2 ** granularityExponent)] : []),
    supportedCommands(actions),
    parameterData(),
    descriptor(
      Descriptor.supportedDescriptors,
      Uint8Array.of(COPY_DESCRIPTOR_TYPES.length, ...COPY_DESCRIPTOR_TYPES),
    ),
    ...(hasTokens ? [tokenFeatures(), rodTypes()] : []),
    generalCopy(granularityExponent),
  ]
  const bytes = newPage(
    peripheral,
    VpdPage.thirdPartyCopy,
    descriptors.reduce((sum, { length }) => sum + length, 0),
  )
  let at = 4
  for (const each of descriptors) {
    bytes.set(each, at)
    at += each.length
  }
  return bytes
}
