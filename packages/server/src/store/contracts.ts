// Storage as the rooms see it: operations on databases, large blobs, and a bus that tells what was committed.

import type { FileHandle } from 'node:fs/promises'
import type { Readable } from 'node:stream'
import { serviceKey } from '../kernel/scope.ts'
import type { BlobKeeper } from './blob-keeper.ts'

/** What SQLite and PostgreSQL both keep. Booleans are 0 and 1, times are milliseconds since the epoch, bytes are Uint8Array. */
export type SqlValue = string | number | null | Uint8Array

/** Columns in the order of the SELECT. */
export type SqlRow = readonly SqlValue[]

/** A driver may answer at once (SQLite) or later (PostgreSQL); `await` takes both. */
export type Soon<T> = T | Promise<T>

/**
 * One transaction on one database. SQL is written in the common tongue of SQLite and PostgreSQL with `?` parameters; statements are prepared once and kept, so
 * the SQL text must be constant (values go into parameters). Everything that an operation reads and writes is one atomic change.
 */
export interface Transaction {
  /** All rows. */
  all(sql: string, ...parameters: SqlValue[]): Soon<readonly SqlRow[]>
  /** The first row, or undefined. */
  get(sql: string, ...parameters: SqlValue[]): Soon<SqlRow | undefined>
  /** Runs a statement that answers no rows; tells how many rows it changed. */
  run(sql: string, ...parameters: SqlValue[]): Soon<number>
  /** Publishes `change` on the bus after, and only after, this transaction is durable. */
  publish(change: Change): void
  /** Which database this is: the account's id, or the service's name, or `core`. */
  readonly database: string
  /** Milliseconds since the epoch, the same throughout one transaction. */
  readonly now: number
  /** Grows when something was undone here: what an operation keeps in memory of the rows that it saw is then worth nothing. */
  readonly undone: number
}

/** Something that was committed. `kind` names the room, e.g. `mail`; the rest is that room's own, structured-cloneable. */
export interface Change {
  readonly kind: string
}

/** The kind of a change that says: changes may have been committed of which nobody was told, as a store worker died. What is kept of them is to be read anew. */
export const LOST = 'lost'

/**
 * One operation: runs inside a transaction in a store worker. An `append` is safe when its promise resolves, and carried out before anybody could miss it: before the next call of another kind
 * on the same store. Arguments and result are structured-cloneable. A throw rolls back this operation alone. */
export interface Operation<Arguments, Result> extends Moves<Arguments, Awaited<Result>> {
  readonly mode: 'read' | 'write' | 'append'
  /** A `write` of what can be made anew of the rest: its promise resolves when the change is made, and a power failure may undo it. What else is in its transaction is safe all the same. */
  readonly derived?: boolean
  /** Of a `write`: its arguments without those that only spare it work. With these alone it does and answers the same: they are what the journal keeps. */
  needed?(args: Arguments): unknown
  run(tx: Transaction, args: Arguments): Soon<Result>
  /** Of an `append`: many at once, in their order. */
  runAll?(tx: Transaction, all: readonly Arguments[]): Soon<void>
}

/**
 * Octets that move from thread to thread instead of being copied: whoever had them has an empty array afterwards. Each must be the only view of its memory, and of memory of its own (not
 * of Node's pool). For octets that are large, or that nobody else needs.
 */
export interface Moves<Arguments, Result> {
  /** Octets of the arguments that go over to the worker. What is not returned is freed when the operation is done: it must keep no view of them. */
  given?(args: Arguments): readonly (Uint8Array | undefined)[]
  /** Octets of the result that go over to the caller. */
  returned?(result: Result): readonly (Uint8Array | undefined)[]
}

/** An operation that changes nothing. */
export const read = <A, R>(
  run: (tx: Transaction, args: A) => Soon<R>,
  moves: Moves<A, Awaited<R>> = {},
): Operation<A, R> => ({ ...moves, mode: 'read', run })
/** An operation whose promise resolves only when its change is safe from power loss. */
export const write = <A, R>(
  run: (tx: Transaction, args: A) => Soon<R>,
  more: Moves<A, Awaited<R>> & Pick<Operation<A, R>, 'needed'> = {},
): Operation<A, R> => ({ ...more, mode: 'write', run })

/** An operation that writes only what can be made anew, such as an index: nobody waits for the disk on its account. */
export const derived = <A, R>(
  run: (tx: Transaction, args: A) => Soon<R>,
  moves: Moves<A, Awaited<R>> = {},
): Operation<A, R> => ({ ...moves, mode: 'write', derived: true, run })

/**
 * A write that answers nothing, publishes nothing and cannot be refused, such as a line in an archive: calls of this kind are gathered in a journal that one sync makes safe for all databases, and
 * are carried out many at a time, in one run or several. What one throws is logged, and the call is put aside. The arguments are kept as JSON; of the time they must tell all that is to be known.
 */
export const append = <A>(
  runAll: (tx: Transaction, all: readonly A[]) => Soon<void>,
): Operation<A extends Flat<A> ? A : never, void> => ({ mode: 'append', run: (tx, args) => runAll(tx, [args]), runAll })

/** What JSON tells as it is. */
type Flat<A> = { readonly [Key in keyof A]: string | number | boolean | null | undefined }

