/**
 * What libiscsi's suite is expected not to run, `Suite.Test` → why. A skip that is not here fails the test, and so does a line here
 * that no longer skips.
 */
export interface Expectations {
  readonly skipped: Readonly<Record<string, string>>
  /** Only for the peer that the test itself is checked against: ours has none. */
  readonly failed: Readonly<Record<string, string>>
}

export const cygnetExpectations: Expectations = {
  skipped: {
    'NoMedia.NoMediaSBC': 'the medium of a fixed disk cannot be ejected',
    'WriteSame10.ZeroBlocks': 'the block limits page says WSNZ: zero blocks does not mean "up to the last"',
    'WriteSame16.ZeroBlocks': 'the block limits page says WSNZ: zero blocks does not mean "up to the last"',
  },
  failed: {},
}

export const tgtExpectations: Expectations = {
  skipped: {
    'NoMedia.NoMediaSBC': 'the medium of a fixed disk cannot be ejected',
    'ReportSupportedOpcodes.OneCommand': 'tgt refuses the option for one command',
  },
  failed: {
    'Unmap.ZeroBlocks': 'tgt refuses to unmap no blocks just past the last one',
  },
}
