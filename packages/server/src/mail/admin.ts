// The administrators' door to mail.

import {
  BackendError,
  type AppendMessage,
  type FlagSet,
  formatNumbers,
  type MailAccount,
  type Mailbox,
  type MailboxEntry,
  type MailboxSnapshot,
  parseNumberSet,
  spansOfUids,
} from '@aviso/imap'
import { decodeWords, Headers } from '@aviso/mime'
import type { AccountAdmin } from '../accounts/administration.ts'
import { AccountError } from '../accounts/errors.ts'
import { nearest } from '../kernel/nearest.ts'
import {
  type Examination,
  type ImportAnswer,
  type MailAdmin,
  MailAdminError,
  type MailAdminErrorCode,
  type MailboxLine,
  type MailImport,
  type MessageLine,
  type MessagePage,
  type MessageQuery,
  type NewMail,
} from './administration.ts'
import type { Finding } from './mailboxes/check-operations.ts'
import type { Import } from './mailboxes/import.ts'
import type { Mailboxes } from './mailboxes/mailboxes.ts'
import { Staging } from './transfer/staging.ts'

/** Messages that one change of the store takes, so that a command for a million keeps nobody waiting. */
const AT_ONCE = 5000
/** Headers that one page looks at, of messages that may not match. */
const HEADERS_A_PAGE = 2000
const HEADERS_AT_ONCE = 200
/** Findings that one examination lists: a disk that failed has no end of them. */
const MOST_FINDINGS = 1000

/** Makes the door to the mail of this server's accounts. Keep it: large messages come in over several calls. */
export function createMailAdmin(
  accounts: () => AccountAdmin,
  mailboxes: () => Mailboxes,
  appendLimit: () => number,
): MailAdmin {
  return new Door(accounts, mailboxes, appendLimit)
}

class Door implements MailAdmin {
  readonly #accounts: () => AccountAdmin
  readonly #mailboxes: () => Mailboxes
  readonly #limit: () => number
  readonly #staging = new Staging()

  constructor(accounts: () => AccountAdmin, mailboxes: () => Mailboxes, limit: () => number) {
    this.#accounts = accounts
    this.#mailboxes = mailboxes
    this.#limit = limit
  }

  get appendLimit(): number {
    return this.#limit()
  }

