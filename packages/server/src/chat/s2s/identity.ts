// RFC 6120 §13.7.1.2, XEP-0178: the domains that a certificate is for

import type { X509Certificate } from 'node:crypto'
import { alternativeNames } from '../../net/alternative-names.ts'

/** True if the certificate is for the domain (A-labels, lower case): a dNSName (a wildcard stands for the left-most label), an xmppAddr or an SRVName of `_xmpp-server`. Common names do not count. */
export function isFor(certificate: X509Certificate, domain: string): boolean {
  return alternativeNames(certificate.subjectAltName ?? '').some(([kind, value]) => {
    const name = value.toLowerCase()
    switch (kind) {
      case 'DNS':
        return isNamed(name, domain)
      case 'othername:XmppAddr':
        return name === domain
      case 'othername:SRVName':
        return name === `_xmpp-server.${domain}`
      default:
        return false
    }
  })
}

/** True if the certificate is for a server of that name, whatever domains it serves: its dNSNames only. */
export const isForHost = (certificate: X509Certificate, host: string): boolean =>
  alternativeNames(certificate.subjectAltName ?? '').some(
    ([kind, value]) => kind === 'DNS' && isNamed(value.toLowerCase(), host),
  )

const isNamed = (name: string, domain: string): boolean => name === domain || matchesWildcard(name, domain)

/** RFC 6125 §6.4.3: `*.example.org` is `a.example.org`, and neither `example.org` nor `a.b.example.org`. */
function matchesWildcard(pattern: string, domain: string): boolean {
  const dot = domain.indexOf('.')
  // Nobody may have a certificate for all of `.org`.
  return dot > 0 && pattern === `*${domain.slice(dot)}` && domain.indexOf('.', dot + 1) > 0
}
