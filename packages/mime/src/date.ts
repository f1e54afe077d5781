// RFC 5322 §3.3 and §4.3: date-time, with the obsolete years and zones.

export interface MailDate {
  /** Milliseconds since the epoch. */
  time: number
  /** Minutes east of UTC. */
  zoneMinutes: number
  /** The day as written, in its own zone (IMAP's SENTON compares these). Month 1-12. */
  year: number
  month: number
  day: number
}

const MONTHS = ['jan', 'feb', 'mar', 'apr', 'may', 'jun', 'jul', 'aug', 'sep', 'oct', 'nov', 'dec']
const DAYS = ['Sun', 'Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat']

/** Hours east of UTC; military letters were used with both signs and mean -0000 (RFC 5322 §4.3). */
const ZONES: ReadonlyMap<string, number> = new Map([
  ['edt', -4],
  ['est', -5],
  ['cdt', -5],
  ['cst', -6],
  ['mdt', -6],
  ['mst', -7],
  ['pdt', -7],
  ['pst', -8],
])

const DATE =
  /^(?:[a-z]{3,9}\s?[,.]?\s?)?(\d{1,2})(?:\s|-)([a-z]{3})[a-z]{0,6}[.,]?(?:\s|-)(\d{2,4}),?\s(\d{1,2})\s?[:.]\s?(\d{2})(?:\s?[:.]\s?(\d{2})(?:\.\d{1,9})?)?(?:\s?([+-])(\d{2}):?(\d{2})|\s?([a-z]{1,5}))?/i
/** `Sun Nov 22 15:22:05 2026`, the form of C's asctime, sometimes with a zone before the year. */
const ASCTIME = /^[a-z]{3} ([a-z]{3}) (\d{1,2}) (\d{1,2}):(\d{2}):(\d{2}) (?:[a-z]{1,5} |[+-]\d{4} )?(\d{4})/i

/** Reads a Date field. Comments are skipped, a wrong day of the week is not minded; undefined for what is no date. */
export function parseDate(text: string): MailDate | undefined {
  const plain = withoutComments(text.slice(0, 256)).replace(/\s+/g, ' ').trim()
  const match = DATE.exec(plain)
  if (match) {
    const [, day, month = '', year = '', hour, minute, second, sign, zoneHours, zoneMinutes, zoneName] = match
    let zone = 0
    if (sign) zone = (sign === '-' ? -1 : 1) * (Number(zoneHours) * 60 + Number(zoneMinutes))
    else if (zoneName) zone = (ZONES.get(zoneName.toLowerCase()) ?? 0) * 60
    return made(fullYear(year), month, Number(day), Number(hour), Number(minute), Number(second ?? 0), zone)
  }
  const ascii = ASCTIME.exec(plain)
  if (!ascii) return undefined
  const [, month = '', day, hour, minute, second, year] = ascii
  return made(Number(year), month, Number(day), Number(hour), Number(minute), Number(second), 0)
}

/** RFC 5322 §4.3: two digits up to 49 are this century, the others and three digits count from 1900. */
function fullYear(digits: string): number {
  const year = Number(digits)
  if (digits.length === 2) return year < 50 ? 2000 + year : 1900 + year
  return digits.length === 3 ? 1900 + year : year
}

function made(
  year: number,
  monthName: string,
  day: number,
  hour: number,
  minute: number,
  second: number,
  zoneMinutes: number,
): MailDate | undefined {
  const month = MONTHS.indexOf(monthName.toLowerCase()) + 1
  // 60 is a leap second. Zones beyond a day are nonsense that would move the message by years.
  if (month === 0 || day < 1 || hour > 23 || minute > 59 || second > 60 || Math.abs(zoneMinutes) >= 24 * 60)
    return undefined
  if (day > daysIn(year, month)) return undefined
  const local = Date.UTC(2000, month - 1, day, hour, minute, Math.min(second, 59))
  const date = new Date(local)
  date.setUTCFullYear(year, month - 1, day)
  return { time: date.getTime() - zoneMinutes * 60_000, zoneMinutes, year, month, day }
}

function daysIn(year: number, month: number): number {
  if (month === 2) return (year % 4 === 0 && year % 100 !== 0) || year % 400 === 0 ? 29 : 28
  return month === 4 || month === 6 || month === 9 || month === 11 ? 30 : 31
}

function withoutComments(text: string): string {
  if (!text.includes('(')) return text
  let out = ''
  let depth = 0
  for (const character of text) {
    if (character === '(') depth++
    else if (character === ')' && depth > 0) depth--
    else if (depth === 0) out += character
  }
  return out
}

/** A Date field's body for a moment (milliseconds since the epoch) in a zone (minutes east of UTC). */
export function formatDate(time: number, zoneMinutes = 0): string {
  const local = new Date(time + zoneMinutes * 60_000)
  const two = (value: number) => String(value).padStart(2, '0')
  const month = MONTHS[local.getUTCMonth()] ?? ''
  const zone = Math.abs(zoneMinutes)
  return (
    `${DAYS[local.getUTCDay()]}, ${local.getUTCDate()} ${month.charAt(0).toUpperCase()}${month.slice(1)} ${String(local.getUTCFullYear()).padStart(4, '0')} ` +
    `${two(local.getUTCHours())}:${two(local.getUTCMinutes())}:${two(local.getUTCSeconds())} ` +
    `${zoneMinutes < 0 ? '-' : '+'}${two(Math.floor(zone / 60))}${two(zone % 60)}`
  )
}
