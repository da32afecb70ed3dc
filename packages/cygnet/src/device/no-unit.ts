import { AdditionalSense } from '../scsi/additional-sense.ts'
import { DeviceType, encodeInquiry, iscsiVersionDescriptor, VersionDescriptor } from '../scsi/inquiry.ts'
import { Opcode } from '../scsi/opcodes.ts'
import type { SenseData } from '../scsi/sense.ts'
import { illegalRequest } from '../scsi/sense.ts'
import type { Nexus } from '../scsi/task.ts'
import { encodeSupportedPages, VpdPage } from '../scsi/vpd.ts'
import type { Command } from './command-table.ts'
import { CommandFlag, CommandTable } from './command-table.ts'
import { DeviceServer, QueueError } from './device-server.ts'
import { inquiry, reportLuns, requestSense, testUnitReady } from './primary-commands.ts'

const NOT_SUPPORTED = illegalRequest(AdditionalSense.logicalUnitNotSupported)

/** A unit that has no medium and keeps no state: one serves every nexus. */
abstract class StatelessUnit extends DeviceServer {
  readonly descriptorSense = false
  readonly queueError = QueueError.none

  override attachNexus(): void {
    // Nothing can have changed that an initiator must hear of.
  }

  /** Many nexuses of many targets share this unit: none may stop the others. */
  protected mayUseAca(): boolean {
    return false
  }

  protected refuse(): SenseData | undefined {
    return undefined
  }

  protected onReset(): void {
    // There is no state to go back to.
  }

  close(done: () => void): void {
    done()
  }
}

const peripheralInquiry = (qualifier: number, deviceType: DeviceType) => ({
  standard: (nexus: Nexus) =>
    encodeInquiry({
      qualifier,
      deviceType,
      removable: false,
      normAca: false,
      tpgs: 0,
      multiPort: false,
      thirdPartyCopy: false,
      version: 6,
      vendor: 'CYGNET',
      product: 'Target',
      revision: '1',
      versionDescriptors: [
        VersionDescriptor.sam5,
        iscsiVersionDescriptor(nexus.protocolLevel),
        VersionDescriptor.spc4,
      ],
    }),
  page: (page: number) =>
    page === VpdPage.supportedPages ? encodeSupportedPages((qualifier << 5) | deviceType, [page]) : undefined,
})

/** The three commands that any LUN answers (SAM-5 §5.11). */
function alwaysThere(qualifier: number, deviceType: DeviceType, sense: SenseData | undefined): Command[] {
  const row = { reservation: 'allowed', flags: CommandFlag.quiet, timeoutS: 10 } as const
  return [
    {
      ...row,
      name: 'INQUIRY',
      opcode: Opcode.inquiry,
      usage: '12 01 ff ff ff 00',
      start: inquiry(peripheralInquiry(qualifier, deviceType)),
    },
    {
      ...row,
      name: 'REPORT LUNS',
      opcode: Opcode.reportLuns,
      usage: 'a0 00 ff 00 00 00 ff ff ff ff 00 00',
      start: reportLuns((nexus) => nexus.lunsChangeHeard?.()),
    },
    {
      ...row,
      name: 'REQUEST SENSE',
      opcode: Opcode.requestSense,
      usage: '03 01 00 00 ff 00',
      start: requestSense(() => sense),
    },
  ]
}

/**
 * Stands in for a LUN that has no logical unit: INQUIRY says so with peripheral qualifier 011b, REPORT LUNS works, all
 * else is LOGICAL UNIT NOT SUPPORTED (SPC-5 §6.7.2, §6.39).
 */
export class NoUnit extends StatelessUnit {
  protected readonly table = new CommandTable(alwaysThere(3, DeviceType.unknown, NOT_SUPPORTED))

  protected override unknownCommand(): SenseData {
    return NOT_SUPPORTED
  }
}

/** The REPORT LUNS well known logical unit (SPC-5 §8.2). */
export class ReportLunsUnit extends StatelessUnit {
  protected readonly table = new CommandTable([
    ...alwaysThere(0, DeviceType.wellKnown, undefined),
    {
      name: 'TEST UNIT READY',
      opcode: Opcode.testUnitReady,
      usage: '00 00 00 00 00 00',
      reservation: 'allowed',
      flags: 0,
      timeoutS: 10,
      start: testUnitReady,
    },
  ])
}
