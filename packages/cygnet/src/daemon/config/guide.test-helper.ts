import { configJsonSchema, type JsonSchema } from './json-schema.ts'

/** One line of the guide's tables. */
export interface Setting {
  /** `portals[].listen`, `targets.NAME.luns.LUN.file`. */
  readonly path: string
  readonly schema: JsonSchema
  readonly required: boolean
  /** Another setting, described before, that has the same settings below it. */
  readonly sameAs: string | undefined
}

/** What stands for the keys of a mapping that the user chooses. */
const keyNames: Readonly<Record<string, string>> = { targets: 'NAME', luns: 'LUN', paths: 'GROUP' }

export const sections = Object.keys(configJsonSchema.properties ?? {})

/** Every setting of the schema, in its order; settings that are the same in several places are described once. */
export const allSettings: readonly Setting[] = (() => {
  const settings: Setting[] = []
  const described = new Map<string, string>()
  /** The place where a mapping with the same settings has been described. */
  const seenAt = (path: string, { properties, required }: JsonSchema) => {
    if (properties === undefined) return undefined
    const key = JSON.stringify([properties, required])
    const before = described.get(key)
    if (before === undefined) described.set(key, path)
    return before
  }
  const visit = (path: string, schema: JsonSchema, required: boolean): void => {
    const sameAs = seenAt(path, schema)
    settings.push({ path, schema, required, sameAs })
    if (sameAs === undefined) visitChildren(path, schema)
  }
  const visitChildren = (path: string, schema: JsonSchema): void => {
    const separator = path === '' ? '' : '.'
    for (const [name, child] of Object.entries(schema.properties ?? {}))
      visit(`${path}${separator}${name}`, child, schema.required?.includes(name) ?? false)
    const keyName = keyNames[path.split('.').at(-1) ?? ''] ?? 'KEY'
    const entries = [
      [`${path}[]`, schema.items],
      [`${path}.${keyName}`, schema.additionalProperties],
    ] as const
    for (const [entryPath, entry] of entries) {
      if (typeof entry !== 'object') continue
      seenAt(entryPath, entry)
      visitChildren(entryPath, entry)
    }
  }
  visitChildren('', configJsonSchema)
  return settings
})()

/** A section's table in Markdown. */
export function settingsTable(section: string): string {
  const inSection = allSettings.filter(({ path }) => /^\w+/.exec(path)?.[0] === section)
  const rows = inSection.map(({ path, schema, required, sameAs }) => {
    const { title = '', description = '' } = schema
    const same = sameAs === undefined ? '' : ` Its settings are those of \`${sameAs}\`.`
    const cells = [`\`${path}\``, title, defaultOf(schema, required), description + same]
    return `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`
  })
  return ['| setting | value | default | |', '| --- | --- | --- | --- |', ...rows].join('\n')
}

function defaultOf(schema: JsonSchema, required: boolean): string {
  if (required) return 'must be given'
  const value = schema.default
  if (
    value === undefined ||
    value === '' ||
    (typeof value === 'object' && Object.keys(value ?? {}).length === 0)
  )
    return '—'
  if (Array.isArray(value) && value.every((entry) => typeof entry === 'string'))
    return `\`[${value.join(', ')}]\``
  return `\`${typeof value === 'string' ? value : JSON.stringify(value)}\``
}
