/** What ENABLE (RFC 5161) can switch on. */
export const ENABLEABLE: ReadonlySet<string> = new Set(['METADATA'])
