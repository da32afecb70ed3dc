import { AdditionalSense, additionalSenseName } from '../scsi/additional-sense.ts'
import type { DeviceEvent } from './block-device.ts'

/** What has to be asked anew before the device is used further. */
export type Refresh = 'nothing' | 'capacity' | 'modes' | 'identity'

interface Attention {
  readonly refresh: Refresh
  readonly kind: 'attention' | 'luns-changed' | 'reservation-lost'
}

const report = (refresh: Refresh): Attention => ({ refresh, kind: 'attention' })

/**
 * Unit attention conditions (SAM-5 §5.14) that ask for more than sending the command again. After a reset, or where the
 * target says that its inventory changed, there may be another disk behind the LUN: it must prove to be the same.
 */
const attentions: Readonly<Record<number, Attention>> = {
  [AdditionalSense.mediumMayHaveChanged]: report('identity'),
  [AdditionalSense.powerOnOrReset]: report('identity'),
  [AdditionalSense.powerOn]: report('identity'),
  [AdditionalSense.modeParametersChanged]: report('modes'),
  [AdditionalSense.capacityDataChanged]: report('capacity'),
  [AdditionalSense.inquiryDataChanged]: report('identity'),
  [AdditionalSense.deviceIdentifierChanged]: report('identity'),
  [AdditionalSense.reportedLunsDataChanged]: { refresh: 'identity', kind: 'luns-changed' },
  [AdditionalSense.reservationsPreempted]: { refresh: 'nothing', kind: 'reservation-lost' },
  [AdditionalSense.registrationsPreempted]: { refresh: 'nothing', kind: 'reservation-lost' },
}

export const refreshOf = (additional: number): Refresh => attentions[additional]?.refresh ?? 'nothing'

export function eventOf(additional: number): DeviceEvent {
  const kind = attentions[additional]?.kind ?? 'attention'
  return kind === 'luns-changed' ? { kind } : { kind, reason: additionalSenseName(additional) }
}
