// What was asked of the server, and what it acknowledged: the truth that a crash must not change.

/** `unknown`: the connection broke before the answer came. */
export type State = 'unknown' | 'acknowledged' | 'refused'

export interface SentMail {
  readonly name: string
  readonly digest: string
  readonly size: number
  /** Local accounts. */
  readonly local: readonly string[]
  /** Addresses elsewhere: they belong in the queue. */
  readonly foreign: readonly string[]
  state: State
}

export interface SentMessage {
  readonly name: string
  state: State
}

export interface KeptMessage {
  readonly uid: number
  readonly name: string
  readonly flags: readonly string[]
}

/** One mailbox as its only client knows it; ascending by UID. */
export type MailboxState = readonly KeptMessage[]

/** What one IMAP client has filed, and the one change of which it does not know whether it was made. */
export interface Filing {
  readonly account: string
  readonly names: readonly [string, string]
  mailboxes: readonly [MailboxState, MailboxState]
  /** The mailboxes after the change that was under way. New messages have UID 0: whatever the server gives. */
  pending: readonly [MailboxState, MailboxState] | undefined
  /** By mailbox: the highest UID ever seen, and its UIDVALIDITY. */
  readonly highest: [number, number]
  readonly validity: [number, number]
}

/** What one account imports into a mailbox of its own. */
export interface ImportBook {
  readonly account: string
  readonly name: string
  /** By name, in their order. */
  readonly messages: Map<string, Buffer>
  readonly acknowledged: Set<string>
  /** Those that were there after a crash. */
  readonly seen: Map<string, number>
}

/** The roster of one account as its only writer knows it: address to name. */
export interface RosterBook {
  readonly account: string
  items: ReadonlyMap<string, string>
  pending: ReadonlyMap<string, string> | undefined
}

export class Ledger {
  readonly mails = new Map<string, SentMail>()
  readonly messages = new Map<string, SentMessage>()
  readonly filings: readonly Filing[]
  readonly roster: RosterBook
  readonly imports: ImportBook
  /** Mailboxes of an account, with the highest HIGHESTMODSEQ that was seen of each. */
  readonly clocks = new Map<string, number>()
  /** SHA-256 of the messages that were appended, by name. */
  readonly appended = new Map<string, string>()
  /** Answers that nobody should have got. */
  readonly complaints: string[] = []
  #next = 0

  constructor(accounts: readonly [string, string]) {
    this.filings = accounts.map((account) => ({
      account,
      names: ['Work', 'Filed'],
      mailboxes: [[], []],
      pending: undefined,
      highest: [0, 0],
      validity: [0, 0],
    }))
    this.imports = {
      account: accounts[0],
      name: 'Imported',
      messages: new Map(),
      acknowledged: new Set(),
      seen: new Map(),
    }
    this.roster = { account: accounts[0], items: new Map(), pending: undefined }
  }

  /** A name that no other thing has. */
  name(kind: string): string {
    return `${kind}-${++this.#next}`
  }

  count(state: State): number {
    let count = 0
    for (const mail of this.mails.values()) if (mail.state === state) count++
    for (const message of this.messages.values()) if (message.state === state) count++
    return count
  }
}
