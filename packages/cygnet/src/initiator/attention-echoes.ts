/** For how long what one path has reported may be reported by the others, in milliseconds. */
const ECHO_MS = 10_000

interface News {
  readonly until: number
  /** Who has not reported it yet. */
  readonly waiting: Set<object>
}

/**
 * Unit attentions of a unit that is reached by several paths: every I_T nexus gets its own copy of what concerns the unit
 * (SAM-5 §5.14), and once is enough.
 */
export class AttentionEchoes {
  readonly #news = new Map<number, News>()

  /** `path` reports a condition. False where another one did so before, and this is its copy. `others`: the paths that are up. */
  isNews(additional: number, path: object, others: readonly object[], now: number): boolean {
    const known = this.#news.get(additional)
    if (known?.waiting.delete(path) && now < known.until) return false
    this.#news.set(additional, {
      until: now + ECHO_MS,
      waiting: new Set(others.filter((one) => one !== path)),
    })
    return true
  }
}
