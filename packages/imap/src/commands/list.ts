// RFC 9051 §6.3.9 LIST, with LIST-EXTENDED (RFC 5258), CHILDREN (RFC 3348), SPECIAL-USE (RFC 6154), LIST-STATUS (RFC 5819),
// LIST-MYRIGHTS (RFC 8440) and LIST-METADATA (RFC 9590)

import { BackendError, type Bytes, type MailboxEntry } from '../backend.ts'
import { ahead, type Settled } from '../server/ahead.ts'
import { defineCommand } from '../server/command.ts'
import { matchesPattern } from '../server/list-pattern.ts'
import { Listing, parentsOf, specialUse } from '../server/listing.ts'
import { allows, showRights } from '../server/rights.ts'
import type { ImapServerSession } from '../server/session.ts'
import { bad } from '../wire/errors.ts'
import { writeMailboxName } from '../wire/mailbox-name.ts'
import { type ListArguments, parseList } from './list-options.ts'
import { readEntries, writeEntries } from './metadata-entries.ts'
import { readStatus, type StatusReport, writeStatus } from './status.ts'

/** One name that is answered. */
interface Found {
  readonly entry: MailboxEntry
  /** It meets the selection itself, not only something below it. */
  readonly selected: boolean
  readonly childInfo: boolean
}

/** What the return options ask the store about one name. */
interface Details {
  readonly status: Settled<StatusReport> | undefined
  readonly metadata: Settled<ReadonlyMap<string, Bytes | undefined>> | undefined
}

export const list = defineCommand({
  name: 'LIST',
  state: 'authenticated',
  parse: parseList,
  async execute(session, args) {
    const { account, out } = session
    const { returns } = args
    if (returns.myRights && account.acl === undefined) throw bad('LIST does not know the return option MYRIGHTS')
    if (returns.metadata !== undefined && account.metadata === undefined)
      throw bad('LIST does not know the return option METADATA')
    if (args.root) {
      out.untagged('LIST (\\Noselect) "/" ""')
      return
    }
    if (returns.status?.includes('HIGHESTMODSEQ') === true) session.enableCondstore()
    const listing = new Listing(await account.list())
    const found = await select(session, listing, args)
    for await (const { item, answer } of ahead(found, (one) => details(session, one, args))) {
      if ('error' in answer) throw answer.error
      write(session, listing, item, answer.value, args)
      if (session.winded) await session.breathe()
    }
  },
})

/** RFC 5258 §3.3, §3.5: which names are answered, and which of them with CHILDINFO. */
async function select(session: ImapServerSession, listing: Listing, args: ListArguments): Promise<Found[]> {
  const { select: wanted, patterns } = args
  const selects = (entry: MailboxEntry): boolean =>
    (!wanted.subscribed || entry.subscribed) &&
    (!wanted.specialUse || specialUse(entry) !== undefined) &&
    (wanted.subscribed || listing.exists(entry))
  // Above these is something that meets the selection; above those, something that does and that no pattern matches.
  const above = new Set<string>()
  const aboveUnmatched = new Set<string>()
  const matching: MailboxEntry[] = []
  const known = new Set<string>()
  for (const entry of listing.entries) {
    if (session.winded) await session.breathe()
    known.add(entry.name)
    const matched = patterns.some((pattern) => matchesPattern(pattern, entry.name))
    if (matched) matching.push(entry)
    if (!wanted.recursive || !selects(entry)) continue
    for (const parent of parentsOf(entry.name)) {
      above.add(parent)
      if (!matched) aboveUnmatched.add(parent)
    }
  }
  for (const name of aboveUnmatched) {
    if (known.has(name) || !patterns.some((pattern) => matchesPattern(pattern, name))) continue
    matching.push({ id: '', name, role: undefined, subscribed: false, selectable: false })
  }
  const found: Found[] = []
  for (const entry of matching) {
    const selected = selects(entry)
    if (selected || aboveUnmatched.has(entry.name)) found.push({ entry, selected, childInfo: above.has(entry.name) })
  }
  return found
}

async function details(
  { account }: ImapServerSession,
  { entry, selected }: Found,
  { returns }: ListArguments,
): Promise<Details> {
  const readable = selected && entry.selectable && allows(entry.rights, 'r')
  const [status, metadata] = await Promise.all([
    returns.status !== undefined && readable ? settled(readStatus(account, entry.name, returns.status)) : undefined,
    returns.metadata !== undefined && selected && entry.selectable
      ? settled(readEntries(account, entry, returns.metadata))
      : undefined,
  ])
  return { status, metadata }
}

/** A store's refusal is an answer: the mailbox may have been deleted in this very moment. Anything else is a defect. */
async function settled<T>(answer: Promise<T>): Promise<Settled<T>> {
  try {
    return { value: await answer }
  } catch (error) {
    if (!(error instanceof BackendError)) throw error
    return { error }
  }
}

function write(
  session: ImapServerSession,
  listing: Listing,
  { entry, selected, childInfo }: Found,
  { status, metadata }: Details,
  { extended, select: wanted, returns }: ListArguments,
): void {
  const attributes = listing.attributes(entry, extended)
  // RFC 5819 §2: when STATUS failed, LIST says that the mailbox cannot be selected.
  if (status !== undefined && 'error' in status) attributes.unshift('\\Noselect')
  if (returns.subscribed && entry.subscribed) attributes.push('\\Subscribed')
  const use = specialUse(entry)
  if (use !== undefined) attributes.push(`\\${use}`)
  const criteria = [...(wanted.subscribed ? ['"SUBSCRIBED"'] : []), ...(wanted.specialUse ? ['"SPECIAL-USE"'] : [])]
  const extension = childInfo ? ` ("CHILDINFO" (${criteria.join(' ')}))` : ''
  const name = writeMailboxName(entry.name, session.utf8)
  session.out.untagged(`LIST (${attributes.join(' ')}) "/" ${name}${extension}`)
  if (status !== undefined && 'value' in status && returns.status !== undefined)
    writeStatus(session, entry.name, returns.status, status.value)
  if (returns.myRights && selected && entry.selectable)
    session.out.untagged(`MYRIGHTS ${name} ${showRights(entry.rights)}`)
  if (metadata !== undefined && 'value' in metadata) writeEntries(session, entry.name, metadata.value)
}
