/** A limit that has a setting: its range, both ends included, and what holds where nothing is set. */
export interface LimitSetting {
  readonly least: number
  readonly most: number
  readonly default: number
  readonly description: string
}

/** The limits of the configuration file. What the protocol engine bounds besides is in `session/limits.ts`. */
export const limitSettings = {
  loginTimeoutSeconds: {
    least: 1,
    most: 600,
    default: 15,
    description: 'Time from the first byte of a connection to the end of its login.',
  },
  loginsAtOnce: {
    least: 1,
    most: 65_536,
    default: 64,
    description: 'Connections that are logging in at the same time; one more takes the place of the oldest.',
  },
  connections: {
    least: 1,
    most: 65_536,
    default: 1024,
    description: 'Connections in all.',
  },
  connectionsPerAddress: {
    least: 1,
    most: 65_536,
    default: 256,
    description: 'Connections from one address.',
  },
  sessionsPerTarget: {
    least: 1,
    most: 65_535,
    default: 256,
    description: 'Sessions of one target.',
  },
  connectionsPerSession: {
    least: 1,
    most: 65_535,
    default: 32,
    description: 'Connections of one session (MaxConnections).',
  },
  errorRecoveryLevel: {
    least: 0,
    most: 2,
    default: 2,
    description:
      'Highest error recovery level that is agreed to. 1: lost PDUs are sent again. 2: commands of a lost connection go on with another.',
  },
  time2WaitSeconds: {
    least: 0,
    most: 3600,
    default: 2,
    description: 'Least time before an initiator recovers a lost connection (DefaultTime2Wait).',
  },
  time2RetainSeconds: {
    least: 0,
    most: 3600,
    default: 20,
    description: 'Most time that commands of a lost connection are kept for after that (DefaultTime2Retain).',
  },
  textBytes: {
    least: 8192,
    most: 1_048_576,
    default: 65_536,
    description: 'Bytes of text that one negotiation may send.',
  },
} as const satisfies Record<string, LimitSetting>

/** How the guessing of secrets is slowed down. */
export const backoffSettings = {
  freeFailures: {
    least: 1,
    most: 1000,
    default: 5,
    description: 'Failed authentications from one address before it has to wait.',
  },
  firstDelaySeconds: {
    least: 0,
    most: 3600,
    default: 1,
    description: 'The first wait; it doubles with each further failure.',
  },
  maxDelaySeconds: {
    least: 0,
    most: 86_400,
    default: 60,
    description: 'The longest wait. 0: none at all.',
  },
  addresses: {
    least: 1,
    most: 1_048_576,
    default: 4096,
    description: 'Addresses that are remembered; the one that failed longest ago is forgotten first.',
  },
} as const satisfies Record<string, LimitSetting>

type Values<Settings> = { readonly [Name in keyof Settings]: number }
export type BackoffState = Values<typeof backoffSettings>
export type LimitsState = Values<typeof limitSettings> & { readonly authFailureBackoff: BackoffState }

function defaultsOf<Settings extends Record<string, LimitSetting>>(settings: Settings): Values<Settings> {
  const entries = Object.entries(settings).map(([name, setting]) => [name, setting.default])
  return Object.fromEntries(entries) as Values<Settings>
}

export const defaultLimits: LimitsState = {
  ...defaultsOf(limitSettings),
  authFailureBackoff: defaultsOf(backoffSettings),
}
