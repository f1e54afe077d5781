// RFC 5321 §6.3: loop detection by counting Received fields

import * as v from 'valibot'
import { accept, mailCheck, reject } from '../pipeline/contracts.ts'

export const loops = mailCheck({
  name: 'loops',
  summary: 'Refuses a mail that has passed through too many servers already: it goes in circles.',
  config: v.strictObject({
    'max-received': v.optional(
      v.pipe(
        v.number(),
        v.integer(),
        v.minValue(10),
        v.description('Received fields in a mail that are still believed'),
      ),
      50,
    ),
  }),

  create: (config) => ({
    content(_mail, { header }) {
      const hops = header.all('Received').length
      if (hops <= config['max-received']) return accept()
      return reject(554, '5.4.6', `This mail has passed through ${hops} servers: it seems to go in circles`)
    },
  }),
})
