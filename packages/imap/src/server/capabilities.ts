// RFC 9051 §6.1.1: what is announced, and when.

import type { MailAccount } from '../backend.ts'

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
}

/** Announced to everybody. */
const ALWAYS: readonly string[] = ['IMAP4rev1', 'LITERAL+', 'SASL-IR', 'ID', 'ENABLE', 'IDLE']

/** Announced after login: a name, or what this account makes of it. */
const AFTER_LOGIN: readonly (string | ((account: MailAccount) => string | undefined))[] = [
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
  'ESEARCH',
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
  (account) => `APPENDLIMIT=${account.appendLimit}`,
]

/** The capabilities in one line, `IMAP4rev1` first. */
export function capabilityList(state: CapabilityState): string {
  const list = [...ALWAYS]
  const { account } = state
  if (account !== undefined) {
    for (const capability of AFTER_LOGIN) {
      const name = typeof capability === 'string' ? capability : capability(account)
      if (name !== undefined) list.push(name)
    }
  } else {
    if (state.startTls) list.push('STARTTLS')
    if (!state.login) list.push('LOGINDISABLED')
    for (const name of state.mechanisms) list.push(`AUTH=${name}`)
  }
  return list.filter((capability) => !state.withheld.has(capability.toUpperCase())).join(' ')
}
