// RFC 9051 §6.1.1: what is announced, and when.

/** What the announcement depends on. */
export interface CapabilityState {
  readonly authenticated: boolean
  /** STARTTLS can be given now. */
  readonly startTls: boolean
  /** LOGIN is possible now. */
  readonly login: boolean
  /** SASL mechanisms possible now. */
  readonly mechanisms: Iterable<string>
  readonly appendLimit: number | undefined
  readonly withheld: ReadonlySet<string>
}

const ALWAYS = ['LITERAL+', 'SASL-IR', 'ID', 'ENABLE', 'IDLE']
const AFTER_LOGIN = [
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
]

/** The capabilities in one line, `IMAP4rev1` first. */
export function capabilityList(state: CapabilityState): string {
  const list = ['IMAP4rev1', ...ALWAYS]
  if (state.authenticated) {
    list.push(...AFTER_LOGIN)
    if (state.appendLimit !== undefined) list.push(`APPENDLIMIT=${state.appendLimit}`)
  } else {
    if (state.startTls) list.push('STARTTLS')
    if (!state.login) list.push('LOGINDISABLED')
    for (const name of state.mechanisms) list.push(`AUTH=${name}`)
  }
  return list.filter((capability) => !state.withheld.has(capability.toUpperCase())).join(' ')
}
