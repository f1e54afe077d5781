// A table written in the config

import * as v from 'valibot'
import { foldKey } from './keys.ts'
import { table } from './contracts.ts'

const values = v.union([v.string(), v.array(v.string())])

export const staticTable = table({
  name: 'static',
  summary: 'Holds the pairs that the config gives it.',
  config: v.strictObject({
    entries: v.pipe(
      v.record(v.string(), values),
      v.check(
        (entries) => new Set(Object.keys(entries).map(foldKey)).size === Object.keys(entries).length,
        'two keys are the same but for their spelling',
      ),
      v.description('a value, or a list of values, by key'),
    ),
  }),

  create({ entries }) {
    const pairs = new Map(Object.entries(entries).map(([key, value]) => [foldKey(key), [value].flat()]))
    return { lookup: (key) => pairs.get(foldKey(key)) ?? [] }
  },
})
