// Uploaded files: who may put which, and what is kept until when. Store workers import this file: it must stay light.

import { defineStore, read, type SqlRow, write } from '../../store/contracts.ts'
import { ALL, count, dayIsFull, drop, GONE, HOUR, KEPT, makeRoom, spent, usageOf } from './usage.ts'

/** What a file is for (XEP-0363 §5). */
export type Purpose = 'message' | 'profile' | 'ephemeral'

export interface StoredFile {
  /** Grows with each slot. */
  readonly number: number
  /** The part of the address that nobody can guess. */
  readonly id: string
  /** The id of the account that it belongs to. */
  readonly account: string
  readonly name: string
  /** As the client said. */
  readonly type: string
  readonly size: number
  readonly purpose: Purpose
  /** When the slot was given. Milliseconds since the epoch. */
  readonly at: number
  /** Undefined: never. */
  readonly expires: number | undefined
  /** Of images, in pixels. */
  readonly width: number | undefined
  readonly height: number | undefined
}

export interface NewFile extends Omit<StoredFile, 'number' | 'at' | 'width' | 'height'> {
  /** Until when the upload has to begin. */
  readonly until: number
}

/** In octets; undefined: as much as there is room for. */
export interface FileLimits {
  readonly account: number | undefined
  readonly day: number | undefined
  readonly server: number | undefined
  /** Where the account has no room: its oldest files make some, those for its profile not among them. */
  readonly oldestGo: boolean
}

export type Reservation =
  | { readonly kind: 'reserved'; readonly displaced: readonly Gone[] }
  | { readonly kind: 'account' | 'server' }
  /** `retry`: when there will be room. */
  | { readonly kind: 'day'; readonly retry: number }

/** A file that nobody gets any more; its row stays until it is off the disk. */
export interface Gone {
  readonly id: string
  readonly account: string
}

export interface FileUsage {
  readonly files: number
  readonly octets: number
}

/** What is known of a file, for those who look whether it is there. */
export interface FileRow {
  readonly number: number
  readonly id: string
  readonly name: string
  readonly size: number
  readonly state: 'slot' | 'coming' | 'kept' | 'gone'
}

/** How much an account is said to take, and how much it takes. */
export interface Miscount {
  readonly said: FileUsage
  readonly real: FileUsage
}

const SLOT = 0
const COMING = 1

const STATES = ['slot', 'coming', 'kept', 'gone'] as const

const NEVER = Number.MAX_SAFE_INTEGER

const COLUMNS = 'number, id, account, name, type, size, purpose, at, expires, width, height'

function fileOf([number, id, account, name, type, size, purpose, at, expires, width, height]: SqlRow): StoredFile {
  return {
    number: Number(number),
    id: String(id),
    account: String(account),
    name: String(name),
    type: String(type),
    size: Number(size),
    purpose: String(purpose) as Purpose,
    at: Number(at),
    expires: expires === NEVER ? undefined : Number(expires),
    width: width === null ? undefined : Number(width),
    height: height === null ? undefined : Number(height),
  }
}

