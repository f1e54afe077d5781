// Operations of the work: who is due, what became of it, whose time is over. Each reads by an index, however much waits.

import { read, type SqlRow, write } from '../../../store/contracts.ts'
import type { Destination, DueRecipient, Fact, LastError, ReportKind } from './contracts.ts'
import { addFact, errorOf, forgetMail, MAIL, mailOf, settleDestination } from './rows.ts'

/** Where somebody is due, from the cursor on, the longest waiting first; and when the next one is. */
export const destinations = read(
  async (
    tx,
    {
      now,
      horizon,
      after,
      limit,
    }: {
      readonly now: number
      readonly horizon: number
      readonly after: readonly [due: number, id: number]
      readonly limit: number
    },
  ) => {
    const rows = await tx.all(
      'SELECT id, target, name, due FROM spool_destination WHERE due <= ? AND (due, id) > (?, ?) ORDER BY due, id LIMIT ?',
      now,
      after[0],
      after[1],
      limit,
    )
    // A clock that was set back leaves times behind that nobody would plan.
    const implausible = await tx.all(
      'SELECT id, target, name, due FROM spool_destination WHERE due > ? ORDER BY due LIMIT ?',
      now + horizon,
      limit,
    )
    const next = await tx.get('SELECT due FROM spool_destination WHERE due > ? ORDER BY due LIMIT 1', now)
    const last = rows.at(-1)
    return {
      due: [...rows, ...implausible].map(destinationOf),
      after: rows.length < limit || last === undefined ? undefined : ([Number(last[3]), Number(last[0])] as const),
      next: next === undefined ? undefined : Number(next[0]),
    }
  },
)

const destinationOf = (row: SqlRow): Destination => ({
  id: Number(row[0]),
  target: String(row[1]),
  name: String(row[2]),
})

/** Where the reading of a destination's recipients stands. */
export type Cursor = readonly [nextAttempt: number, mail: number, n: number]

const DUE = 'mail, n, address, recipient, account, parameters, next_attempt, attempts, expires'

/** The recipients that are due at one destination, behind the cursor, the longest waiting first; and what is the matter with it: `failures` in a row, nothing before `until`. */
export const due = read(
  async (
    tx,
    order: {
      readonly destination: number
      readonly now: number
      readonly horizon: number
      readonly after: Cursor
      readonly limit: number
    },
  ) => {
    const { destination, now, horizon, after, limit } = order
    const state = await tx.get('SELECT failures, down_until FROM spool_destination WHERE id = ?', destination)
    let rows = await tx.all(
      `SELECT ${DUE} FROM spool_recipient WHERE destination = ? AND next_attempt <= ? AND (next_attempt, mail, n) > (?, ?, ?) ORDER BY next_attempt, mail, n LIMIT ?`,
      destination,
      now,
      ...after,
      limit,
    )
    // So far ahead no plan leads: the clock was set back. Only a first attempt may lie there, as its sender wished (RFC 4865).
    if (rows.length === 0)
      rows = await tx.all(
        `SELECT ${DUE} FROM spool_recipient WHERE destination = ? AND next_attempt > ? AND attempts > 0 AND (next_attempt, mail, n) > (?, ?, ?) ORDER BY next_attempt, mail, n LIMIT ?`,
        destination,
        now + horizon,
        ...after,
        limit,
      )
    return { rows: rows.map(dueOf), failures: Number(state?.[0] ?? 0), until: Number(state?.[1] ?? 0) }
  },
)

const dueOf = (row: SqlRow): DueRecipient => ({
  mail: Number(row[0]),
  n: Number(row[1]),
  address: String(row[2]),
  recipient: String(row[3]),
  account: String(row[4]),
  parameters: String(row[5]),
  nextAttempt: Number(row[6]),
  attempts: Number(row[7]),
  expires: Number(row[8]),
})

/** A mail with its octets, where they lie in no blob. */
export const mail = read(async (tx, { seq }: { readonly seq: number }) => {
  const row = await tx.get(`SELECT ${MAIL} FROM spool_mail WHERE seq = ?`, seq)
  if (row === undefined) return undefined
  const body = await tx.get('SELECT bytes FROM spool_body WHERE mail = ?', seq)
  return { mail: mailOf(row), bytes: body?.[0] instanceof Uint8Array ? body[0] : undefined }
})

/** A recipient by its number, and what its sender is to be told. `id` names a notification that has to be begun. */
export interface Parting {
  readonly mail: number
  readonly n: number
  readonly tell?: { readonly kind: ReportKind; readonly fact: Fact; readonly id: string }
}

export interface Settlement {
  readonly destination: number
  /** They need not wait any more. */
  readonly gone: readonly Parting[]
  readonly later: readonly {
    readonly mail: number
    readonly n: number
    readonly nextAttempt: number
    readonly error: LastError
    /** Somebody was asked. */
    readonly tried: boolean
  }[]
  /** What is the matter with the destination: `null` nothing, undefined: not known. */
  readonly outage:
    | { readonly failures: number; readonly until: number; readonly error: LastError; readonly tried: boolean }
    | null
    | undefined
}

