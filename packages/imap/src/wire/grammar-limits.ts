// How much of a kind one command may hold: each costs time or memory beyond its octets.

/** Beyond one of these, a command is refused. */
export interface GrammarLimits {
  /** Parenthesised lists inside each other (RFC 9051 sets no limit; CVE-2026-27857 shows why one is needed). Default 32. */
  readonly listDepth: number
  /** Keys of one search. Default 2000. */
  readonly searchKeys: number
  /** Criteria of one SORT. Default 20. */
  readonly sortCriteria: number
  /** Mailboxes that one ESEARCH or NOTIFY names, and places that one ESEARCH looks in. Default 1000. */
  readonly mailboxNames: number
  /** Groups of events of one NOTIFY. Default 100. */
  readonly notifyGroups: number
  /** Patterns of one LIST. Default 100. */
  readonly listPatterns: number
  /** Annotations that one GETMETADATA or SETMETADATA names. Default 1000. */
  readonly metadataEntries: number
}

/** The limits where none are given. */
export const GRAMMAR_LIMITS: GrammarLimits = {
  listDepth: 32,
  searchKeys: 2000,
  sortCriteria: 20,
  mailboxNames: 1000,
  notifyGroups: 100,
  listPatterns: 100,
  metadataEntries: 1000,
}
