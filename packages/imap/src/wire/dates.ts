// RFC 9051 §9 `date`, `date-time`.

const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec']
const DAY = 86_400_000

/** `d-Mon-yyyy` as days since the epoch; undefined when it is no date. */
export function parseDay(text: string): number | undefined {
  const match = /^(\d{1,2})-([A-Za-z]{3})-(\d{4})$/.exec(text)
  if (match === null) return undefined
  return dayNumber(Number(match[3]), monthIndex(match[2] ?? ''), Number(match[1]))
}

/** A moment, and the zone it was written in (minutes east of UTC). */
export interface ZonedTime {
  readonly time: number
  readonly zone: number
}

/** `dd-Mon-yyyy hh:mm:ss +zzzz` in milliseconds since the epoch; undefined when it is no date-time. */
export function parseDateTime(text: string): ZonedTime | undefined {
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

/** A moment (milliseconds since the epoch) as `dd-Mon-yyyy hh:mm:ss +zzzz` in a zone (minutes east of UTC). */
export const formatDateTime = (time: number, zone: number): string => new DateTimeFormatter().format(time, zone)

/** As `formatDateTime`, for many: consecutive messages often have their day in common. */
export class DateTimeFormatter {
  #day = NaN
  #date = ''
  #zone = NaN
  #offset = ''

  format(time: number, zone: number): string {
    const local = (Number.isFinite(time) ? time : 0) + zone * 60_000
    const day = Math.floor(local / DAY)
    if (day !== this.#day) {
      this.#day = day
      this.#date = formatDay(day)
    }
    if (zone !== this.#zone) {
      this.#zone = zone
      const minutes = Math.abs(zone)
      this.#offset = ` ${zone < 0 ? '-' : '+'}${TWO[Math.floor(minutes / 60)]}${TWO[minutes % 60]}`
    }
    const seconds = Math.floor((local - day * DAY) / 1000)
    const minutes = Math.floor(seconds / 60)
    return `${this.#date} ${TWO[Math.floor(minutes / 60)]}:${TWO[minutes % 60]}:${TWO[seconds % 60]}${this.#offset}`
  }
}

const TWO: readonly string[] = Array.from({ length: 100 }, (_, i) => String(i).padStart(2, '0'))

function formatDay(day: number): string {
  const date = new Date(day * DAY)
  const year = Math.min(9999, Math.max(0, date.getUTCFullYear()))
  return `${String(date.getUTCDate()).padStart(2, ' ')}-${MONTHS[date.getUTCMonth()]}-${String(year).padStart(4, '0')}`
}

/** Days since the epoch of a moment, by the calendar of a zone (minutes east of UTC). */
export const dayOf = (time: number, zone = 0): number => Math.floor((time + zone * 60_000) / DAY)

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
