// LIST with its extensions (RFC 5258, RFC 5819, RFC 6154), LSUB and Gmail's old XLIST; STATUS.

import { ROLES } from '../../backend.ts'
import type { SessionCore } from '../core.ts'
import { unlessRefused } from '../errors.ts'
import type { ListResponse, MailboxStatusResponse, UntaggedResponse } from '../response/types.ts'

/** What STATUS can be asked for (RFC 9051 §6.3.11). */
export type StatusItem =
  | 'MESSAGES'
  | 'UIDNEXT'
  | 'UIDVALIDITY'
  | 'UNSEEN'
  | 'RECENT'
  | 'DELETED'
  | 'SIZE'
  | 'HIGHESTMODSEQ'
  | 'APPENDLIMIT'
  | 'MAILBOXID'

/** What was asked for and the server knows. */
export interface MailboxStatus {
  readonly messages?: number
  readonly uidNext?: number
  readonly uidValidity?: number
  readonly unseen?: number
  readonly recent?: number
  readonly deleted?: number
  /** Octets of all messages. */
  readonly size?: number
  readonly highestModseq?: number
  readonly appendLimit?: number
  readonly mailboxId?: string
}

/** Which mailboxes are listed, and what is told of each. */
export interface ListOptions {
  /** Names with `*` (anything) and `%` (anything within a level). Default `*`. */
  readonly patterns?: readonly string[]
  readonly reference?: string
  /** Only those subscribed to, also where they do not exist. */
  readonly subscribed?: boolean
  /** Also asks for this of each mailbox. */
  readonly status?: readonly StatusItem[]
  readonly signal?: AbortSignal
}

/** A mailbox as LIST tells of it (RFC 9051 §7.3.1). */
export interface ListedMailbox {
  readonly name: string
  /** What separates levels of names; undefined: there are none. */
  readonly delimiter: string | undefined
  /** As the server writes them: `\HasNoChildren`. */
  readonly attributes: readonly string[]
  /** `\Sent`, `\Drafts`, ...; INBOX is `\Inbox`. */
  readonly role: string | undefined
  /** It can be selected. */
  readonly selectable: boolean
  /** Undefined when it was not asked for and the server cannot tell along with the rest. */
  readonly subscribed: boolean | undefined
  readonly status: MailboxStatus | undefined
}

const ATTRIBUTES = [...ROLES, 'Inbox'].map((role) => `\\${role}`)
/** XLIST had other names for some. */
const OLD_ROLES: Readonly<Record<string, string>> = {
  '\\spam': '\\Junk',
  '\\starred': '\\Flagged',
  '\\allmail': '\\All',
}

/** Extensions that a STATUS item belongs to: a server without it does not know the word. */
const ITEM_NEEDS: Readonly<Partial<Record<StatusItem, string>>> = {
  SIZE: 'STATUS=SIZE',
  HIGHESTMODSEQ: 'CONDSTORE',
  MAILBOXID: 'OBJECTID',
}

function knownItems(core: SessionCore, items: readonly StatusItem[]): StatusItem[] {
  return items.filter((item) => {
    if (item === 'APPENDLIMIT') return [...core.capabilities.names].some((name) => name.startsWith('APPENDLIMIT'))
    if (item === 'DELETED')
      return core.enabled.has('IMAP4REV2') || core.has('IMAP4REV2') || core.has('QUOTA=RES-MESSAGE')
    const needs = ITEM_NEEDS[item]
    return needs === undefined || core.has(needs)
  })
}

export async function list(core: SessionCore, options: ListOptions): Promise<ListedMailbox[]> {
  const wanted = options.status === undefined ? [] : knownItems(core, options.status)
  const patterns = options.patterns ?? ['*']
  const statuses = new Map<string, MailboxStatus>()
  const found = core.has('LIST-EXTENDED')
    ? await extended(core, patterns, options, wanted, statuses)
    : await plain(core, patterns, options)
  if (wanted.length > 0 && !(core.has('LIST-EXTENDED') && core.has('LIST-STATUS'))) {
    await Promise.all(
      [...found.values()].filter(isSelectable).map(async ({ name }) => {
        const answer = await status(core, name, wanted, options.signal).catch(unlessRefused(undefined))
        if (answer !== undefined) statuses.set(name, answer)
      }),
    )
  }
  const tellsSubscribed = core.has('LIST-EXTENDED') || options.subscribed === true
  return [...found.values()].map((one) =>
    listed(one, tellsSubscribed, options.subscribed === true, statuses.get(one.name)),
  )
}

