// RFC 6120 §3.2, XEP-0368, RFC 2782: the records by which clients and other servers find the chat of a domain

/** Where the server listens. */
export interface Listening {
  readonly protocol: string
  readonly address: string
  readonly port: number
  readonly tls: string
}

export interface SrvRecord {
  readonly name: string
  readonly priority: number
  readonly weight: number
  readonly port: number
  /** '.': there is no such service, and nobody need try. */
  readonly target: string
}

const KINDS = [
  ['_xmpp-client', 'c2s', 'starttls'],
  ['_xmpps-client', 'c2s', 'implicit'],
  ['_xmpp-server', 's2s', 'starttls'],
  ['_xmpps-server', 's2s', 'implicit'],
] as const

/** Nobody else gets there. */
const isOwn = ({ address, port }: Listening): boolean =>
  port === 0 || /^(?:127\.|::1$|::ffff:127\.)/.test(address) || address.startsWith('/')

/** The records for a domain of accounts, and for those of services beside it, which only other servers ask for. */
export function recordsFor(
  domain: string,
  services: readonly string[],
  hostname: string,
  bound: readonly Listening[],
): readonly SrvRecord[] {
  return KINDS.flatMap(([label, protocol, tls]) => {
    const ports = new Set(
      bound.filter((one) => one.protocol === protocol && one.tls === tls && !isOwn(one)).map(({ port }) => port),
    )
    const domains = protocol === 'c2s' ? [domain] : [domain, ...services]
    return domains.flatMap((each): SrvRecord[] => {
      const name = `${label}._tcp.${each}.`
      if (ports.size === 0) return [{ name, priority: 0, weight: 0, port: 0, target: '.' }]
      return [...ports].map((port, index) => ({ name, priority: index, weight: 5, port, target: `${hostname}.` }))
    })
  })
}

/** As a line of a zone file. */
export const zoneLine = ({ name, priority, weight, port, target }: SrvRecord): string =>
  `${name} IN SRV ${priority} ${weight} ${port} ${target}`
