import { type AddressRange, matchesRange } from './address-range.ts'
import { matchesName, type NamePattern } from './name-pattern.ts'

/** Who may log in to a target, and what it then sees. Every condition that is there must hold. */
export interface AccessRule {
  /** Patterns of initiator names, `*` for any characters. */
  readonly initiators?: readonly NamePattern[]
  readonly addresses?: readonly AddressRange[]
  /** CHAP users. */
  readonly users?: readonly string[]
  /** LUN that the initiator sees → LUN of the target; all of the target's as they are where not given. */
  readonly luns?: ReadonlyMap<number, number>
  readonly readOnly?: boolean
}

/** An initiator that asks for access. */
export interface Applicant {
  readonly initiatorName: string
  /** IP address, without the port. */
  readonly address: string
  /** Undefined: not known yet, so that every rule's users may still fit. '' : it did not authenticate itself. */
  readonly user: string | undefined
}

/** The first rule that fits decides; undefined: no access. */
export const findAccess = (rules: readonly AccessRule[], applicant: Applicant): AccessRule | undefined =>
  rules.find((rule) => fits(rule, applicant))

function fits(rule: AccessRule, { initiatorName, address, user }: Applicant): boolean {
  if (rule.initiators && !rule.initiators.some((pattern) => matchesName(pattern, initiatorName))) return false
  if (rule.addresses && !rule.addresses.some((range) => matchesRange(range, address))) return false
  return rule.users === undefined || user === undefined || rule.users.includes(user)
}

/** The address of an `address:port`, an IPv6 address without its brackets. */
export function addressOf(endpoint: string): string {
  const address = endpoint.slice(0, endpoint.lastIndexOf(':'))
  return address.startsWith('[') ? address.slice(1, -1) : address
}
