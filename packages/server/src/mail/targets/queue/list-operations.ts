// Operations for whoever looks after the queue: lists and changes, a page at a time, so that none holds up the mail.

import { read, type SqlRow, type SqlValue, type Transaction, write } from '../../../store/contracts.ts'
import type { Fact, LastError } from './contracts.ts'
import { addFact, errorOf, forgetMail, settleDestination } from './rows.ts'

/** Which recipients; all that is given must fit. Addresses: `anna@example.org`, a domain, or `<>`; in any case. */
export interface QueueFilter {
  /** Ids of mails. */
  readonly ids?: readonly string[]
  /** A domain, or the key of a target. */
  readonly destination?: string
  readonly sender?: string
  readonly recipient?: string
  readonly held?: boolean
}

/** A place in the list. */
export type Place = readonly [mail: number, n: number]

/** One recipient that waits. Times are milliseconds since the epoch. */
export interface QueueLine {
  readonly mail: string
  readonly address: string
  /** As the sender named it. */
  readonly recipient: string
  readonly sender: string
  readonly target: string
  /** The domain for `remote`, else ''. */
  readonly destination: string
  readonly size: number
  readonly created: number
  readonly attempts: number
  /** Undefined on hold. */
  readonly nextAttempt: number | undefined
  readonly lastAttempt: number | undefined
  readonly expires: number
  readonly held: boolean
  /** Of the recipient, or of the destination that is down; undefined before the first attempt. */
  readonly error: LastError | undefined
}

/** Recipients that one operation looks at. */
const LOOK = 1000

const COLUMNS =
  'r.mail, r.n, r.address, r.recipient, m.sender, d.target, d.name, m.size, m.created, r.attempts, r.next_attempt, r.last_attempt, r.expires, r.held, ' +
  'r.code, r.enhanced, r.error, r.remote, d.failures, d.code, d.enhanced, d.error, d.remote, m.id, d.id, d.down_until'

const TABLES = 'JOIN spool_mail m ON m.seq = r.mail JOIN spool_destination d ON d.id = r.destination'

/** Looks at the next recipients behind `after`; where it came to, undefined at the end. */
async function look(
  tx: Transaction,
  { ids }: QueueFilter,
  after: Place,
  most: number,
): Promise<{ readonly rows: readonly SqlRow[]; readonly next: Place | undefined }> {
  const limit = Math.min(most, LOOK)
  const rows: SqlRow[] = []
  if (ids === undefined)
    rows.push(
      ...(await tx.all(
        `SELECT ${COLUMNS} FROM spool_recipient r ${TABLES} WHERE (r.mail, r.n) > (?, ?) ORDER BY r.mail, r.n LIMIT ?`,
        ...after,
        limit,
      )),
    )
  else
    for (const seq of await numbersOf(tx, ids, after[0])) {
      if (rows.length >= limit) break
      rows.push(
        ...(await tx.all(
          `SELECT ${COLUMNS} FROM spool_recipient r ${TABLES} WHERE r.mail = ? AND (r.mail, r.n) > (?, ?) ORDER BY r.n LIMIT ?`,
          seq,
          ...after,
          limit - rows.length,
        )),
      )
    }
  const last = rows.at(-1)
  return { rows, next: last === undefined || rows.length < limit ? undefined : [Number(last[0]), Number(last[1])] }
}

async function numbersOf(tx: Transaction, ids: readonly string[], from: number): Promise<readonly number[]> {
  const numbers: number[] = []
  for (const id of ids)
    for (const [seq] of await tx.all('SELECT seq FROM spool_mail WHERE id = ? AND seq >= ?', id, from))
      numbers.push(Number(seq))
  return numbers.sort((a, b) => a - b)
}

function fits(row: SqlRow, { destination, sender, recipient, held }: QueueFilter): boolean {
  if (held !== undefined && Number(row[13]) > 0 !== held) return false
  if (destination !== undefined && !same(row[6], destination) && !(row[6] === '' && same(row[5], destination)))
    return false
  if (sender !== undefined && !addressFits(String(row[4]), sender)) return false
  return recipient === undefined || addressFits(String(row[2]), recipient) || addressFits(String(row[3]), recipient)
}

const same = (a: SqlValue | undefined, b: string): boolean => String(a).toLowerCase() === b.toLowerCase()

function addressFits(address: string, wanted: string): boolean {
  if (wanted === '<>') return address === ''
  const lower = wanted.toLowerCase()
  const domain = lower.startsWith('@') ? lower : `@${lower}`
  return lower.indexOf('@') > 0 ? address.toLowerCase() === lower : address.toLowerCase().endsWith(domain)
}

/** The next lines that fit, the longest in the queue first. A page may be empty although there is a next one. */
export const list = read(
  async (
    tx,
    { filter, after, limit }: { readonly filter: QueueFilter; readonly after: Place; readonly limit: number },
  ) => {
    const { rows, next } = await look(tx, filter, after, limit)
    return { lines: rows.filter((row) => fits(row, filter)).map(lineOf), next }
  },
)

