import {
  type Document,
  type ErrorCode,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  parseDocument,
  visit,
  type YAMLError,
} from 'yaml'
import type { Path } from './problem.ts'

export interface Position {
  readonly line: number
  readonly column: number
}

export interface SyntaxFault {
  readonly position: Position
  readonly expected: string
  readonly found: string
  readonly remedy: string
  /** A key that stands twice leaves the rest as it is; after anything else, the rest may not mean what was meant. */
  readonly hidesRest: boolean
}

const remedies: Partial<Record<ErrorCode, string>> = {
  TAB_AS_INDENT: 'indent with spaces',
  BAD_INDENT: 'give entries of one mapping or list the same indentation, in spaces',
  MULTIPLE_DOCS: 'remove the lines that begin with ---; the file is one document',

  TAG_RESOLVE_FAILED: 'remove the tag, or put the text in quotes',
}
const BRACKETED_ADDRESS = /(?<!['"])\[[\da-f]*:[\da-f:.]*(?:%\w+)?\]/i

function faultOf({ code, message }: YAMLError, position: Position, sourceLine: string): SyntaxFault {
  if (code === 'DUPLICATE_KEY') {
    const key = /^.*?(?=\s*:(?:\s|$))/.exec(sourceLine.slice(position.column - 1))?.[0] ?? 'a key'
    const remedy = 'keep one of the two'
    return { position, expected: 'each key once', found: `${key} again`, remedy, hidesRest: false }
  }
  const bracketed = BRACKETED_ADDRESS.exec(sourceLine)?.[0]
  const quote = bracketed === undefined ? undefined : `put an IPv6 address in quotes, '${bracketed}:3260'`
  const remedy = remedies[code] ?? quote ?? 'check indentation, quotes and colons here and on the line before'
  return {
    position,
    expected: 'YAML',
    found: `a fault (${message.replace(/[.:]$/, '')})`,
    remedy,
    hidesRest: true,
  }
}

/** Enough for every target to share what is written once. Aliases within aliases multiply. */
const MAX_ALIASES = 10_000

/** A YAML file: its data, and where each part of it stands. */
export class YamlSource {
  readonly faults: readonly SyntaxFault[]
  /** Keys are strings. Undefined where the syntax is beyond reading. */
  readonly value: unknown
  readonly #document: Document
  readonly #lines = new LineCounter()

  constructor(text: string) {
    const document = parseDocument(text, {
      lineCounter: this.#lines,
      prettyErrors: false,
      // `0` and `'0'` are one LUN.
      uniqueKeys: (a, b) => isScalar(a) && isScalar(b) && String(a.value) === String(b.value),
    })
    this.#document = document
    const sourceLines = text.split('\n')
    const faults = [...document.errors, ...document.warnings].map((error): SyntaxFault => {
      const position = this.#at(error.pos[0])
      return faultOf(error, position, sourceLines[position.line - 1] ?? '')
    })
    faults.push(...this.#unknownAliases())
    if (!faults.some(({ hidesRest }) => hidesRest)) {
      try {
        this.value = document.toJS({ maxAliasCount: MAX_ALIASES })
      } catch (error) {
        if (!(error instanceof ReferenceError)) throw error
        const expected = `aliases that stand for at most ${MAX_ALIASES} values`
        const found = 'aliases within aliases'
        const remedy = 'write out what they stand for'
        faults.push({ position: { line: 1, column: 1 }, expected, found, remedy, hidesRest: true })
      }
    }
    this.faults = faults
  }

  /** Where the value stands; for what is missing, its key or the nearest part around it that is there. */
  positionOf(path: Path): Position {
    const { node, key } = this.#find(path)
    const empty = !node?.range || node.range[0] === node.range[1]
    return this.#at((empty ? key : node)?.range?.[0] ?? 0)
  }

  /** Where the key of the value stands; for an entry of a list, the entry. */
  positionOfKey(path: Path): Position {
    const { node, key } = this.#find(path)
    return this.#at((key ?? node)?.range?.[0] ?? 0)
  }

  #unknownAliases(): SyntaxFault[] {
    const faults: SyntaxFault[] = []
    visit(this.#document, {
      Alias: (_, alias) => {
        if (alias.resolve(this.#document) !== undefined) return
        const position = this.#at(alias.range?.[0] ?? 0)
        const expected = 'an alias of an anchor that stands before it'
        const remedy = 'correct its name, or put the text in quotes'
        faults.push({ position, expected, found: `*${alias.source}`, remedy, hidesRest: true })
      },
    })
    return faults
  }

  #at(offset: number): Position {
    const { line, col } = this.#lines.linePos(offset)
    return { line: Math.max(line, 1), column: Math.max(col, 1) }
  }

  #find(path: Path): { node: Node | null; key: Node | null } {
    let node = this.#document.contents
    let key: Node | null = null
    for (const step of path) {
      const content = isAlias(node) ? node.resolve(this.#document) : node
      if (isSeq(content)) {
        const entry = content.items[Number(step)] as Node | undefined
        if (entry === undefined) break
        ;[node, key] = [entry, null]
      } else if (isMap(content)) {
        const pair = content.items.find(
          (item) => isScalar(item.key) && String(item.key.value) === String(step),
        )
        if (pair === undefined) break
        ;[node, key] = [pair.value, pair.key] as [Node | null, Node]
      } else break
    }
    return { node, key }
  }
}
