import * as z from 'zod'
import type { Path } from './problem.ts'
import { configSchema } from './schema.ts'

/** What of JSON Schema (draft 2020-12) this file's schema uses. */
export interface JsonSchema {
  readonly title?: string
  readonly description?: string
  readonly default?: unknown
  readonly type?: string | readonly string[]
  readonly enum?: readonly unknown[]
  readonly minimum?: number
  readonly maximum?: number
  readonly properties?: Readonly<Record<string, JsonSchema>>
  readonly propertyNames?: JsonSchema
  readonly additionalProperties?: JsonSchema | boolean
  readonly required?: readonly string[]
  readonly items?: JsonSchema
  readonly anyOf?: readonly JsonSchema[]
}

/** The JSON Schema of cygnet.yaml. */
export const configJsonSchema: JsonSchema = z.toJSONSchema(configSchema, { io: 'input' }) as JsonSchema

/** As `cygnet config schema` prints it. */
export const printedJsonSchema = (): string => `${JSON.stringify(configJsonSchema, null, 2)}\n`

/** The schema of the setting at a place in the file, undefined where there is none. */
export function schemaAt(path: Path): JsonSchema | undefined {
  let schema: JsonSchema | undefined = configJsonSchema
  for (const step of path) {
    const options: readonly JsonSchema[] = schema.anyOf ?? [schema]
    schema = options.map((option) => childSchema(option, step)).find((child) => child !== undefined)
    if (schema === undefined) return undefined
  }
  return schema
}

function childSchema(schema: JsonSchema, step: string | number): JsonSchema | undefined {
  if (typeof step === 'number') return schema.items
  const { properties = {}, additionalProperties } = schema
  if (Object.hasOwn(properties, step)) return properties[step]
  return typeof additionalProperties === 'object' ? additionalProperties : undefined
}
