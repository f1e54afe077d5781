// A folder of a Maildir as an IMAP session has it open.

import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import {
  BackendError,
  type AppendMessage,
  type AppendResult,
  type Bytes,
  type CopyResult,
  type FlagChange,
  type FlagSet,
  type KeyField,
  type Mailbox,
  type MailboxCache,
  type MailboxDelta,
  type MailboxSnapshot,
  type MessageKeyBatch,
  type MessageMeta,
  type MetaField,
  type StoreResult,
} from '../backend.ts'
import { applyChange } from '../flag-change.ts'
import { joinKeys } from '../render/key-list.ts'
import { ifThere } from './files.ts'
import type { Folder } from './folder.ts'
import { graveOf } from './graveyard.ts'
import { spell } from './keywords.ts'
import { type Messages, OctetCache, type Rendered } from './messages.ts'
import { type Change, type FolderState, type Row, toMessageRow } from './state.ts'
import { type Arrival, arrive, bury, copyOf, departed, moveOf, reflag, spelt, withFolders } from './transfer.ts'

/** What a mailbox needs of its account. */
export interface Around {
  readonly messages: Messages
  /** The folder of a name. TRYCREATE. */
  destination(name: string): Promise<Folder>
  /** Messages that a client gave, written to the folder's `tmp`. TOOBIG. */
  stage(
    folder: Folder,
    messages: readonly AppendMessage[],
  ): Promise<{ readonly arrivals: readonly Arrival[]; discard(): Promise<void> }>
  /** The thread of a message (RFC 8474). */
  thread(folder: Folder, uid: number): Promise<string>
}

/** Messages read side by side: open files, and octets in memory. */
const BATCH = 32
/** Octets that the library may keep of one mailbox. */
const CACHE = 16 << 20
/** Another program may rename a file between our looking and our doing, as often as this. */
const ATTEMPTS = 4

export class MaildirMailbox implements Mailbox {
  readonly id: string
  readonly uidValidity: number
  readonly cache: MailboxCache = new OctetCache<unknown>(CACHE)
  readonly #folder: Folder
  readonly #around: Around

  /** `folder` was synced before. */
  constructor(folder: Folder, around: Around) {
    this.#folder = folder
    this.#around = around
    this.id = folder.id
    this.uidValidity = folder.state.uidValidity
  }

  get name(): string {
    return this.#folder.name
  }

