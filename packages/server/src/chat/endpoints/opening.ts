// How streams are known from their first octets, where they share an address with others: net's `ListenOptions.opening`.

/** `jabber:server`, or anything else for clients: what is not ours is for their endpoint to complain of. */
export const streamOpening =
  (peers: 'clients' | 'servers') =>
  (octets: Buffer): boolean | 'more' => {
    const text = octets.toString('latin1')
    if (!/^\s*(?:<|$)/.test(text)) return false
    const header = /<[^?>][^>]*>/.exec(text)?.[0]
    if (header === undefined) return 'more'
    return /\sxmlns\s*=\s*(?:"jabber:server"|'jabber:server')/.test(header) === (peers === 'servers')
  }
