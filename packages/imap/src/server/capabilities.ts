// RFC 9051 §6.1.1: what is announced, and when.

import type { MailAccount } from '../backend.ts'
import type { ImapLimits } from './options.ts'

/** What the announcement depends on. */
export interface CapabilityState {
  /** The mail of who has logged in. */
  readonly account: MailAccount | undefined
  /** STARTTLS can be given now. */
  readonly startTls: boolean
  /** LOGIN is possible now. */
  readonly login: boolean
  /** SASL mechanisms possible now. */
  readonly mechanisms: Iterable<string>
  readonly withheld: ReadonlySet<string>
  readonly limits: ImapLimits
  /** LITERAL- in place of LITERAL+. */
  readonly literalMinus: boolean
  /** COMPRESS is on. */
  readonly compressed: boolean
}

/** Announced to everybody. */
const ALWAYS: readonly string[] = ['IMAP4rev1', 'IMAP4rev2', 'SASL-IR', 'ID', 'ENABLE', 'IDLE']

/** Announced after login: a name, or what this account (or connection) makes of it. */
const AFTER_LOGIN: readonly (string | ((account: MailAccount, state: CapabilityState) => string | undefined))[] = [
  'NAMESPACE',
  'CHILDREN',
  'SPECIAL-USE',
  'CREATE-SPECIAL-USE',
  'LIST-EXTENDED',
  'LIST-STATUS',
  'STATUS=SIZE',
  'UIDPLUS',
  'MOVE',
  'UNSELECT',
  'CONDSTORE',
  'QRESYNC',
  'UTF8=ACCEPT',
  'UIDONLY',
  'UIDBATCHES',
  'OBJECTID',
  'SAVEDATE',
  'PREVIEW',
  'ESEARCH',
  'BINARY',
  'MULTIAPPEND',
  'CATENATE',
  'URL-PARTIAL',
  'REPLACE',
  (_account, { compressed }) => (compressed ? undefined : 'COMPRESS=DEFLATE'),
  // Compression would have to end in the middle of what the socket gave (RFC 8437 §4.1).
  (_account, { compressed }) => (compressed ? undefined : 'UNAUTHENTICATE'),
  (_account, { limits }) => (limits.messageLimit === undefined ? undefined : `MESSAGELIMIT=${limits.messageLimit}`),
  (_account, { limits }) =>
    limits.saveLimit === undefined || limits.messageLimit !== undefined ? undefined : `SAVELIMIT=${limits.saveLimit}`,
  'SEARCHRES',
  'PARTIAL',
  'MULTISEARCH',
  'SEARCH=FUZZY',
  'WITHIN',
  'SORT',
  'SORT=DISPLAY',
  'ESORT',
  'CONTEXT=SEARCH',
  'CONTEXT=SORT',
  'THREAD=ORDEREDSUBJECT',
  'THREAD=REFERENCES',
  'THREAD=REFS',
  'I18NLEVEL=1',
  'INPROGRESS',
  'NOTIFY',
  (account) => account.quota && 'QUOTA QUOTA=RES-STORAGE QUOTA=RES-MESSAGE QUOTA=RES-MAILBOX',
  (account) => account.metadata && 'METADATA LIST-METADATA',
  (account) => account.acl && 'ACL RIGHTS=kxte LIST-MYRIGHTS',
  // RFC 7889 §2: a number holds for all mailboxes; where they differ, STATUS tells.
  (account) => (account.appendLimitsDiffer === true ? 'APPENDLIMIT' : `APPENDLIMIT=${account.appendLimit}`),
]

/** The capabilities in one line, `IMAP4rev1` first. */
export function capabilityList(state: CapabilityState): string {
  const list = [...ALWAYS, state.literalMinus ? 'LITERAL-' : 'LITERAL+']
  const { account } = state
  if (account !== undefined) {
    for (const capability of AFTER_LOGIN) {
      const name = typeof capability === 'string' ? capability : capability(account, state)
      if (name !== undefined) list.push(name)
    }
  } else {
    if (state.startTls) list.push('STARTTLS')
    if (!state.login) list.push('LOGINDISABLED')
    for (const name of state.mechanisms) list.push(`AUTH=${name}`)
  }
  return list.filter((capability) => !state.withheld.has(capability.toUpperCase())).join(' ')
}