  #seen<Value>(look: (state: FolderState) => Value): Promise<Value> {
    return this.#folder.exclusive(async () => {
      await this.#folder.sync()
      return look(this.#folder.state)
    })
  }

  /** Runs a change of this folder and others, all of them seen as they are, this one with its directories. */
  async #change<Value>(others: readonly Folder[], work: (state: FolderState) => Promise<Value>): Promise<Value> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await withFolders([this.#folder, ...others], async () => {
          await this.#folder.refresh()
          for (const other of others) if (other !== this.#folder) await other.control()
          return work(this.#folder.state)
        })
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ENOENT' || attempt === ATTEMPTS) throw error
      }
    }
  }

  keywords(): Promise<readonly string[]> {
    return this.#seen((state) => state.keywords.filter((keyword) => keyword !== undefined))
  }

  snapshot(): Promise<MailboxSnapshot> {
    return this.#seen((state) => state.snapshot())
  }

  delta(since: number): Promise<MailboxDelta> {
    return this.#seen((state) => state.delta(since))
  }

  async claimRecent(): Promise<{ readonly from: number; readonly to: number }> {
    const [recentUid, uidNext, unread] = await this.#seen((state) => [
      state.recentUid,
      state.uidNext,
      state.rows.some(({ file }) => file?.startsWith('new/')),
    ])
    // Most SELECTs find nothing to claim: those need no lock.
    if (recentUid === uidNext && !unread) return { from: uidNext, to: uidNext }
    return this.#change([], async (state) => {
      const claimed = { from: state.recentUid, to: state.uidNext }
      // Seen by a reader: mail moves from `new` to `cur` (cr.yp.to/proto/maildir.html).
      const fresh = state.rows.filter(({ file }) => file?.startsWith('new/'))
      const moved = await reflag(
        this.#folder,
        fresh.map((row) => ({ row, flags: row.flags })),
      )
      for (const { row, file } of moved) row.file = file
      if (claimed.from < claimed.to) await this.#folder.commit([{ kind: 'recent', uid: claimed.to }])
      await this.#folder.committed()
      return claimed
    })
  }

  async store(uids: readonly number[], change: FlagChange, unchangedSince?: number): Promise<StoreResult> {
    return this.#change([], async (state) => {
      const modified: number[] = []
      const answer: Row[] = []
      for (const row of state.find(uids)) {
        if (unchangedSince !== undefined && row.modseq > unchangedSince) modified.push(row.uid)
        else answer.push(row)
      }
      const flags = answer.length === 0 ? [] : await this.#spelt(change)
      const wanted = answer
        .map((row) => ({ row, flags: applyChange(row.flags, change.action, flags) }))
        .filter(({ row, flags }) => flags !== row.flags)
      if (wanted.length > 0) await this.#reflag(wanted)
      return { rows: answer.map(toMessageRow), modified, highestModseq: state.highestModseq }
    })
  }

  /** Flags of a change as the folder spells them. What is removed need not be known. */
  async #spelt({ action, flags }: FlagChange): Promise<FlagSet> {
    if (action !== 'remove') return spelt(this.#folder, flags)
    const { keywords } = this.#folder.state
    return flags.flatMap((flag) => {
      const found = spell([flag], keywords)
      return found !== undefined && (flag.startsWith('\\') || keywords.includes(found.flags[0])) ? found.flags : []
    })
  }

  async #reflag(wanted: readonly { readonly row: Row; readonly flags: FlagSet }[]): Promise<void> {
    const folder = this.#folder
    const modseq = await folder.nextModseq()
    const renamed = await reflag(folder, wanted)
    const back = renamed.map(({ row, file }) => ({ row: { ...row, file }, flags: row.flags }))
    try {
      await folder.commit(wanted.map(({ row, flags }): Change => ({ kind: 'flags', uid: row.uid, modseq, flags })))
    } catch (error) {
      await reflag(folder, back).catch(() => undefined)
      throw error
    }
    for (const { row, file } of renamed) row.file = file
    await folder.committed()
  }

  async expunge(uids: readonly number[]): Promise<{ uids: readonly number[]; highestModseq: number }> {
    return this.#change([], async (state) => {
      const rows = state.find(uids).filter(({ flags }) => flags.includes('\\Deleted'))
      if (rows.length > 0) {
        const modseq = await this.#folder.nextModseq()
        const back = await bury(this.#folder, rows)
        try {
          await this.#folder.commit(rows.map(({ uid }): Change => ({ kind: 'gone', uid, modseq })))
        } catch (error) {
          await back().catch(() => undefined)
          throw error
        }
        await this.#folder.committed()
      }
      return { uids: rows.map(({ uid }) => uid), highestModseq: state.highestModseq }
    })
  }

  async copy(uids: readonly number[], destination: string): Promise<CopyResult> {
    await this.#seen(() => undefined)
    const target = await this.#around.destination(destination)
    return this.#change([target], async (state) => {
      const rows = state.find(uids)
      const arrivals = await Promise.all(
        rows.map(async (row) =>
          copyOf(this.#folder, row, () => this.#octets(row.uid, 0, undefined), await this.#fileSize(row)),
        ),
      )
      const added = rows.length === 0 ? [] : await arrive(target, arrivals)
      return { uidValidity: target.state.uidValidity, source: rows.map(({ uid }) => uid), destination: added }
    })
  }

  async move(uids: readonly number[], destination: string): Promise<CopyResult> {
    await this.#seen(() => undefined)
    const target = await this.#around.destination(destination)
    return this.#change([target], async (state) => {
      const rows = state.find(uids)
      if (rows.length === 0) return { uidValidity: target.state.uidValidity, source: [], destination: [] }
      const arrivals = await Promise.all(rows.map(async (row) => moveOf(this.#folder, row, await this.#fileSize(row))))
      const added = await arrive(target, arrivals, async () => {
        for (const place of ['cur', 'new']) await ifThere(this.#folder.files.sync(join(this.#folder.path, place)))
        return async () => undefined
      })
      await departed(this.#folder, rows)
      return { uidValidity: target.state.uidValidity, source: rows.map(({ uid }) => uid), destination: added }
    })
  }

  async #fileSize(row: Row): Promise<number> {
    return (await stat(join(this.#folder.path, row.file ?? ''))).size
  }

  async replace(uid: number, destination: string, message: AppendMessage): Promise<AppendResult> {
    await this.#seen(() => undefined)
    const target = await this.#around.destination(destination)
    const staged = await this.#around.stage(target, [message])
    try {
      return await this.#change([target], async (state) => {
        const rows = state.find([uid])
        if (rows.length === 0) throw new BackendError('EXPUNGEISSUED', 'The message is expunged already')
        const uids = await arrive(target, staged.arrivals, () => bury(this.#folder, rows))
        await departed(this.#folder, rows)
        return { uidValidity: target.state.uidValidity, uids }
      })
    } finally {
      await staged.discard()
    }
  }

  async *meta(uids: readonly number[], fields: readonly MetaField[]): AsyncGenerator<readonly MessageMeta[]> {
    const sorted = [...new Set(uids)].sort((a, b) => a - b)
    await this.#seen(() => undefined)
    for (let at = 0; at < sorted.length; at += BATCH) {
      const batch = await Promise.all(sorted.slice(at, at + BATCH).map((uid) => this.#meta(uid, fields)))
      yield batch.filter((meta) => meta !== undefined)
    }
  }

  async #meta(uid: number, fields: readonly MetaField[]): Promise<MessageMeta | undefined> {
    const rendered = await this.#rendered(uid)
    if (rendered === undefined) return undefined
    const meta: Record<string, Bytes | string | number> = {}
    for (const field of fields) {
      if (field === 'threadId') meta[field] = await this.#around.thread(this.#folder, uid)
      else if (field === 'saveDate') meta[field] = this.#folder.state.get(uid)?.saveDate ?? 0
      else meta[field] = rendered[field]
    }
    return { uid, ...meta }
  }

  #rendered(uid: number): Promise<Rendered | undefined> {
    return this.#around.messages.rendered(`${this.id} ${uid}`, () => this.#octets(uid, 0, undefined))
  }

  async *keys(uids: readonly number[], field: KeyField): AsyncGenerator<MessageKeyBatch> {
    const sorted = [...new Set(uids)].sort((a, b) => a - b)
    await this.#seen(() => undefined)
    for (let at = 0; at < sorted.length; at += BATCH) {
      const slice = sorted.slice(at, at + BATCH)
      const rendered = await Promise.all(slice.map((uid) => this.#rendered(uid)))
      const there = slice.filter((_, i) => rendered[i] !== undefined)
      if (there.length === 0) continue
      yield { uids: there, keys: joinKeys(rendered.filter((one) => one !== undefined).map(({ keys }) => keys[field])) }
    }
  }

  async raw(uid: number, start?: number, end?: number): Promise<Bytes | undefined> {
    if (this.#folder.dead) await this.#seen(() => undefined)
    return this.#octets(uid, start ?? 0, end)
  }

  /** Octets of a message, also of one expunged a short while ago. */
  async #octets(uid: number, start: number, end: number | undefined): Promise<Bytes | undefined> {
    const folder = this.#folder
    const key = `${this.id} ${uid}`
    for (let attempt = 1; attempt <= ATTEMPTS; attempt++) {
      const row = folder.state.get(uid)
      const place = row?.file === undefined ? graveOf(uid) : row.file
      const octets = await this.#around.messages.octets(join(folder.path, place), key, row?.size, start, end)
      if (octets !== undefined) return octets
      // Renamed by somebody, or come since we looked.
      await this.#seen(() => undefined)
    }
    return undefined
  }
}
