// What the stories of the conformance kit look at: messages to put in, and a mailbox as plain values.

import assert from 'node:assert/strict'
import type {
  AppendMessage,
  FlagSet,
  KeyField,
  MailAccount,
  Mailbox,
  MailboxEntry,
  MailboxSnapshot,
  MessageMeta,
  MessageRow,
  MetaField,
} from '../backend.ts'
import { splitKeys } from '../render/key-list.ts'

/** A small message. */
export const message = (
  subject: string,
  body = 'Hello\r\n',
  fields: Readonly<Record<string, string>> = {},
): Uint8Array =>
  Buffer.from(
    `From: Anna <anna@example.org>\r\nTo: Bob <bob@example.net>\r\nSubject: ${subject}\r\nDate: Mon, 2 Feb 2026 10:00:00 +0100\r\n` +
      `Message-ID: <${subject.replace(/\W/g, '')}@example.org>\r\n` +
      Object.entries(fields)
        .map(([name, value]) => `${name}: ${value}\r\n`)
        .join('') +
      `Content-Type: text/plain\r\n\r\n${body}`,
  )

export const text = (bytes: Uint8Array | undefined): string | undefined =>
  bytes === undefined ? undefined : Buffer.from(bytes).toString('latin1')

export const ascending = (list: readonly number[]): boolean =>
  list.every((value, i) => i === 0 || value > (list[i - 1] ?? 0))

/** The mailbox of that name in the list. */
export const find = async (account: MailAccount, mailbox: string): Promise<MailboxEntry | undefined> =>
  (await account.list()).find((entry) => entry.name === mailbox)

/** Appends a small message. Answers its UID. */
export async function add(
  account: MailAccount,
  mailbox: string,
  subject: string,
  flags: FlagSet = [],
  internalDate?: number,
): Promise<number> {
  return put(account, mailbox, {
    bytes: message(subject),
    flags,
    ...(internalDate === undefined ? {} : { internalDate }),
  })
}

/** Appends one message. Answers its UID. */
export async function put(account: MailAccount, mailbox: string, one: AppendMessage): Promise<number> {
  const { uids } = await account.append(mailbox, [one])
  assert.equal(uids.length, 1)
  return uids[0] ?? 0
}

/** UID → flags, modseq, size and date as a text: a mailbox as a plain map. */
export type Model = Map<number, string>

export const rowText = (row: MessageRow): string =>
  `${[...row.flags].sort().join(' ')} ${row.modseq} ${row.size} ${row.internalDate} ${row.zone}`

/** The rows of a snapshot. */
export function rowsOf(snapshot: MailboxSnapshot): MessageRow[] {
  const { uids, flags, flagSets, modseqs, sizes, internalDates, zones } = snapshot
  for (const column of [flags, modseqs, sizes, internalDates, zones])
    assert.equal(column.length, uids.length, 'columns of equal length')
  return Array.from(uids, (uid, i) => {
    const set = flagSets[flags[i] ?? -1]
    assert.ok(set !== undefined, 'flags[i] indexes flagSets')
    return {
      uid,
      flags: set,
      modseq: modseqs[i] ?? 0,
      size: sizes[i] ?? 0,
      internalDate: internalDates[i] ?? 0,
      zone: zones[i] ?? 0,
    }
  })
}

export const rows = async (mailbox: Mailbox): Promise<MessageRow[]> => rowsOf(await mailbox.snapshot())

export const uidsIn = async (mailbox: Mailbox): Promise<number[]> => [...(await mailbox.snapshot()).uids]

export const model = async (mailbox: Mailbox): Promise<Model> =>
  new Map((await rows(mailbox)).map((row) => [row.uid, rowText(row)]))

/** Flags of one message, sorted. */
export async function flagsOf(mailbox: Mailbox, uid: number): Promise<string[]> {
  const row = (await rows(mailbox)).find((one) => one.uid === uid)
  assert.ok(row !== undefined, `message ${uid} is there`)
  return [...row.flags].sort()
}

export async function metas(
  mailbox: Mailbox,
  uids: readonly number[],
  fields: readonly MetaField[],
): Promise<MessageMeta[]> {
  const out: MessageMeta[] = []
  for await (const batch of mailbox.meta(uids, fields)) out.push(...batch)
  return out
}

/** UID and key of each, in the order answered. */
export async function keysOf(
  mailbox: Mailbox,
  uids: readonly number[],
  field: KeyField,
): Promise<(readonly [number, string])[]> {
  const out: (readonly [number, string])[] = []
  for await (const batch of mailbox.keys(uids, field)) {
    const keys = splitKeys(batch.keys)
    assert.equal(batch.uids.length, keys.length, 'as many keys as UIDs')
    keys.forEach((key, i) => out.push([batch.uids[i] ?? 0, key]))
  }
  return out
}

/** Pseudo-random numbers below a limit: the same course for every store. */
export function course(seed: number): (below: number) => number {
  let state = seed
  return (below) => {
    state = (state * 1103515245 + 12345) % 2147483648
    // The low bits of such a generator have short periods.
    return Math.floor((state / 2147483648) * below)
  }
}
