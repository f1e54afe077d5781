// RFC 8461: MTA-STS, the record in the DNS and the policy, as texts.

/** A policy as its domain published it. */
export interface StsPolicy {
  readonly mode: 'enforce' | 'testing' | 'none'
  /** Names of servers, lower case; `*.` in front stands for one label. Empty only where the mode is `none`. */
  readonly mx: readonly string[]
  /** Seconds that it may be kept. */
  readonly maxAge: number
}

/** RFC 8461 §3.2: some 12 months. */
const MAX_AGE = 31_557_600
/** Patterns of one policy that are kept. */
const MAX_PATTERNS = 100

/**
 * The id of the policy that a domain's TXT records at `_mta-sts` announce. Undefined where there is not exactly one that begins with `v=STSv1` (others there do not
 * count, RFC 8461 §3.1), or where it is malformed.
 */
export function stsId(records: readonly string[]): string | undefined {
  const ours = records.filter((text) => /^v=STSv1(?:[ \t]*;|$)/.test(text))
  const [text] = ours
  if (ours.length !== 1 || text === undefined || text.length > 1024) return undefined
  for (const field of text.split(';').slice(1)) {
    const match = /^[ \t]*id[ \t]*=[ \t]*([A-Za-z0-9]{1,32})[ \t]*$/.exec(field)
    if (match?.[1] !== undefined) return match[1]
  }
  return undefined
}

/** Reads a policy. Undefined for what is none: RFC 8461 §3.2 has unknown keys passed over, the first of a key that stands twice counts. */
export function parseStsPolicy(text: string): StsPolicy | undefined {
  const first = new Map<string, string>()
  const mx: string[] = []
  for (const line of text.split(/\r?\n/)) {
    if (line.trim() === '') continue
    const [, key, value] = /^[ \t]*([A-Za-z0-9][A-Za-z0-9_.-]{0,31})[ \t]*:[ \t]*(.*?)[ \t]*$/.exec(line) ?? []
    if (key === undefined || value === undefined) return undefined
    if (key === 'mx') mx.push(value.toLowerCase())
    else if (!first.has(key)) first.set(key, value)
  }
  const mode = first.get('mode')
  const age = first.get('max_age')
  if (first.get('version') !== 'STSv1' || age === undefined || !/^\d{1,10}$/.test(age)) return undefined
  if (mode !== 'enforce' && mode !== 'testing' && mode !== 'none') return undefined
  if (mx.length > MAX_PATTERNS || !mx.every((pattern) => PATTERN.test(pattern))) return undefined
  if (mx.length === 0 && mode !== 'none') return undefined
  return { mode, mx, maxAge: Math.min(MAX_AGE, Number(age)) }
}

const PATTERN = /^(?:\*\.)?[a-z0-9_-]+(?:\.[a-z0-9_-]+)*\.?$/

/** RFC 8461 §4.1: true when one of the policy's patterns is the name, or is it with `*` for exactly its first label. */
export function stsAllows({ mx }: StsPolicy, host: string): boolean {
  const parent = host.slice(host.indexOf('.') + 1)
  return mx.some((pattern) => {
    const plain = pattern.endsWith('.') ? pattern.slice(0, -1) : pattern
    return plain.startsWith('*.') ? host.includes('.') && plain.slice(2) === parent : plain === host
  })
}
