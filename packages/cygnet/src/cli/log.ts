import { styleText } from 'node:util'
import { type Level, type Logger, pino, stdTimeFunctions } from 'pino'
import type { LogLevel } from '../daemon/log-level.ts'

/** Control and format characters, which terminals obey, as escapes. */
export const escapeControls = (text: string): string =>
  text.replaceAll(/\p{C}/gu, (character) => `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`)

/** A log on stderr: one line for people on a terminal, JSON lines otherwise. */
export function createLog(level: LogLevel, forPeople: boolean = process.stderr.isTTY): Logger {
  const destination = {
    write(line: string): void {
      process.stderr.write(forPeople ? formatLine(line) : line)
    },
  }
  return pino(
    {
      level,
      base: null,
      timestamp: stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
    },
    destination,
  )
}

type Style = Parameters<typeof styleText>[0]
const styles: Record<Level, Style> = {
  trace: 'dim',
  debug: 'dim',
  info: 'green',
  warn: 'yellow',
  error: 'red',
  fatal: ['bold', 'red'],
}

interface LogLine {
  readonly time: string
  readonly level: Level
  readonly msg?: string
  readonly [field: string]: unknown
}

/** Turns a JSON log line into `HH:MM:SS level message name=value …`, in the machine's time zone. */
export function formatLine(line: string): string {
  const { time, level, msg = '', ...rest } = JSON.parse(line) as LogLine
  const clock = new Date(time).toTimeString().slice(0, 8)
  const style = styles[level]
  const fields = Object.entries(rest).map(
    ([name, value]) => ` ${styleText('dim', `${name}=`)}${formatValue(value)}`,
  )
  const mark = styleText(style, level.padEnd(5), { stream: process.stderr })
  return `${clock} ${mark} ${msg}${fields.join('')}\n`
}

function formatValue(value: unknown): string {
  if (typeof value === 'string') return /[\s"=\p{C}]/u.test(value) || value === '' ? quote(value) : value
  // pino writes an error as an object; its message is what people need.
  if (typeof value === 'object' && value !== null && 'message' in value) return quote(value.message)
  return quote(value)
}

/** As JSON, with an escape for whatever a terminal may obey: names and reasons can hold what a peer sent. */
const quote = (value: unknown): string => escapeControls(JSON.stringify(value))
