// XEP-0115 §5.1 and XEP-0390 §4: what describes a server in one hash

import { createHash } from 'node:crypto'
import type { Element } from '@aviso/xmpp'
import type { DiscoInfo } from '../core/contracts.ts'
import { FORMS } from '../core/forms.ts'

export const CAPS = 'http://jabber.org/protocol/caps'
export const CAPS2 = 'urn:xmpp:caps'

/** By octets, as both documents want it. */
const sorted = (texts: readonly string[]): string =>
  [...texts].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b))).join('')

const fields = (form: Element): readonly { readonly name: string; readonly values: readonly string[] }[] =>
  form.childrenNamed('field', FORMS).map((field) => ({
    name: field.get('var') ?? '',
    values: field.childrenNamed('value').map((value) => value.text()),
  }))

/** The verification string of XEP-0115. `algorithm` as node:crypto names it. */
export function verification({ identities, features, forms = [] }: DiscoInfo, algorithm = 'sha1'): string {
  const forme = forms.map((form) => {
    const all = fields(form)
    const type = all.find(({ name }) => name === 'FORM_TYPE')?.values[0] ?? ''
    const others = all.filter(({ name }) => name !== 'FORM_TYPE')
    return (
      `${type}<` + sorted(others.map(({ name, values }) => `${name}<${sorted(values.map((value) => `${value}<`))}`))
    )
  })
  const text =
    sorted(identities.map(({ category, type, lang, name }) => `${category}/${type}/${lang ?? ''}/${name ?? ''}<`)) +
    sorted(features.map((feature) => `${feature}<`)) +
    sorted(forme)
  return createHash(algorithm).update(text).digest('base64')
}

/** The hash set of XEP-0390: by algorithm, in base64. */
export function hashes({ identities, features, forms = [] }: DiscoInfo): ReadonlyMap<string, string> {
  const text =
    sorted(features.map((feature) => `${feature}\x1f`)) +
    '\x1c' +
    sorted(
      identities.map(
        ({ category, type, lang, name }) => `${category}\x1f${type}\x1f${lang ?? ''}\x1f${name ?? ''}\x1f\x1e`,
      ),
    ) +
    '\x1c' +
    sorted(
      forms.map(
        (form) =>
          sorted(
            fields(form).map(({ name, values }) => `${name}\x1f${sorted(values.map((value) => `${value}\x1f`))}\x1e`),
          ) + '\x1d',
      ),
    ) +
    '\x1c'
  return new Map(
    ['sha-256', 'sha3-256'].map((algo) => [
      algo,
      createHash(algo.replace('sha-', 'sha')).update(text).digest('base64'),
    ]),
  )
}
