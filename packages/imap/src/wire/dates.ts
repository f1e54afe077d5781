// RFC 9051 §9 `date`, `date-time`. Search dates count whole days in UTC; INTERNALDATE keeps the zone it was given in.

const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec']
const DAY = 86_400_000

/** `d-Mon-yyyy` as days since the epoch; undefined when it is no date. */
export function parseDay(text: string): number | undefined {
  const match = /^(\d{1,2})-([A-Za-z]{3})-(\d{4})$/.exec(text)
  if (match === null) return undefined
  return dayNumber(Number(match[3]), monthIndex(match[2] ?? ''), Number(match[1]))
}

/** A moment, and the zone that it was written in. */
export interface DateTime {
  /** Milliseconds since the epoch. */
  readonly time: number
  /** Minutes east of UTC. */
  readonly zone: number
}

/** `dd-Mon-yyyy hh:mm:ss +zzzz`; undefined when it is no date-time. */
export function parseDateTime(text: string): DateTime | undefined {
  const match = /^([ \d]\d)-([A-Za-z]{3})-(\d{4}) (\d\d):(\d\d):(\d\d) ([+-])(\d\d)(\d\d)$/.exec(text)
  if (match === null) return undefined
  const day = dayNumber(Number(match[3]), monthIndex(match[2] ?? ''), Number(match[1]))
  const [hour, minute, second, zoneHour, zoneMinute] = [4, 5, 6, 8, 9].map((group) => Number(match[group])) as [
    number,
    number,
    number,
    number,
    number,
  ]
  if (day === undefined || hour > 23 || minute > 59 || second > 60 || zoneMinute > 59) return undefined
  const zone = (zoneHour * 60 + zoneMinute) * (match[7] === '-' ? -1 : 1)
  return { time: day * DAY + ((hour * 60 + minute - zone) * 60 + second) * 1000, zone }
}

/** Milliseconds since the epoch as `dd-Mon-yyyy hh:mm:ss +zzzz`, in a zone of so many minutes east of UTC. */
export function formatDateTime(time: number, zone = 0): string {
  const date = new Date((Number.isFinite(time) ? time : 0) + zone * 60_000)
  const east = Math.abs(zone)
  const year = Math.min(9999, Math.max(0, date.getUTCFullYear()))
  return (
    `${two(date.getUTCDate(), ' ')}-${MONTHS[date.getUTCMonth()]}-${String(year).padStart(4, '0')} ` +
    `${two(date.getUTCHours())}:${two(date.getUTCMinutes())}:${two(date.getUTCSeconds())} ` +
    `${zone < 0 ? '-' : '+'}${two(Math.floor(east / 60))}${two(east % 60)}`
  )
}

/** Days since the epoch of a moment, in UTC. */
export const dayOf = (time: number): number => Math.floor(time / DAY)

export function dayNumber(year: number, month: number, day: number): number | undefined {
  if (month < 0 || month > 11 || day < 1 || day > 31) return undefined
  const date = new Date(0)
  date.setUTCFullYear(year, month, day)
  return date.getUTCDate() === day ? Math.floor(date.getTime() / DAY) : undefined
}

const monthIndex = (name: string): number => {
  const lower = name.toLowerCase()
  return MONTHS.findIndex((month) => month.toLowerCase() === lower)
}

const two = (value: number, fill = '0'): string => String(value).padStart(2, fill)
