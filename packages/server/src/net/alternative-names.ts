// RFC 5280 §4.2.1.6: the names that a certificate bears

/**
 * Node's text of the subjectAltName: `DNS:a.example, othername:XmppAddr:b.example`. A value with characters that could be taken for another entry stands in quotes
 * (CVE-2021-44532); no domain or address that we look for needs any, so those are left out.
 */
export function alternativeNames(text: string): readonly (readonly [kind: string, value: string])[] {
  const names: (readonly [string, string])[] = []
  const entry = /(?:^|, )((?:othername:)?[A-Za-z0-9 -]+):(?:"(?:[^"\\]|\\.)*"|([^",]*))(?=, |$)/gy
  for (let match = entry.exec(text); match !== null; match = entry.exec(text)) {
    const [, kind, value] = match
    if (kind !== undefined && value !== undefined) names.push([kind, value])
  }
  return names
}
