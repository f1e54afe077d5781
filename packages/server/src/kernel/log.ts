// Structured logs: one line an event, JSON for machines, a short form on a terminal.

import { inspect, styleText } from 'node:util'
import { pino, stdTimeFunctions, type Logger } from 'pino'
import * as v from 'valibot'

/** What the house logs with: pino's levels and its (fields, message) order. Fields of every line about a session: `session`; about an account: `account`. */
export interface Log {
  child(fields: Record<string, unknown>): Log
  error(fields: object, message: string): void
  warn(fields: object, message: string): void
  info(fields: object, message: string): void
  debug(fields: object, message: string): void
  /** True when lines of that level are written, so that costly fields are made only then. */
  isLevelEnabled(level: string): boolean
}

const LEVELS = ['error', 'warn', 'info', 'debug', 'silent'] as const

export const logConfig = v.strictObject({
  level: v.optional(v.pipe(v.picklist(LEVELS), v.description('the least important lines that are written')), 'info'),
  format: v.optional(
    v.pipe(v.picklist(['auto', 'json', 'pretty']), v.description('auto: pretty on a terminal, JSON elsewhere')),
    'auto',
  ),
})
export type LogConfig = v.InferOutput<typeof logConfig>

/** Something that takes whole lines: standard error, a file, a test's array. */
export interface LineSink {
  write(line: string): void
}

/** Opens the log. Lines are written at once: a crash loses none. */
export function openLog(config: LogConfig, sink: LineSink & { readonly isTTY?: boolean } = process.stderr): Logger {
  const pretty = config.format === 'pretty' || (config.format === 'auto' && sink.isTTY === true)
  return pino(
    {
      level: config.level,
      base: null,
      timestamp: stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      redact: { paths: ['password', '*.password', 'secret', '*.secret'], censor: '[hidden]' },
    },
    { write: (line: string) => sink.write(pretty ? prettyLine(line) : line) },
  )
}

/** A log that writes nothing. */
export const silentLog = (): Log => pino({ level: 'silent' })

/** Keeps every line as an object: what a test looks at. */
export function recordingLog(level = 'debug'): { readonly log: Log; readonly lines: Record<string, unknown>[] } {
  const lines: Record<string, unknown>[] = []
  const sink = { write: (line: string): void => void lines.push(JSON.parse(line) as Record<string, unknown>) }
  return { log: pino({ level, base: null, formatters: { level: (label) => ({ level: label }) } }, sink), lines }
}

const COLOURS = { error: 'red', warn: 'yellow', info: 'green', debug: 'gray' } as const

function prettyLine(line: string): string {
  const { time, level, msg, module, session, err, ...rest } = JSON.parse(line) as Record<string, unknown>
  const colour = COLOURS[level as keyof typeof COLOURS] ?? 'white'
  const where = [module, session].filter((part) => part !== undefined).join(' ')
  const parts = [
    styleText('gray', String(time).slice(11, 23)),
    styleText(colour, String(level).padEnd(5)),
    ...(where === '' ? [] : [styleText('cyan', harmless(where))]),
    harmless(String(msg)),
    ...Object.entries(rest).map(
      ([key, value]) =>
        `${styleText('gray', harmless(key) + '=')}${typeof value === 'string' ? harmless(value) : inspect(value, { breakLength: Infinity })}`,
    ),
  ]
  const stack = (err as { stack?: string } | undefined)?.stack
  const below = stack === undefined ? '' : '\n' + stack.split('\n').map(harmless).join('\n')
  return `${parts.join(' ')}${below}\n`
}

/** Peers choose parts of the lines: what would move the cursor or forge a line of its own is written out. */
const harmless = (text: string): string =>
  text.replaceAll(/[\p{Cc}\u2028\u2029]/gu, (control) => `\\x${control.charCodeAt(0).toString(16).padStart(2, '0')}`)