/** Which databases a store's tables live in: every account's own, the server's `core`, or a named service's. */
export type Scale = 'account' | 'core' | 'service'

export type Operations = Readonly<Record<string, Operation<never, unknown>>>

/**
 * The tables and operations of one room, declared in one expression. Migrations are SQL scripts; number n brings version n-1 to n; one that was released is never edited.
 */
export interface StoreDefinition<Ops extends Operations = Operations> {
  /** Unique; its tables' names begin with it or belong to it alone. */
  readonly name: string
  readonly scale: Scale
  readonly migrations: readonly string[]
  readonly operations: Ops
}

export const defineStore = <Ops extends Operations>(definition: StoreDefinition<Ops>): StoreDefinition<Ops> =>
  definition

/** The operations of a store as its room calls them: `await roster.set({ ... })`. */
export type Calls<Ops extends Operations> = {
  readonly [Name in keyof Ops]: Ops[Name] extends Operation<infer A, infer R>
    ? [A] extends [never]
      ? () => Promise<Awaited<R>>
      : (args: A) => Promise<Awaited<R>>
    : never
}

/**
 * An operation that failed on purpose: thrown in a store worker, it arrives at the caller with the same `code` and message.
 * Anything else that an operation throws arrives as a plain Error and is logged with its stack.
 */
export class StoreError extends Error {
  readonly code: string
  constructor(code: string, message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = 'StoreError'
    this.code = code
  }
}

/** `StoreError` codes that the store itself uses: the disk is full or read-only, or the database cannot be had now. Callers answer "try again later". */
export type StoreFault = 'disk-full' | 'unavailable'

/** The databases of this server. */
export interface Store {
  /** The store's calls on one account's database. Cheap: makes no I/O until called. */
  account<Ops extends Operations>(definition: StoreDefinition<Ops>, account: string): Calls<Ops>
  core<Ops extends Operations>(definition: StoreDefinition<Ops>): Calls<Ops>
  service<Ops extends Operations>(definition: StoreDefinition<Ops>, service: string): Calls<Ops>
  /** Goes up with every call on the account's database, and now and then with another's: who works in the background sees whether somebody else does. */
  asked(account: string): number
  /** Closes the account's database and deletes it with everything that belongs to it. */
  eraseAccount(account: string): Promise<void>
  /** Large octets that belong to the server itself, such as queued mail. */
  readonly blobs: Blobs
  /** Large octets of one account; they go when it is erased. */
  accountBlobs(account: string): Blobs
  /** Files of one account that are streamed in and out; they go when it is erased. */
  accountFiles(account: string): Files
  readonly keeper: BlobKeeper
  readonly bus: Bus
  /** So much waits for the disk that who can wait with more should. */
  readonly crowded: boolean
  /** The process rests: threads that have nothing to do give memory back. */
  rest(): void
  /** For status pages and metrics: open databases and operations waiting. */
  figures(): Promise<StoreFigures>
}

export interface StoreFigures {
  readonly open: number
  readonly waiting: number
}

export const Store = serviceKey<Store>('store')

/**
 * Large octets of one owner, content-addressed: the name is the SHA-256 of the content in hex. Owners that keep the same content share it on disk where
 * that costs nothing, yet each deletes its own only.
 */
export interface Blobs {
  /** Resolves when the content is safe from power loss. Storing the same content again is cheap. */
  put(content: Uint8Array): Promise<string>
  /** As `put`, for content that comes in pieces and is never in memory as a whole. */
  putStream(pieces: AsyncIterable<Uint8Array>): Promise<string>
  /** The content or its octets [start, end); undefined when there is no such blob. */
  get(name: string, start?: number, end?: number): Promise<Uint8Array | undefined>
  delete(name: string): Promise<void>
  /** The names of all that this owner has: to find those that nothing refers to. */
  list(): Promise<readonly string[]>
}

/** Files of one owner, under names that the owner's room gives: letters, digits, `-` and `_`. Their content is never in memory as a whole. */
export interface Files {
  /** Writes a file of exactly `size` octets, in place of one of that name; resolves when it is safe from power loss. Where the stream fails or ends early nothing is left of it. */
  receive(name: string, content: Readable, size: number): Promise<void>
  /** The file, open for reading: the caller closes it. Undefined where there is none. */
  open(name: string): Promise<FileHandle | undefined>
  /** Does nothing where there is no such file. */
  delete(name: string): Promise<void>
  /** All that are there, with their octets. */
  list(): Promise<readonly { readonly name: string; readonly size: number }[]>
}

/** Tells what was committed. In one process by default; between machines later, with the same promise: after commit, never before, at least once. */
export interface Bus {
  publish(topic: string, change: Change): void
  /** Calls `listener` for every change on `topic`, in the order of the commits. A listener that throws is logged and harms no other. Returns the way to stop. */
  subscribe(topic: string, listener: (change: Change) => void): () => void
  /** The same for the changes of all accounts' databases, whichever: for who has to do with many of them. */
  subscribeAccounts(listener: (account: string, change: Change) => void): () => void
}

/** The bus topic that carries the committed changes of one account's database. */
export const accountTopic = (account: string): string => `account:${account}`
/** The bus topic that carries the committed changes of the core database. */
export const CORE_TOPIC = 'core'