  mailboxes(address: string): Promise<readonly MailboxLine[]> {
    return this.#with(address, async (account) => {
      const lines: MailboxLine[] = []
      for (const entry of await account.list()) lines.push(await lineOf(account, entry))
      return lines
    })
  }

  mailbox(address: string, name: string): Promise<MailboxLine> {
    return this.#with(address, async (account) => {
      const entry = await entryOf(account, name)
      return lineOf(account, entry)
    })
  }

  createMailbox(address: string, name: string, role: MailboxEntry['role']): Promise<MailboxLine> {
    return this.#with(address, async (account) => {
      const made = await account.create(name, role)
      await account.subscribe(made.name, true)
      return lineOf(account, { ...made, subscribed: true })
    })
  }

  renameMailbox(address: string, from: string, to: string): Promise<void> {
    return this.#with(
      address,
      async (account) => {
        const before = await account.list()
        await account.rename(from, to)
        // IMAP leaves subscriptions to its clients, who rename them too; here nobody else will. INBOX stays where it is.
        if (same('INBOX', from)) return account.subscribe(to, true)
        for (const { name, subscribed } of before) {
          if (!subscribed || !(same(name, from) || name.startsWith(`${from}/`))) continue
          await account.subscribe(to + name.slice(from.length), true)
          await account.subscribe(name, false)
        }
        return undefined
      },
      from,
    )
  }

  deleteMailbox(address: string, name: string): Promise<void> {
    return this.#with(
      address,
      async (account) => {
        await account.delete(name)
        await account.subscribe(name, false)
      },
      name,
    )
  }

  subscribe(address: string, name: string, subscribed: boolean): Promise<void> {
    return this.#with(address, async (account) => {
      // IMAP lets anybody subscribe to anything; whoever types a name means one that is there.
      const entries = await account.list()
      if (!entries.some((entry) => same(entry.name, name))) throw noMailbox(name, entries)
      await account.subscribe(name, subscribed)
    })
  }

  messages(
    address: string,
    name: string,
    query: MessageQuery,
    page: { readonly after: number; readonly limit: number; readonly headers: boolean },
  ): Promise<MessagePage> {
    return this.#open(address, name, async (mailbox) => {
      const snapshot = await mailbox.snapshot()
      const wanted = [query.from, query.to, query.subject].some((text) => text !== undefined)
      const rows: MessageLine[] = []
      let looked = 0
      let batch: number[] = []
      let last = page.after
      const flush = async (): Promise<void> => {
        if (batch.length === 0) return
        const lines =
          page.headers || wanted ? await withHeaders(mailbox, snapshot, batch) : batch.map((at) => lineAt(snapshot, at))
        looked += batch.length
        batch = []
        for (const line of lines) {
          if (rows.length >= page.limit) break
          last = line.uid
          if (!wanted || matchesHeader(line, query)) rows.push(line)
        }
      }
      for (const at of positions(snapshot, query, page.after)) {
        if (rows.length + batch.length >= page.limit || batch.length >= HEADERS_AT_ONCE) {
          await flush()
          if (rows.length >= page.limit || looked >= HEADERS_A_PAGE) return { rows, next: last }
        }
        batch.push(at)
      }
      await flush()
      return { rows, next: undefined }
    })
  }

  octets(address: string, name: string, uid: number, start: number, end?: number): Promise<Uint8Array | undefined> {
    return this.#open(address, name, (mailbox) => mailbox.raw(uid, start, end))
  }

  add(address: string, name: string, mail: NewMail): Promise<number> {
    return this.#with(address, async (account) => (await account.append(name, [this.#whole(mail)])).uids[0] ?? 0, name)
  }

  flag(address: string, name: string, uids: string, action: 'add' | 'remove' | 'set', flags: FlagSet): Promise<number> {
    return this.#each(address, name, uids, async (mailbox, some) => {
      await mailbox.store(some, { action, flags })
    })
  }

  copy(address: string, name: string, uids: string, to: string): Promise<number> {
    return this.#each(address, name, uids, (mailbox, some) => mailbox.copy(some, to), to)
  }

  move(address: string, name: string, uids: string, to: string): Promise<number> {
    return this.#each(address, name, uids, (mailbox, some) => mailbox.move(some, to), to)
  }

  expunge(address: string, name: string, uids: string): Promise<number> {
    return this.#each(address, name, uids, async (mailbox, some) => {
      await mailbox.store(some, { action: 'add', flags: ['\\Deleted'] })
      await mailbox.expunge(some)
    })
  }

  async stage(token: string, piece: Uint8Array): Promise<void> {
    if (!this.#staging.add(token, piece, this.appendLimit)) throw tooBig(this.appendLimit)
  }

  import(address: string, order: MailImport): Promise<readonly ImportAnswer[]> {
    return this.#account(address).then(async ({ id }) => {
      const entries = order.entries.map(({ key, nth, mail }) => ({
        key,
        nth,
        message: mail === undefined ? undefined : this.#whole(mail),
      }))
      const some = async (part: readonly Entry[]): Promise<ImportAnswer[]> => {
        const done = await this.#mailboxes().import(id, { ...order, entries: part })
        return done.map((one) =>
          one === 'known'
            ? { kind: 'known' }
            : 'uid' in one
              ? { kind: 'imported', uid: one.uid }
              : { kind: 'wanted', nth: one.nth },
        )
      }
      try {
        return await some(entries)
      } catch (error) {
        if (!isOfOne(error) || entries.length === 0) throw asMailAdminError(error)
      }
      // One of them cannot be taken: the others can.
      const answers: ImportAnswer[] = []
      for (const entry of entries) answers.push(await single(some, entry))
      return answers
    })
  }

  async forgetImports(address: string): Promise<void> {
    const { id } = await this.#account(address)
    try {
      await this.#mailboxes().forgetImports(id)
    } catch (error) {
      throw asMailAdminError(error)
    }
  }

  async examine(address: string, repair: boolean): Promise<Examination> {
    const { id, address: name } = await this.#account(address)
    const findings: Finding[] = []
    let more = 0
    let open = 0
    try {
      for await (const finding of this.#mailboxes().examine(id, repair)) {
        if (!finding.repaired) open++
        if (findings.length < MOST_FINDINGS) findings.push(finding)
        else more++
      }
    } catch (error) {
      throw asMailAdminError(error)
    }
    return { address: name, findings, more, open }
  }

  #whole({ bytes, flags, date }: NewMail): AppendMessage {
    const whole = bytes instanceof Uint8Array ? bytes : this.#staging.take(bytes.staged)
    if (whole === undefined)
      throw new MailAdminError('unavailable', 'the server no longer has the pieces of a message: send it again')
    if (whole.byteLength > this.appendLimit) throw tooBig(this.appendLimit)
    return { bytes: whole, flags, ...(date === undefined ? {} : { internalDate: date.time, zone: date.zone }) }
  }

  async #account(address: string) {
    try {
      return await this.#accounts().showAccount(address)
    } catch (error) {
      if (!(error instanceof AccountError) || error.code !== 'not-found') throw error
      const all = await this.#accounts().listAccounts({ limit: 1000 })
      const near = nearest(
        address,
        all.map((account) => account.address),
      )
      throw near === undefined
        ? error
        : new AccountError('not-found', `${error.message}. Did you mean ${near}?`, { cause: error })
    }
  }

  /** Runs `work` on the account's mail; `name` is the mailbox that it is about. */
  async #with<T>(address: string, work: (account: MailAccount) => Promise<T>, name?: string): Promise<T> {
    const account = this.#mailboxes().open(await this.#account(address))
    try {
      return await work(account)
    } catch (error) {
      if (name !== undefined && isMissing(error)) throw noMailbox(name, await account.list())
      throw asMailAdminError(error)
    } finally {
      account.close()
    }
  }

  async #open<T>(address: string, name: string, work: (mailbox: Mailbox) => Promise<T>): Promise<T> {
    return this.#with(address, async (account) => work(await account.open(name)), name)
  }

  /** Runs `work` for the messages of the set, some thousands at a time. Answers how many there were. `to`: the other mailbox that `work` is about. */
  #each(
    address: string,
    name: string,
    uids: string,
    work: (mailbox: Mailbox, some: readonly number[]) => Promise<unknown>,
    to?: string,
  ): Promise<number> {
    return this.#with(address, async (account) => {
      let mailbox: Mailbox
      try {
        mailbox = await account.open(name)
      } catch (error) {
        throw isMissing(error) ? noMailbox(name, await account.list()) : error
      }
      const snapshot = await mailbox.snapshot()
      let done = 0
      let some: number[] = []
      try {
        for (const at of positions(snapshot, { uids }, 0)) {
          some.push(snapshot.uids[at] ?? 0)
          if (some.length < AT_ONCE) continue
          await work(mailbox, some)
          done += some.length
          some = []
        }
        if (some.length > 0) await work(mailbox, some)
        done += some.length
      } catch (error) {
        if (to !== undefined && isMissing(error)) throw noMailbox(to, await account.list())
        throw error
      }
      if (done === 0) throw new MailAdminError('not-found', `${mailbox.name} has no message ${uids}${hint(snapshot)}`)
      return done
    })
  }
}