export const filesStore = defineStore({
  name: 'chat_file',
  scale: 'core',
  migrations: [
    `
CREATE TABLE chat_file (
  number BIGINT PRIMARY KEY,
  id TEXT NOT NULL UNIQUE,
  account TEXT NOT NULL,
  name TEXT NOT NULL,
  type TEXT NOT NULL,
  size BIGINT NOT NULL,
  purpose TEXT NOT NULL,
  at BIGINT NOT NULL,
  expires BIGINT NOT NULL,
  state INTEGER NOT NULL,
  due BIGINT NOT NULL,
  width BIGINT,
  height BIGINT
);
CREATE INDEX chat_file_account ON chat_file (account, number);
CREATE INDEX chat_file_due ON chat_file (due);
CREATE TABLE chat_file_total (account TEXT PRIMARY KEY, files BIGINT NOT NULL, octets BIGINT NOT NULL);
CREATE TABLE chat_file_day (account TEXT NOT NULL, hour BIGINT NOT NULL, octets BIGINT NOT NULL, PRIMARY KEY (account, hour));
`,
  ],
  operations: {
    /** Gives a slot: its octets count from now on, so that slots taken side by side do not exceed a limit. */
    reserve: write(
      async (tx, { file, limits }: { readonly file: NewFile; readonly limits: FileLimits }): Promise<Reservation> => {
        const { id, account, name, type, size, purpose, expires, until } = file
        if (limits.day !== undefined) {
          const retry = await dayIsFull(tx, account, size, limits.day)
          if (retry !== undefined) return { kind: 'day', retry }
        }
        const before = await usageOf(tx, account)
        const over = limits.account === undefined ? 0 : before.octets + size - limits.account
        // At least what is over the account's limit is given back for it.
        const more = size - Math.max(0, over)
        if (limits.server !== undefined && (await usageOf(tx, ALL)).octets + more > limits.server)
          return { kind: 'server' }
        const displaced = over <= 0 ? [] : limits.oldestGo ? await makeRoom(tx, account, over) : undefined
        if (displaced === undefined) return { kind: 'account' }
        const number = Number((await tx.get('SELECT max(number) FROM chat_file'))?.[0] ?? 0) + 1
        await tx.run(
          'INSERT INTO chat_file (number, id, account, name, type, size, purpose, at, expires, state, due) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)',
          number,
          id,
          account,
          name,
          type,
          size,
          purpose,
          tx.now,
          expires ?? NEVER,
          SLOT,
          until,
        )
        await count(tx, account, 1, size)
        await tx.run(
          'INSERT INTO chat_file_day (account, hour, octets) VALUES (?, ?, ?) ON CONFLICT (account, hour) DO UPDATE SET octets = octets + excluded.octets',
          account,
          Math.floor(tx.now / HOUR),
          size,
        )
        return { kind: 'reserved', displaced }
      },
    ),

    /** An upload begins, and has time until `until`: false where the slot was used, is in use, or is gone. */
    claim: write(
      async (tx, { id, until }: { readonly id: string; readonly until: number }): Promise<boolean> =>
        (await tx.run(
          'UPDATE chat_file SET state = ?, due = ? WHERE id = ? AND state = ? AND due > ?',
          COMING,
          until,
          id,
          SLOT,
          tx.now,
        )) === 1,
    ),

    /** The upload was cut: it may be tried again until `until`. */
    release: write(async (tx, { id, until }: { readonly id: string; readonly until: number }) => {
      await tx.run('UPDATE chat_file SET state = ?, due = ? WHERE id = ? AND state = ?', SLOT, until, id, COMING)
    }),

    /** The file is there: false where it is not wanted any more. */
    keep: write(
      async (
        tx,
        { id, width, height }: { readonly id: string; readonly width?: number; readonly height?: number },
      ): Promise<boolean> =>
        (await tx.run(
          'UPDATE chat_file SET state = ?, due = expires, width = ?, height = ? WHERE id = ? AND state = ?',
          KEPT,
          width ?? null,
          height ?? null,
          id,
          COMING,
        )) === 1,
    ),

    /** A slot or a file, by its id; undefined where it is gone or has expired. */
    find: read(
      async (
        tx,
        { id }: { readonly id: string },
      ): Promise<{ readonly file: StoredFile; readonly state: 'slot' | 'coming' | 'kept' } | undefined> => {
        const row = await tx.get(`SELECT ${COLUMNS}, state FROM chat_file WHERE id = ? AND due > ?`, id, tx.now)
        const state = row === undefined ? GONE : Number(row[11])
        if (row === undefined || state === GONE) return undefined
        return { file: fileOf(row), state: state === SLOT ? 'slot' : state === COMING ? 'coming' : 'kept' }
      },
    ),

    /** The files that are there, of one account or of all: newest first, those before the number `before`. */
    list: read(
      async (
        tx,
        { account, before, limit }: { readonly account?: string; readonly before: number; readonly limit: number },
      ): Promise<readonly StoredFile[]> => {
        const rows =
          account === undefined
            ? await tx.all(
                `SELECT ${COLUMNS} FROM chat_file WHERE number < ? AND state = ? AND expires > ? ORDER BY number DESC LIMIT ?`,
                before,
                KEPT,
                tx.now,
                limit,
              )
            : await tx.all(
                `SELECT ${COLUMNS} FROM chat_file WHERE account = ? AND number < ? AND state = ? AND expires > ? ORDER BY number DESC LIMIT ?`,
                account,
                before,
                KEPT,
                tx.now,
                limit,
              )
        return rows.map(fileOf)
      },
    ),

    /** All of an account, slots and those that are to be deleted too, from the oldest on; those after the number `after`. */
    page: read(
      async (
        tx,
        { account, after, limit }: { readonly account: string; readonly after: number; readonly limit: number },
      ): Promise<readonly FileRow[]> =>
        (
          await tx.all(
            'SELECT number, id, name, size, state FROM chat_file WHERE account = ? AND number > ? ORDER BY number LIMIT ?',
            account,
            after,
            limit,
          )
        ).map(([number, id, name, size, state]) => ({
          number: Number(number),
          id: String(id),
          name: String(name),
          size: Number(size),
          state: STATES[Number(state)] ?? 'gone',
        })),
    ),

    /** Counts what an account takes; undefined where that is what it is said to take. */
    recount: write(
      async (
        tx,
        { account, repair }: { readonly account: string; readonly repair: boolean },
      ): Promise<Miscount | undefined> => {
        const row = await tx.get(
          'SELECT count(*), coalesce(sum(size), 0) FROM chat_file WHERE account = ? AND state <> ?',
          account,
          GONE,
        )
        const said = await usageOf(tx, account)
        const real = { files: Number(row?.[0] ?? 0), octets: Number(row?.[1] ?? 0) }
        if (said.files === real.files && said.octets === real.octets) return undefined
        if (repair) await count(tx, account, real.files - said.files, real.octets - said.octets)
        return { said, real }
      },
    ),

    /** Slots count as files. `day`: octets that the account took in the last day. */
    usage: read(
      async (tx, { account }: { readonly account: string }): Promise<FileUsage & { readonly day: number }> => ({
        ...(await usageOf(tx, account)),
        day: (await spent(tx, account)).reduce((sum, [, octets]) => sum + Number(octets), 0),
      }),
    ),

    /** Of all accounts, those with the most octets first. */
    usages: read(
      async (
        tx,
        { limit }: { readonly limit: number },
      ): Promise<{
        readonly all: FileUsage
        readonly accounts: readonly (FileUsage & { readonly account: string })[]
      }> => ({
        all: await usageOf(tx, ALL),
        accounts: (
          await tx.all(
            "SELECT account, files, octets FROM chat_file_total WHERE account <> '' ORDER BY octets DESC, account LIMIT ?",
            limit,
          )
        ).map(([account, files, octets]) => ({
          account: String(account),
          files: Number(files),
          octets: Number(octets),
        })),
      }),
    ),

    /** Nobody gets these any more; with `account`, only those of that account are meant. Answers what is to be deleted. */
    drop: write(
      async (
        tx,
        { ids, account }: { readonly ids: readonly string[]; readonly account?: string },
      ): Promise<readonly Gone[]> => {
        const rows: SqlRow[] = []
        for (const id of ids) {
          const row = await tx.get('SELECT id, account, size FROM chat_file WHERE id = ? AND state <> ?', id, GONE)
          if (row !== undefined && (account === undefined || row[1] === account)) rows.push(row)
        }
        return drop(tx, rows)
      },
    ),

    /** As `drop`, for the first of all files of an account. */
    dropAll: write(
      async (tx, { account, limit }: { readonly account: string; readonly limit: number }): Promise<readonly Gone[]> =>
        drop(
          tx,
          await tx.all(
            'SELECT id, account, size FROM chat_file WHERE account = ? AND state <> ? ORDER BY number LIMIT ?',
            account,
            GONE,
            limit,
          ),
        ),
    ),

    /** What has expired, and what was to be deleted before and is not yet. */
    due: write(async (tx, { limit }: { readonly limit: number }): Promise<readonly Gone[]> => {
      await tx.run('DELETE FROM chat_file_day WHERE hour <= ?', Math.floor(tx.now / HOUR) - 24)
      const rows = await tx.all(
        'SELECT id, account, size, state FROM chat_file WHERE due <= ? ORDER BY due LIMIT ?',
        tx.now,
        limit,
      )
      await drop(
        tx,
        rows.filter(([, , , state]) => state !== GONE),
      )
      return rows.map(([id, account]) => ({ id: String(id), account: String(account) }))
    }),

    /** These are off the disk. */
    bury: write(async (tx, { ids }: { readonly ids: readonly string[] }) => {
      for (const id of ids) await tx.run('DELETE FROM chat_file WHERE id = ? AND state = ?', id, GONE)
    }),

    /** Forgets an account with all its files, which go with its folder. */
    erase: write(async (tx, { account }: { readonly account: string }) => {
      const { files, octets } = await usageOf(tx, account)
      await count(tx, account, -files, -octets)
      await tx.run('DELETE FROM chat_file WHERE account = ?', account)
      await tx.run('DELETE FROM chat_file_day WHERE account = ?', account)
    }),
  },
})