async function extended(
  core: SessionCore,
  patterns: readonly string[],
  options: ListOptions,
  wanted: readonly StatusItem[],
  statuses: Map<string, MailboxStatus>,
): Promise<Map<string, ListResponse>> {
  const select = options.subscribed === true ? '(SUBSCRIBED) ' : ''
  const returned = ['SUBSCRIBED', 'CHILDREN']
  if (core.has('SPECIAL-USE')) returned.push('SPECIAL-USE')
  if (wanted.length > 0 && core.has('LIST-STATUS')) returned.push(`STATUS (${wanted.join(' ')})`)
  const names = patterns.map((pattern) => core.pattern(pattern))
  const what = names.length === 1 ? names.join('') : `(${names.join(' ')})`
  return gather(
    core,
    `LIST ${select}${core.pattern(options.reference ?? '')} ${what} RETURN (${returned.join(' ')})`,
    statuses,
    options.signal,
  )
}

async function plain(
  core: SessionCore,
  patterns: readonly string[],
  options: ListOptions,
): Promise<Map<string, ListResponse>> {
  const { subscribed } = options
  const command = subscribed === true ? 'LSUB' : !core.has('SPECIAL-USE') && core.has('XLIST') ? 'XLIST' : 'LIST'
  const found = new Map<string, ListResponse>()
  for (const pattern of patterns) {
    const reference = core.pattern(options.reference ?? '')
    const some = await gather(core, `${command} ${reference} ${core.pattern(pattern)}`, new Map(), options.signal)
    for (const [name, one] of some) found.set(name, one)
  }
  return found
}

/** A mailbox that is told twice (by two patterns, or by a server that forgets) is one, as told last. */
async function gather(
  core: SessionCore,
  command: string,
  statuses: Map<string, MailboxStatus>,
  signal: AbortSignal | undefined,
): Promise<Map<string, ListResponse>> {
  const found = new Map<string, ListResponse>()
  const pick = (response: UntaggedResponse): true | undefined => {
    if (response.kind === 'list') found.set(response.name, response)
    else if (response.kind === 'mailbox-status') statuses.set(response.name, asStatus(response))
    else return undefined
    return true
  }
  await core.collect({ name: command.split(' ', 1)[0] ?? '', parts: [command] }, pick, signal)
  return found
}

const has = ({ attributes }: ListResponse, name: string): boolean =>
  attributes.some((attribute) => attribute.toLowerCase() === name)

const isSelectable = (one: ListResponse): boolean => !has(one, '\\noselect') && !has(one, '\\nonexistent')

function listed(
  one: ListResponse,
  tellsSubscribed: boolean,
  onlySubscribed: boolean,
  status: MailboxStatus | undefined,
): ListedMailbox {
  const { name, delimiter, attributes } = one
  const role = attributes
    .map(
      (attribute) =>
        OLD_ROLES[attribute.toLowerCase()] ?? ATTRIBUTES.find((role) => role.toLowerCase() === attribute.toLowerCase()),
    )
    .find((role) => role !== undefined)
  return {
    name,
    delimiter,
    attributes,
    role: name === 'INBOX' ? '\\Inbox' : role,
    selectable: isSelectable(one),
    subscribed: tellsSubscribed ? onlySubscribed || has(one, '\\subscribed') : undefined,
    status,
  }
}

/** Rejects when there is no such mailbox. */
export async function status(
  core: SessionCore,
  name: string,
  items: readonly StatusItem[],
  signal: AbortSignal | undefined,
): Promise<MailboxStatus> {
  const known = knownItems(core, items)
  if (known.length === 0) return {}
  const { results } = await core.collect(
    { name: 'STATUS', parts: ['STATUS ', core.mailbox(name), ` (${known.join(' ')})`] },
    (response) =>
      response.kind === 'mailbox-status' && sameName(response.name, name) ? asStatus(response) : undefined,
    signal,
  )
  return results.at(-1) ?? {}
}

const sameName = (a: string, b: string): boolean => a === b || (/^inbox$/i.test(a) && /^inbox$/i.test(b))

/** The counts that a STATUS response tells. */
export function asStatus({ numbers, mailboxId }: MailboxStatusResponse): MailboxStatus {
  const pairs = Object.entries({
    messages: numbers.get('MESSAGES'),
    uidNext: numbers.get('UIDNEXT'),
    uidValidity: numbers.get('UIDVALIDITY'),
    unseen: numbers.get('UNSEEN'),
    recent: numbers.get('RECENT'),
    deleted: numbers.get('DELETED'),
    size: numbers.get('SIZE'),
    highestModseq: numbers.get('HIGHESTMODSEQ'),
    appendLimit: numbers.get('APPENDLIMIT'),
    mailboxId,
  })
  return Object.fromEntries(pairs.filter(([, value]) => value !== undefined))
}
