import { get8, get16, get32 } from '../scsi/fields.ts'
import { Opcode } from '../scsi/opcodes.ts'
import type { Command } from './command-table.ts'
import { CommandFlag } from './command-table.ts'
import type { Operation } from './operation.ts'

/** REQ_PLIST, REQ_GLIST and DEFECT LIST FORMAT, which come back as PLISTV, GLISTV and the format of the list. */
const REQUEST = 0x1f

/** 2 REQ_PLIST(4) REQ_GLIST(3) DEFECT LIST FORMAT(2-0)   7 ALLOCATION LENGTH (2). There are no defects: both lists are empty. */
const readDefectData10 = (op: Operation): void => {
  const { cdb } = op.task
  op.reply(Uint8Array.of(0, get8(cdb, 2) & REQUEST, 0, 0), get16(cdb, 7))
}

/** 1 REQ_PLIST(4) REQ_GLIST(3) DEFECT LIST FORMAT(2-0)   2 ADDRESS DESCRIPTOR INDEX (4)   6 ALLOCATION LENGTH (4) */
const readDefectData12 = (op: Operation): void => {
  const { cdb } = op.task
  op.reply(Uint8Array.of(0, get8(cdb, 1) & REQUEST, 0, 0, 0, 0, 0, 0), get32(cdb, 6))
}

/** READ DEFECT DATA (10) and (12) (SBC-4 §5.22, §5.23): what lies below the store replaces bad blocks itself. */
export const defectCommands: readonly Command[] = [
  {
    name: 'READ DEFECT DATA (10)',
    opcode: Opcode.readDefectData10,
    usage: '37 00 1f 00 00 00 00 ff ff 00',
    reservation: 'allowed',
    flags: CommandFlag.medium,
    timeoutS: 10,
    start: readDefectData10,
  },
  {
    name: 'READ DEFECT DATA (12)',
    opcode: Opcode.readDefectData12,
    usage: 'b7 1f ff ff ff ff ff ff ff ff 00 00',
    reservation: 'allowed',
    flags: CommandFlag.medium,
    timeoutS: 10,
    start: readDefectData12,
  },
]
