// RFC 4155 appendix A: the line that begins a message in an mbox, in the many forms that programs write.

import { formatDate, parseDate } from '@aviso/mime'

export interface FromLine {
  /** The envelope sender as written; '' where there is none. */
  readonly sender: string
  /** Milliseconds since the epoch, and minutes east of UTC; undefined where the line names no date. */
  readonly date: { readonly time: number; readonly zone: number } | undefined
}

/** Octets of the longest From_ line; what is longer is text. */
export const MAX_FROM_LINE = 1000

/** `Thu Jan  1 00:00:00 1970`, a zone before or after the year, seconds or none. */
const ASCTIME =
  /(?:^| )(?:mon|tue|wed|thu|fri|sat|sun),? +(jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec) +(\d{1,2}) +(\d{1,2}:\d{2}(?::\d{2})?)(?: +([a-z]{1,5}|[+-]\d{4}))?(?: +[a-z]{1,5})? +(\d{4})(?: +([a-z]{1,5}|[+-]\d{4}))?(?: remote from \S+)?$/i
/** `Thu, 01 Jan 1970 00:00:00 +0000` */
const INTERNET =
  /(?:^| )(?:(?:mon|tue|wed|thu|fri|sat|sun), +)?(\d{1,2}) +(jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec) +(\d{4}) +(\d{1,2}:\d{2}(?::\d{2})?)(?: +([a-z]{1,5}|[+-]\d{4}))?$/i

/** Reads a line without its line end; undefined for one that begins no message. It begins with `From `, and has a date or (Thunderbird) nothing more than `-`. */
export function parseFromLine(line: string): FromLine | undefined {
  if (!line.startsWith('From ')) return undefined
  const rest = line.slice(5).trimEnd()
  if (rest === '' || rest === '-') return { sender: '', date: undefined }
  const asctime = ASCTIME.exec(rest)
  if (asctime !== null) {
    const [, month = '', day = '', time = '', before, year = '', after] = asctime
    return made(rest.slice(0, asctime.index), `${day} ${month} ${year} ${time} ${before ?? after ?? '+0000'}`)
  }
  const internet = INTERNET.exec(rest)
  if (internet === null) return undefined
  const [, day = '', month = '', year = '', time = '', zone = '+0000'] = internet
  return made(rest.slice(0, internet.index), `${day} ${month} ${year} ${time} ${zone}`)
}

function made(sender: string, text: string): FromLine {
  const date = parseDate(text)
  return {
    sender: sender.trim() === '-' ? '' : sender.trim(),
    // Before the epoch there was no mail: a clock that was not set.
    date: date === undefined || date.time < 0 ? undefined : { time: date.time, zone: date.zoneMinutes },
  }
}

/** `From SENDER Thu Jan  1 00:00:00 1970` in UTC, with its LF. */
export function formatFromLine(sender: string, time: number): string {
  const [, day = '', month = '', year = '', clock = ''] = formatDate(time).split(' ')
  const weekday = formatDate(time).slice(0, 3)
  // A sender with a blank in it (a quoted local part) would be read as the date.
  const name = /^[\x21-\x7e]{1,500}$/.test(sender) ? sender : 'MAILER-DAEMON'
  return `From ${name} ${weekday} ${month} ${day.padStart(2)} ${clock} ${year}\n`
}
