// A table of the names before the @

import { parseMailAddress } from '@aviso/mime'
import * as v from 'valibot'
import { table } from './contracts.ts'

export const localpartTable = table({
  name: 'localpart',
  summary: 'Gives the part of an address before the @.',
  config: v.strictObject({
    'detail-separator': v.optional(
      v.pipe(
        v.string(),
        v.maxLength(4),
        v.description('also leaves out what stands behind this sign: + makes anna of anna+lists; not set: nothing'),
      ),
    ),
    optional: v.optional(
      v.pipe(v.boolean(), v.description('a key that is no address is given back as it is; else it has no value')),
      false,
    ),
  }),

  create({ optional, 'detail-separator': separator = '' }) {
    return {
      lookup(key) {
        const address = parseMailAddress(key)
        if (address === undefined) return optional ? [key] : []
        const { local } = address
        // A name that begins with the sign has nothing before it that could be a name.
        const at = separator === '' ? -1 : local.indexOf(separator)
        return [at > 0 ? local.slice(0, at) : local]
      },
    }
  },
})
