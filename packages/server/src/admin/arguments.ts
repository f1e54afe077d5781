// What people type for dates, sizes, flags and UIDs, as the operations want it.

import { parseDate } from '@aviso/mime'
import { parseDuration, parseSize } from '../kernel/units.ts'
import type { Moment } from '../mail/transfer/contracts.ts'
import { UsageError } from './terminal.ts'

const ISO = /^(\d{4}-\d{2}-\d{2})(?:[T ](\d{2}:\d{2}(?::\d{2}(?:\.\d{1,9})?)?)(Z|[+-]\d{2}:?\d{2})?)?$/i

/** `2026-02-03`, `2026-02-03T10:00:00+01:00` (RFC 3339) or a date as mail has it (RFC 5322). Without a zone: UTC. */
export function momentOf(text: string): Moment {
  const iso = ISO.exec(text.trim())
  if (iso !== null) {
    const [, day = '', clock = '00:00', zone = 'Z'] = iso
    const [, sign = '+', hours = '00', minutes = '00'] = /^([+-])(\d{2}):?(\d{2})$/.exec(zone) ?? []
    const time = Date.parse(`${day}T${clock}${zone.toUpperCase() === 'Z' ? 'Z' : `${sign}${hours}:${minutes}`}`)
    if (!Number.isNaN(time)) return { time, zone: (sign === '-' ? -1 : 1) * (Number(hours) * 60 + Number(minutes)) }
  }
  const mail = parseDate(text)
  if (mail !== undefined) return { time: mail.time, zone: mail.zoneMinutes }
  throw new UsageError(`'${text}' is no date, such as 2026-02-03 or 2026-02-03T10:00:00+01:00`)
}

/** As `momentOf`, or a duration before now, such as `7d`. Milliseconds since the epoch. */
export function since(text: string): number {
  const duration = parseDuration(text)
  return duration === undefined ? momentOf(text).time : Date.now() - duration
}

export function sizeOf(text: string): number {
  const size = /^\d+$/.test(text) ? Number(text) : parseSize(text)
  if (size === undefined || !Number.isSafeInteger(size))
    throw new UsageError(`'${text}' is no size, such as 5000, 64KiB or 10MB`)
  return size
}

export function countOf(text: string): number {
  if (!/^[1-9]\d{0,9}$/.test(text)) throw new UsageError(`'${text}' is no number of messages`)
  return Number(text)
}

export function uidOf(text: string): number {
  if (!/^[1-9]\d{0,9}$/.test(text)) throw new UsageError(`'${text}' is no UID`)
  return Number(text)
}

const SYSTEM: readonly string[] = ['\\Answered', '\\Flagged', '\\Deleted', '\\Seen', '\\Draft']

/** `seen` or `\Seen` as `\Seen`; anything else is a keyword. */
export function flagOf(text: string): string {
  const system = SYSTEM.find((flag) => flag.toLowerCase() === `\\${text.replace(/^\\/, '').toLowerCase()}`)
  if (system !== undefined) return system
  if (text.startsWith('\\'))
    throw new UsageError(`there is no flag ${text}; there are ${SYSTEM.join(', ')}, and keywords`)
  return text
}

/** For options that may be given more than once. */
export const several = (value: string, before: readonly string[] | undefined): readonly string[] => [
  ...(before ?? []),
  value,
]

/** A text from a mail for a terminal: nothing in it can move the cursor, colour the screen or end the line. */
export const printable = (text: string): string =>
  text.replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]+/g, ' ')
