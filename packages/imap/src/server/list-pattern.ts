// RFC 9051 §6.3.9: names against patterns with `*` and `%`.

const STAR = 0x2a
const PERCENT = 0x25
const SLASH = 0x2f

/** Longer patterns, or ones with more wildcards, match nothing that has a legal name. */
const LENGTH = 1200
const WILDCARDS = 30

/** True when `name` matches `pattern`; the first level INBOX in any case. Time is bounded by the product of the lengths. */
export function matchesPattern(pattern: string, name: string): boolean {
  if (pattern.length > LENGTH) return false
  let states = new Uint8Array(pattern.length + 1)
  let next = new Uint8Array(pattern.length + 1)
  let wildcards = 0
  for (let i = 0; i < pattern.length; i++) if (isWildcard(pattern.charCodeAt(i))) wildcards++
  if (wildcards > WILDCARDS) return false
  const inbox = name === 'INBOX' || name.startsWith('INBOX/') ? 5 : 0
  states[0] = 1
  spread(pattern, states)
  for (let at = 0; at < name.length; at++) {
    const unit = name.charCodeAt(at)
    next.fill(0)
    let alive = false
    for (let state = 0; state < pattern.length; state++) {
      if (states[state] === 0) continue
      const wanted = pattern.charCodeAt(state)
      if (wanted === STAR || (wanted === PERCENT && unit !== SLASH)) {
        next[state] = 1
        alive = true
      } else if (wanted === unit || (at < inbox && wanted > 0x60 && wanted - 0x20 === unit)) {
        next[state + 1] = 1
        alive = true
      }
    }
    if (!alive) return false
    spread(pattern, next)
    const swap = states
    states = next
    next = swap
  }
  return states[pattern.length] === 1
}

const isWildcard = (unit: number): boolean => unit === STAR || unit === PERCENT

/** A wildcard may match nothing. */
function spread(pattern: string, states: Uint8Array): void {
  for (let state = 0; state < pattern.length; state++) {
    if (states[state] === 1 && isWildcard(pattern.charCodeAt(state))) states[state + 1] = 1
  }
}
