// A table that makes addresses of bare names

import { MailAddress, normaliseDomain } from '@aviso/mime'
import * as v from 'valibot'
import { table } from './contracts.ts'

export const withDomainTable = table({
  name: 'with-domain',
  summary: 'Puts each of these domains behind a name without one.',
  config: v.strictObject({
    domains: v.pipe(
      v.array(
        v.pipe(
          v.string(),
          v.check((text) => normaliseDomain(text) !== undefined, 'expected a domain such as example.org'),
        ),
      ),
      v.minLength(1),
      v.description('one value for each'),
    ),
  }),

  create: ({ domains }) => ({
    lookup: (key) =>
      key.includes('@') ? [] : domains.flatMap((domain) => MailAddress.of(key, domain)?.toString() ?? []),
  }),
})