function lineOf(row: SqlRow): QueueLine {
  const down = Number(row[18]) > 0
  const attempt = row[10] === null ? undefined : Number(row[10])
  return {
    mail: String(row[23]),
    address: String(row[2]),
    recipient: String(row[3]),
    sender: String(row[4]),
    target: String(row[5]),
    destination: String(row[6]),
    size: Number(row[7]),
    created: Number(row[8]),
    attempts: Number(row[9]),
    nextAttempt: attempt === undefined ? undefined : Math.max(attempt, Number(row[25])),
    lastAttempt: Number(row[11]) === 0 ? undefined : Number(row[11]),
    expires: Number(row[12]),
    held: Number(row[13]) > 0,
    error: (down ? errorOf(row, 19) : undefined) ?? errorOf(row, 14),
  }
}

export interface ChangeOrder {
  readonly action: 'retry' | 'hold' | 'release' | 'delete'
  readonly filter: QueueFilter
  readonly after: Place
  /** With `delete`: the senders are told so, in notifications of these names. */
  readonly tell?: string
}

/** Does something to the next recipients that fit. `moved`: destinations where somebody is due now. */
export const change = write(async (tx, { action, filter, after, tell }: ChangeOrder) => {
  const { rows, next } = await look(tx, filter, after, LOOK / 2)
  const touched = new Map<number, number>()
  const mails = new Map<number, number>()
  let changed = 0
  for (const row of rows) {
    if (!fits(row, filter)) continue
    const [mail, n, held, destination] = [Number(row[0]), Number(row[1]), Number(row[13]), Number(row[24])]
    let gone = 0
    if (action === 'delete') {
      if (tell !== undefined) await addFact(tx, mail, 'failure', removed(row, tx.now), `${tell}${mail}`)
      gone = await tx.run('DELETE FROM spool_recipient WHERE mail = ? AND n = ?', mail, n)
      mails.set(mail, (mails.get(mail) ?? 0) + gone)
      changed += gone
    } else if (action === 'hold') {
      if (held > 0) continue
      changed += await tx.run(
        'UPDATE spool_recipient SET held = ?, next_attempt = NULL, wake = NULL WHERE mail = ? AND n = ?',
        Math.max(1, tx.now),
        mail,
        n,
      )
    } else if (action === 'release') {
      if (held === 0) continue
      // The time on hold does not count.
      const expires = Number(row[12]) + Math.max(0, tx.now - held)
      changed += await tx.run(
        'UPDATE spool_recipient SET held = 0, next_attempt = ?, wake = ?, expires = ? WHERE mail = ? AND n = ?',
        tx.now,
        expires,
        expires,
        mail,
        n,
      )
    } else {
      if (held > 0) continue
      changed += await tx.run('UPDATE spool_recipient SET next_attempt = ? WHERE mail = ? AND n = ?', tx.now, mail, n)
    }
    touched.set(destination, (touched.get(destination) ?? 0) + gone)
  }
  for (const [mail, gone] of mails) {
    await tx.run('UPDATE spool_mail SET recipients = recipients - ? WHERE seq = ?', gone, mail)
    await forgetMail(tx, mail)
  }
  for (const [destination, gone] of touched) {
    // Whoever asks for an attempt now means it.
    if (action === 'retry') await tx.run('UPDATE spool_destination SET down_until = 0 WHERE id = ?', destination)
    await settleDestination(tx, destination, gone)
  }
  return { changed, next, moved: action === 'retry' || action === 'release' ? [...touched.keys()] : [] }
})

/** What the sender is told of a mail that an administrator took out. */
const removed = (row: SqlRow, at: number): Fact => ({
  recipient: String(row[3]),
  action: 'failed',
  status: '5.7.0',
  reply: { code: 554, text: 'The mail was taken out of the queue by the administrator' },
  at,
})

/** For status and metrics: what waits, by target. */
export async function figures(tx: Transaction) {
  const mails = await tx.get("SELECT value FROM spool_tally WHERE name = 'waiting'")
  const oldest = await tx.get('SELECT created FROM spool_mail ORDER BY seq LIMIT 1')
  const rows = await tx.all(
    'SELECT target, sum(waiting), count(*), sum(CASE WHEN failures > 0 THEN 1 ELSE 0 END) FROM spool_destination GROUP BY target ORDER BY target',
  )
  const held = await tx.get('SELECT count(*) FROM spool_recipient WHERE held > 0')
  return {
    mails: Number(mails?.[0] ?? 0),
    recipients: rows.reduce((sum, row) => sum + Number(row[1]), 0),
    held: Number(held?.[0] ?? 0),
    /** Milliseconds since the epoch. */
    oldest: oldest === undefined ? undefined : Number(oldest[0]),
    targets: rows.map((row) => ({
      target: String(row[0]),
      recipients: Number(row[1]),
      destinations: Number(row[2]),
      down: Number(row[3]),
    })),
  }
}

/** The blobs that mails of the queue lie in. */
export async function blobs(tx: Transaction): Promise<readonly string[]> {
  return (await tx.all('SELECT DISTINCT blob FROM spool_mail WHERE blob IS NOT NULL')).map(([blob]) => String(blob))
}
