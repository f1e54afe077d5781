// XEP-0157: Contact Addresses for XMPP Services

import * as v from 'valibot'
import { chatFeature } from '../core/contracts.ts'
import { result } from '../core/forms.ts'

const KINDS = ['abuse', 'admin', 'feedback', 'sales', 'security', 'status', 'support'] as const

const uris = (what: string) =>
  v.optional(
    v.pipe(
      v.array(
        v.pipe(v.string(), v.regex(/^[a-z][a-z0-9+.-]*:\S+$/, 'expected a URI such as mailto:abuse@example.org')),
      ),
      v.description(what),
    ),
    [],
  )

export const contactAddresses = chatFeature({
  name: 'contact-addresses',
  summary: 'Tells whom to turn to: URIs such as mailto:, xmpp: and https:.',
  config: v.strictObject({
    abuse: uris('for complaints about users of this server'),
    admin: uris('the administrators'),
    feedback: uris('for praise and wishes'),
    sales: uris('for customers to be'),
    security: uris('for those who found a hole'),
    status: uris('where it is told what is broken'),
    support: uris('for users in need'),
  }),

  attach(host, config) {
    const fields = KINDS.filter((kind) => config[kind].length > 0).map((kind) => ({
      name: `${kind}-addresses`,
      type: kind === 'status' ? ('text-multi' as const) : ('list-multi' as const),
      values: config[kind],
    }))
    if (fields.length > 0) host.disco.form(result({ formType: 'http://jabber.org/network/serverinfo' }, fields))
  },
})
