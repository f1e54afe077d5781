// RFC 9989 §4.7 and §4.8: DMARC policy records.

export type DmarcPolicy = 'none' | 'quarantine' | 'reject'

export interface DmarcRecord {
  /** p=; undefined: missing, or no policy. */
  readonly policy: DmarcPolicy | undefined
  /** sp= and np=, for subdomains and for such as do not exist; undefined: as the next of them in this order says. */
  readonly subdomains: DmarcPolicy | undefined
  readonly nonexistent: DmarcPolicy | undefined
  /** A policy tag stands there that names no policy. */
  readonly broken: boolean
  readonly strictDkim: boolean
  readonly strictSpf: boolean
  /** psd=: `y` a public suffix, `n` an organisation's own top, `u` neither is said. */
  readonly psd: 'y' | 'n' | 'u'
  /** t=y: apply the next milder policy. */
  readonly testing: boolean
  /** Where aggregate and failure reports are wanted: URIs as published, without size limits. */
  readonly rua: readonly string[]
  readonly ruf: readonly string[]
  /** fo=: when failure reports are wanted. */
  readonly failureOptions: readonly string[]
  /** As published, for reports. */
  readonly text: string
}

const RECORD_LENGTH = 8192
const MAX_TAGS = 64
const MAX_URIS = 20

const VERSION = /^v[ \t]*=[ \t]*DMARC1[ \t]*(?:;|$)/

/** The record, or undefined for a text that is none. A tag that cannot be read is as if it were not there. */
export function parseDmarcRecord(text: string): DmarcRecord | undefined {
  if (!VERSION.test(text) || text.length > RECORD_LENGTH) return undefined
  const tags = new Map<string, string>()
  for (const piece of text.split(';', MAX_TAGS).slice(1)) {
    const [, name, value] = /^\s*([a-z]+)\s*=(.*)$/is.exec(piece) ?? []
    const key = name?.toLowerCase()
    if (key !== undefined && value !== undefined && !tags.has(key)) tags.set(key, value.trim())
  }
  const letter = (name: string): string | undefined => tags.get(name)?.toLowerCase()
  const policy = policyOf(tags.get('p'))
  const subdomains = policyOf(tags.get('sp'))
  const nonexistent = policyOf(tags.get('np'))
  const psd = letter('psd')
  return {
    policy,
    subdomains,
    nonexistent,
    broken:
      (tags.has('sp') && subdomains === undefined) ||
      (tags.has('np') && nonexistent === undefined) ||
      (tags.has('p') && policy === undefined),
    strictDkim: letter('adkim') === 's',
    strictSpf: letter('aspf') === 's',
    psd: psd === 'y' || psd === 'n' ? psd : 'u',
    testing: letter('t') === 'y',
    rua: uris(tags.get('rua')),
    ruf: uris(tags.get('ruf')),
    failureOptions: (letter('fo') ?? '0')
      .split(':')
      .map((option) => option.trim())
      .filter((option) => /^[01ds]$/.test(option)),
    text,
  }
}

function policyOf(text: string | undefined): DmarcPolicy | undefined {
  const lower = text?.toLowerCase()
  return lower === 'none' || lower === 'quarantine' || lower === 'reject' ? lower : undefined
}

function uris(text: string | undefined): readonly string[] {
  if (text === undefined) return []
  const found: string[] = []
  for (const piece of text.split(',', MAX_URIS)) {
    // The size limit of RFC 7489 is ignored.
    const uri = piece.trim().replace(/![0-9]+[kmgt]?$/i, '')
    if (/^[a-z][a-z0-9+.-]*:[\x21-\x7e]+$/i.test(uri)) found.push(uri)
  }
  return found
}
