// A domain in the config, in any spelling.

import { prepareDomain } from '@aviso/xmpp'
import * as v from 'valibot'

/** A schema for a domain; it comes out prepared. `example` is shown where the text is none. */
export const domainSetting = (example: string) =>
  v.pipe(
    v.string(),
    v.rawTransform(({ dataset, addIssue, NEVER }) => {
      try {
        return prepareDomain(dataset.value)
      } catch {
        addIssue({ message: `expected a domain such as ${example}` })
        return NEVER
      }
    }),
  )