/** Writes down how an attempt ended, in one change with what the sender is to be told. Who was taken out of the queue meanwhile is not told of again. */
export const settle = write(async (tx, { destination, gone, later, outage }: Settlement) => {
  const left = new Map<number, number>()
  let told = false
  for (const { mail: seq, n, tell } of gone) {
    const row = await tx.get('SELECT 1 FROM spool_recipient WHERE mail = ? AND n = ?', seq, n)
    if (row === undefined) continue
    if (tell !== undefined && (await addFact(tx, seq, tell.kind, tell.fact, tell.id))) told = true
    await tx.run('DELETE FROM spool_recipient WHERE mail = ? AND n = ?', seq, n)
    left.set(seq, (left.get(seq) ?? 0) + 1)
  }
  for (const { mail: seq, n, nextAttempt, error, tried } of later)
    await tx.run(
      'UPDATE spool_recipient SET next_attempt = CASE WHEN held > 0 THEN NULL ELSE ? END, attempts = attempts + ?, last_attempt = CASE WHEN ? THEN ? ELSE last_attempt END, code = ?, enhanced = ?, error = ?, remote = ? WHERE mail = ? AND n = ?',
      nextAttempt,
      tried ? 1 : 0,
      tried ? 1 : 0,
      tx.now,
      error.code,
      error.enhanced,
      error.text,
      error.remote,
      seq,
      n,
    )
  if (outage === null)
    await tx.run(
      "UPDATE spool_destination SET failures = 0, down_until = 0, code = 0, error = '' WHERE id = ? AND (failures > 0 OR down_until > 0)",
      destination,
    )
  else if (outage !== undefined)
    await tx.run(
      'UPDATE spool_destination SET failures = ?, down_until = ?, last_attempt = CASE WHEN ? THEN ? ELSE last_attempt END, code = ?, enhanced = ?, error = ?, remote = ? WHERE id = ?',
      outage.failures,
      outage.until,
      outage.tried ? 1 : 0,
      tx.now,
      outage.error.code,
      outage.error.enhanced,
      outage.error.text,
      outage.error.remote,
      destination,
    )
  let freed = 0
  let count = 0
  for (const [seq, fewer] of left) {
    count += fewer
    await tx.run('UPDATE spool_mail SET recipients = recipients - ? WHERE seq = ?', fewer, seq)
    freed += await forgetMail(tx, seq)
  }
  await settleDestination(tx, destination, count)
  return { told, freed }
})

/** Looks anew when somebody is due there. */
export const rest = write(async (tx, { destination }: { readonly destination: number }) =>
  settleDestination(tx, destination, 0),
)

/** Recipients who have waited so long that something is to be done: the sender told, or the mail given back. */
export const overdue = read(async (tx, { now, limit }: { readonly now: number; readonly limit: number }) => {
  const rows = await tx.all(
    `SELECT r.mail, r.n, r.address, r.recipient, r.account, r.parameters, r.next_attempt, r.attempts, r.expires, r.destination,
       r.last_attempt, r.code, r.enhanced, r.error, r.remote, d.failures, d.code, d.enhanced, d.error, d.remote, d.last_attempt
     FROM spool_recipient r JOIN spool_destination d ON d.id = r.destination WHERE r.wake <= ? ORDER BY r.wake LIMIT ?`,
    now,
    limit,
  )
  return rows.map((row) => ({
    ...dueOf(row),
    destination: Number(row[9]),
    /** When it was tried last, or another mail for the same destination that is down. */
    tried: Math.max(Number(row[10]), Number(row[15]) > 0 ? Number(row[20]) : 0),
    error: (Number(row[15]) > 0 ? errorOf(row, 16) : undefined) ?? errorOf(row, 11),
  }))
})

export type Overdue = Awaited<ReturnType<typeof overdue.run>>[number]

/** When to look at them again; `attempt`: they are to be tried now. */
export const wakeLater = write(
  async (
    tx,
    {
      rows,
    }: {
      readonly rows: readonly (Parting & {
        readonly destination: number
        readonly wake: number
        readonly attempt: boolean
      })[]
    },
  ) => {
    const moved = new Set<number>()
    for (const { mail: seq, n, destination, wake, attempt, tell } of rows) {
      const found = await tx.run(
        'UPDATE spool_recipient SET wake = ? WHERE mail = ? AND n = ? AND wake IS NOT NULL',
        wake,
        seq,
        n,
      )
      if (found === 0) continue
      if (tell !== undefined) await addFact(tx, seq, tell.kind, tell.fact, tell.id)
      if (!attempt) continue
      await tx.run(
        'UPDATE spool_recipient SET next_attempt = ? WHERE mail = ? AND n = ? AND next_attempt > ?',
        tx.now,
        seq,
        n,
        tx.now,
      )
      moved.add(destination)
    }
    for (const destination of moved) await settleDestination(tx, destination, 0)
  },
)
