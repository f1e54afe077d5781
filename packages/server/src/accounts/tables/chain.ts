// Tables one after the other: what one gives is looked up in the next

import * as v from 'valibot'
import { type Table, table, Tables } from './contracts.ts'

const step = v.union([
  v.string(),
  v.strictObject({
    table: v.pipe(v.string(), v.description('the key of a table that stands before this one')),
    optional: v.optional(v.pipe(v.boolean(), v.description('what it does not hold stays as it is')), false),
  }),
])

/** What one look-up may grow to. */
const MAX_VALUES = 10_000

export const chainTable = table({
  name: 'chain',
  summary: 'Looks in one table, then looks up what that gave in the next.',
  config: v.strictObject({
    steps: v.pipe(
      v.array(step),
      v.minLength(1),
      v.description('the tables in order, by their keys; one that holds nothing ends the chain without a value'),
    ),
  }),

  create({ steps }, scope) {
    const tables = scope.use(Tables)
    const chain = steps.map((one) =>
      typeof one === 'string'
        ? { table: tables.get(one), optional: false }
        : { table: tables.get(one.table), optional: one.optional },
    )
    return {
      async lookup(key) {
        let values: readonly string[] = [key]
        for (const { table: next, optional } of chain) values = await through(next, values, optional)
        return values
      },
    }
  },
})

async function through(next: Table, keys: readonly string[], optional: boolean): Promise<readonly string[]> {
  const found = new Set<string>()
  for (const key of keys) {
    const values = await next.lookup(key)
    for (const value of values.length === 0 && optional ? [key] : values) found.add(value)
    if (found.size > MAX_VALUES) throw new Error(`a chain of tables made more than ${MAX_VALUES} values of one key`)
  }
  return [...found]
}
