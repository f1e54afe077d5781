// A table that says of every key that it is its own value

import * as v from 'valibot'
import { table } from './contracts.ts'

export const identityTable = table({
  name: 'identity',
  summary: 'Gives every key back as its value.',
  config: v.strictObject({}),
  create: () => ({ lookup: (key) => [key] }),
})
