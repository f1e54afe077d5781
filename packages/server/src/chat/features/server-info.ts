// XEP-0128: Service Discovery Extensions: what else an administrator wants to have told of the server

import * as v from 'valibot'
import { chatFeature } from '../core/contracts.ts'
import { result } from '../core/forms.ts'

export const serverInfo = chatFeature({
  name: 'server-info',
  summary: 'Tells more of the server, in forms of your own.',
  config: v.strictObject({
    forms: v.optional(
      v.pipe(
        v.record(v.string(), v.record(v.string(), v.union([v.string(), v.array(v.string())]))),
        v.description('by FORM_TYPE: fields with their values'),
      ),
      {},
    ),
  }),

  attach(host, { forms }) {
    for (const [formType, fields] of Object.entries(forms))
      host.disco.form(
        result(
          { formType },
          Object.entries(fields).map(([name, value]) => ({
            name,
            type: typeof value === 'string' ? ('text-single' as const) : ('text-multi' as const),
            values: typeof value === 'string' ? [value] : value,
          })),
        ),
      )
  },
})
