// Dovecot's `dovecot-uidlist`, version 3, and version 1 for reading: which message has which UID.

/** One message of the list. */
export interface UidListEntry {
  readonly uid: number
  /** Name of the file as last known; up to `:` it identifies the message. */
  readonly base: string
  /** Fields before the colon (`W2481`, `G...`) as they stand, for the next rewriting. */
  readonly fields: string
}

export interface UidList {
  readonly uidValidity: number
  /** The next UID to give: above the header's and above all in the list. */
  readonly uidNext: number
  /** Identity of the mailbox, 32 hex digits; undefined where nothing gave it one. */
  readonly guid: string | undefined
  /** Header fields of other programs, as they stand. */
  readonly others: readonly string[]
  readonly entries: readonly UidListEntry[]
}

const MAX = 0xffffffff

/** The header alone (first line). Undefined when it is none. */
export function parseUidListHeader(line: string): Omit<UidList, 'entries'> | undefined {
  const [version, ...fields] = line.split(' ')
  if (version === '1') {
    const [uidValidity, uidNext] = fields.map(Number)
    return valid({ uidValidity: uidValidity ?? 0, uidNext: uidNext ?? 0, guid: undefined, others: [] })
  }
  if (version !== '3') return undefined
  let [uidValidity, uidNext] = [0, 0]
  let guid: string | undefined
  const others: string[] = []
  for (const field of fields) {
    if (/^V\d+$/.test(field)) uidValidity = Number(field.slice(1))
    else if (/^N\d+$/.test(field)) uidNext = Number(field.slice(1))
    else if (/^G[0-9a-f]{32}$/.test(field)) guid = field.slice(1)
    else if (field !== '') others.push(field)
  }
  return valid({ uidValidity, uidNext, guid, others })
}

const valid = (header: Omit<UidList, 'entries'>): Omit<UidList, 'entries'> | undefined =>
  Number.isInteger(header.uidValidity) &&
  header.uidValidity > 0 &&
  header.uidValidity <= MAX &&
  header.uidNext >= 1 &&
  header.uidNext <= MAX
    ? header
    : undefined

/** The list of a file's text. Undefined when it cannot be trusted: no header, or UIDs that do not grow. A last line without its end is left out. */
export function parseUidList(text: string): UidList | undefined {
  const lines = text.split('\n')
  // A line that is still being written, or was when the machine stopped.
  lines.pop()
  const header = parseUidListHeader(lines[0] ?? '')
  if (header === undefined) return undefined
  const version1 = text.startsWith('1 ')
  const entries: UidListEntry[] = []
  let last = 0
  for (const line of lines.slice(1)) {
    if (line === '') continue
    const match = version1 ? /^(\d{1,10}) (.+)$/.exec(line) : /^(\d{1,10}) (?:([^:]*?) ?):(.+)$/.exec(line)
    const uid = Number(match?.[1])
    const name = match?.[version1 ? 2 : 3]
    if (name === undefined || uid <= last || uid >= MAX) return undefined
    last = uid
    entries.push({ uid, base: name.split(':', 1)[0] ?? name, fields: version1 ? '' : (match?.[2] ?? '') })
  }
  return { ...header, uidNext: Math.max(header.uidNext, last + 1), entries }
}

export const formatEntry = ({ uid, base, fields }: UidListEntry): string =>
  `${uid} ${fields === '' ? '' : `${fields} `}:${base}\n`

export function formatUidList(list: UidList): string {
  const header = [
    `3 V${list.uidValidity}`,
    `N${list.uidNext}`,
    ...(list.guid === undefined ? [] : [`G${list.guid}`]),
    ...list.others,
  ]
  return `${header.join(' ')}\n${list.entries.map(formatEntry).join('')}`
}
