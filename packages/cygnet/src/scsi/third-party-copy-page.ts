import {
  COPY_DESCRIPTOR_TYPES,
  COPY_DESCRIPTORS_BYTES,
  COPY_SEGMENTS_LIMIT,
  COPY_TARGETS_LIMIT,
} from './copy.ts'
import { set16, set32 } from './fields.ts'
import { newPage, VpdPage } from './vpd.ts'

/** Descriptors of the page (SPC-4 §7.8.17): TYPE (2), LENGTH (2), a multiple of four. */
const Descriptor = {
  supportedCommands: 0x0001,
  parameterData: 0x0004,
  supportedDescriptors: 0x0008,
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

/** 8Fh: third-party copy. `more`: descriptors of what else there is. */
export function encodeThirdPartyCopy(
  peripheral: number,
  actions: CopyActions,
  granularityExponent: number,
): Uint8Array {
  const descriptors = [
    supportedCommands(actions),
    parameterData(),
    descriptor(
      Descriptor.supportedDescriptors,
      Uint8Array.of(COPY_DESCRIPTOR_TYPES.length, ...COPY_DESCRIPTOR_TYPES),
    ),
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