const hint = ({ uids }: MailboxSnapshot): string =>
  uids.length === 0
    ? ': it is empty'
    : uids.length <= 20
      ? `: its UIDs are ${formatNumbers(uids)}`
      : `: its UIDs go from ${uids[0] ?? 0} to ${uids.at(-1) ?? 0}`

async function lineOf(account: MailAccount, entry: MailboxEntry): Promise<MailboxLine> {
  const { name, role, subscribed, selectable, id } = entry
  const none = { messages: 0, unseen: 0, deleted: 0, size: 0, uidValidity: 0, uidNext: 0, highestModseq: 0 }
  const { messages, unseen, deleted, size, uidValidity, uidNext, highestModseq } = selectable
    ? await account.status(name)
    : none
  return {
    name,
    role,
    subscribed,
    selectable,
    id,
    messages,
    unseen,
    deleted,
    size,
    uidValidity,
    uidNext,
    highestModseq,
  }
}

async function entryOf(account: MailAccount, name: string): Promise<MailboxEntry> {
  const entries = await account.list()
  const found = entries.find((entry) => entry.selectable && same(entry.name, name))
  if (found === undefined) throw noMailbox(name, entries)
  return found
}

const same = (one: string, typed: string): boolean =>
  one === typed.normalize('NFC') || (/^inbox$/i.test(typed) && one === 'INBOX')

