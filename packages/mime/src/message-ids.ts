// RFC 5322 §3.6.4: identifiers of messages.

/**
 * The message identifiers in a Message-ID, In-Reply-To or References field, in order, without angle brackets and white space. Quoted local parts
 * lose quotes they do not need, so that equal identifiers are equal strings (RFC 5256 §2.2). At most `most`, of at most 1000 characters each.
 */
export function messageIds(text: string, most = 1000): string[] {
  const found: string[] = []
  let at = 0
  while (found.length < most) {
    const open = text.indexOf('<', at)
    if (open < 0) break
    const close = text.indexOf('>', open)
    if (close < 0) break
    // `<a <b@c>`: the last bracket before the end begins the identifier.
    const start = text.lastIndexOf('<', close) + 1
    at = close + 1
    const inner = text.slice(start, close)
    // Folding leaves white space behind; inside quotes it belongs to the identifier.
    const id = inner.includes('"') ? inner.trim() : inner.replace(/\s+/g, '')
    if (id.length > 0 && id.length <= 1000) found.push(unquotedId(id))
  }
  return found
}

function unquotedId(id: string): string {
  if (!id.startsWith('"')) return id
  const end = id.lastIndexOf('"@')
  if (end < 1) return id
  const local = id.slice(1, end).replace(/\\(.)/g, '$1')
  return /^[^\s()<>[\]:;@\\,."]+(?:\.[^\s()<>[\]:;@\\,."]+)*$/.test(local) ? local + id.slice(end + 1) : id
}
