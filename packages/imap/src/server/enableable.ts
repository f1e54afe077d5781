// What ENABLE (RFC 5161) can switch on, and what that brings with it.

/** Extension (in capitals) → extensions that are on with it. */
export const ENABLEABLE: ReadonlyMap<string, readonly string[]> = new Map([
  ['CONDSTORE', []],
  // RFC 7162 §3.2.3
  ['QRESYNC', ['CONDSTORE']],
  ['UTF8=ACCEPT', []],
  ['IMAP4REV2', []],
  ['UIDONLY', []],
  ['METADATA', []],
])

/** How ENABLED spells them. */
export const SPELLING: Readonly<Record<string, string>> = { IMAP4REV2: 'IMAP4rev2' }
