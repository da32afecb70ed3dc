/** Counts what `npm test` ran and says it in the end: what failed, what could not run, and `N passed, N failed`. */
import { missingPeerMark } from './peer.ts'

export type Outcome = 'passed' | 'failed' | 'skipped' | 'todo'

export interface Check {
  /** Where it stands: a stage's name, or a test file. */
  readonly where: string
  readonly name: string
  readonly outcome: Outcome
  /** Why it was skipped. */
  readonly reason?: string
}

export class Tally {
  readonly #strict: boolean
  readonly #notRun: Check[] = []
  readonly #failed: Check[] = []
  #passed = 0

  /** `strict`: what did not run counts as failed (`CI=true`). */
  constructor(strict: boolean) {
    this.#strict = strict
  }

  get passed(): number {
    return this.#passed
  }

  get failed(): number {
    return this.#failed.length + (this.#strict ? this.#notRun.length : 0)
  }

  add(check: Check): void {
    if (check.outcome === 'passed') this.#passed++
    else if (check.outcome === 'failed') this.#failed.push(check)
    else this.#notRun.push(check)
  }

  /** The summary; its last line is exactly `N passed, N failed`. */
  lines(): string[] {
    const lines: string[] = ['']
    const missing = this.#notRun.filter(isMissingPeer)
    const others = this.#notRun.filter((check) => !isMissingPeer(check))
    const counted = this.#strict ? ', counted as failed' : ''
    if (missing.length > 0) {
      lines.push(`MISSING PEERS: ${missing.length} interop checks did NOT run${counted}`)
      const byReason = Map.groupBy(missing, (check) => check.reason ?? '')
      for (const [reason, checks] of byReason) {
        lines.push(`  ${reason.slice(missingPeerMark.length + 2)}`)
        for (const check of checks) lines.push(`    ${label(check)}`)
      }
      lines.push('')
    }
    if (others.length > 0) {
      lines.push(`SKIPPED OR TO DO: ${others.length} checks did not run${counted}`)
      for (const check of others) lines.push(`  ${label(check)}${check.reason ? ` (${check.reason})` : ''}`)
      lines.push('')
    }
    if (this.#failed.length > 0) {
      lines.push('FAILED')
      for (const check of this.#failed) lines.push(`  ${label(check)}`)
      lines.push('')
    }
    lines.push(`${this.passed} passed, ${this.failed} failed`)
    return lines
  }
}

const isMissingPeer = (check: Check): boolean => check.reason?.startsWith(missingPeerMark) ?? false
const label = (check: Check): string =>
  check.where === check.name ? check.name : `${check.where}: ${check.name}`