function noMailbox(name: string, entries: readonly MailboxEntry[]): MailAdminError {
  const names = entries.filter((entry) => entry.selectable).map((entry) => entry.name)
  const near = nearest(name, names) ?? names.find((one) => one.endsWith(`/${name}`))
  const others = names.length > 12 ? `${names.slice(0, 12).join(', ')} ...` : names.join(', ')
  return new MailAdminError(
    'not-found',
    `there is no mailbox ${name}${near === undefined ? `; there are ${others}` : `. Did you mean ${near}?`}`,
  )
}

/** Positions of the rows after the UID `after` that meet what needs no header. */
function* positions(snapshot: MailboxSnapshot, query: MessageQuery, after: number): Generator<number> {
  const set = parseNumberSet(query.uids ?? '1:*')
  if (set === undefined)
    throw new MailAdminError('invalid', `'${query.uids ?? ''}' is no set of UIDs, such as 7 or 1:100,200:*`)
  const { uids, flags, flagSets, internalDates, sizes } = snapshot
  const oldest = query.last === undefined ? 0 : Math.max(0, uids.length - query.last)
  const meets = flagSets.map(
    (own) =>
      (query.with ?? []).every((flag) => hasFlag(own, flag)) &&
      !(query.without ?? []).some((flag) => hasFlag(own, flag)),
  )
  for (const { start, end } of spansOfUids(set, uids)) {
    if (end === 0 || (uids[end - 1] ?? 0) <= after) continue
    for (let at = Math.max(start, oldest); at < end; at++) {
      const date = internalDates[at] ?? 0
      const size = sizes[at] ?? 0
      if ((uids[at] ?? 0) <= after || meets[flags[at] ?? 0] !== true) continue
      if (date < (query.since ?? -Infinity) || date >= (query.before ?? Infinity)) continue
      if (size <= (query.larger ?? -1) || size >= (query.smaller ?? Infinity)) continue
      yield at
    }
  }
}

const hasFlag = (own: FlagSet, flag: string): boolean => own.some((one) => one.toLowerCase() === flag.toLowerCase())

function lineAt(snapshot: MailboxSnapshot, at: number, headers?: Headers): MessageLine {
  const text = (name: string): string | undefined =>
    headers === undefined ? undefined : decodeWords(headers.get(name) ?? '')
  return {
    uid: snapshot.uids[at] ?? 0,
    flags: snapshot.flagSets[snapshot.flags[at] ?? 0] ?? [],
    date: { time: snapshot.internalDates[at] ?? 0, zone: snapshot.zones[at] ?? 0 },
    size: snapshot.sizes[at] ?? 0,
    from: text('From'),
    to: text('To'),
    subject: text('Subject'),
  }
}

