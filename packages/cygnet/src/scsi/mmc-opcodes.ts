/** Operation codes that only CD and DVD drives have, or that mean something else there (MMC-6 §6). */
export const MmcOpcode = {
  seek10: 0x2b,
  readToc: 0x43,
  getConfiguration: 0x46,
  getEventStatusNotification: 0x4a,
  readDiscInformation: 0x51,
  readTrackInformation: 0x52,
  getPerformance: 0xac,
  readDiscStructure: 0xad,
  setStreaming: 0xb6,
  readCdMsf: 0xb9,
  setCdSpeed: 0xbb,
  mechanismStatus: 0xbd,
  readCd: 0xbe,
} as const
export type MmcOpcode = (typeof MmcOpcode)[keyof typeof MmcOpcode]