async function withHeaders(
  mailbox: Mailbox,
  snapshot: MailboxSnapshot,
  batch: readonly number[],
): Promise<MessageLine[]> {
  const lines: MessageLine[] = []
  let i = 0
  const uids = batch.map((at) => snapshot.uids[at] ?? 0)
  for await (const metas of mailbox.meta(uids, ['commonHeader']))
    for (const { uid, commonHeader } of metas) {
      // Messages that have gone since are passed over.
      while (i < uids.length && (uids[i] ?? 0) < uid) i++
      const at = batch[i]
      if (at !== undefined && uids[i] === uid)
        lines.push(lineAt(snapshot, at, Headers.parse(commonHeader ?? new Uint8Array())))
    }
  return lines
}

function matchesHeader(line: MessageLine, { from, to, subject }: MessageQuery): boolean {
  const holds = (text: string | undefined, part: string | undefined): boolean =>
    part === undefined || (text ?? '').toLowerCase().includes(part.toLowerCase())
  return holds(line.from, from) && holds(line.to, to) && holds(line.subject, subject)
}

/** One message for the store. */
type Entry = Import['entries'][number]

/** Takes one message; where it is its keywords that cannot be taken, without them. */
async function single(some: (part: readonly Entry[]) => Promise<ImportAnswer[]>, entry: Entry): Promise<ImportAnswer> {
  const attempt = async (message: AppendMessage | undefined): Promise<ImportAnswer> => {
    const [answer] = await some([{ ...entry, message }])
    return answer ?? { kind: 'known' }
  }
  try {
    return await attempt(entry.message)
  } catch (error) {
    if (!isOfOne(error)) throw asMailAdminError(error)
    const { message } = entry
    const system = message?.flags.filter((flag) => flag.startsWith('\\')) ?? []
    if (message === undefined || system.length === message.flags.length)
      return { kind: 'failed', reason: reasonOf(error) }
    try {
      const answer = await attempt({ ...message, flags: system })
      return answer.kind === 'imported' ? { ...answer, note: `its keywords were left out: ${reasonOf(error)}` } : answer
    } catch (again) {
      if (!isOfOne(again)) throw asMailAdminError(again)
      return { kind: 'failed', reason: reasonOf(again) }
    }
  }
}

const reasonOf = (error: unknown): string => {
  const { message } = asMailAdminError(error) as Error
  return message
}

const isMissing = (error: unknown): boolean =>
  error instanceof BackendError && (error.code === 'NONEXISTENT' || error.code === 'TRYCREATE')

/** True for what is wrong with a message, not with the mailbox or the disk. */
const isOfOne = (error: unknown): boolean =>
  error instanceof BackendError && ['TOOBIG', 'CANNOT', 'LIMIT'].includes(error.code ?? '')

const CODES: Readonly<Record<string, MailAdminErrorCode>> = {
  NONEXISTENT: 'not-found',
  TRYCREATE: 'not-found',
  EXPUNGEISSUED: 'not-found',
  ALREADYEXISTS: 'exists',
  CANNOT: 'invalid',
  USEATTR: 'invalid',
  TOOBIG: 'invalid',
  NOPERM: 'invalid',
  LIMIT: 'limit',
  OVERQUOTA: 'limit',
  UNAVAILABLE: 'unavailable',
  INUSE: 'unavailable',
}

/** What a store refused, as an administrator is told it. Defects pass through unchanged. */
function asMailAdminError(error: unknown): unknown {
  if (!(error instanceof BackendError)) return error
  const code = CODES[error.code ?? '']
  if (code === undefined) return error
  const { message, cause } = error
  const why = code === 'unavailable' && cause instanceof Error ? `${message}: ${cause.message}` : message
  return new MailAdminError(code, why.charAt(0).toLowerCase() + why.slice(1), { cause: error })
}

const tooBig = (limit: number): MailAdminError =>
  new MailAdminError('invalid', `a message may have ${limit} octets at most (the setting mail.max-message-size)`)
