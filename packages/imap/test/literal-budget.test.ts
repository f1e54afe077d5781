// The memory of long literals: never more than agreed, and nobody waits for ever.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { LiteralBudget } from '../src/index.ts'

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

test('who comes first is served first; who leaves makes room', async () => {
  const budget = new LiteralBudget(200_000)
  const served: string[] = []
  const [a, b, c, d] = [budget.share(), budget.share(), budget.share(), budget.share()]
  await a.take(150_000)
  void b.take(150_000).then(() => served.push('b'))
  void c.take(100_000).then(() => served.push('c'))
  // Little enough, but not before its turn.
  void d.take(70_000).then(() => served.push('d'))
  await turn()
  assert.deepEqual(served, [])
  assert.equal(budget.waiting, 3)
  b.close()
  a.release()
  await turn()
  assert.deepEqual(served, ['b', 'c', 'd'])
  assert.equal(budget.used, 170_000)
  // The first 64 KiB of a command are free.
  await a.take(60_000)
  await a.take(5000)
  assert.equal(budget.used, 170_000)
  for (const one of [a, c, d]) one.release()
  assert.equal(budget.used, 0)
  // More than all of it: alone.
  await a.take(1_000_000)
  assert.equal(budget.used, 1_000_000)
})

test('whatever the commands: all are served, and at most one goes beyond the budget, by what it needs itself', async () => {
  const command = fc.array(fc.integer({ min: 1, max: 400_000 }), { minLength: 1, maxLength: 4 })
  await fc.assert(
    fc.asyncProperty(
      fc.array(command, { minLength: 1, maxLength: 8 }),
      fc.array(fc.nat(3)),
      async (commands, pauses) => {
        const budget = new LiteralBudget(500_000)
        const most = Math.max(...commands.map((literals) => literals.reduce((sum, one) => sum + one, 0)))
        const all = commands.map(async (literals, i) => {
          const share = budget.share()
          for (const literal of literals) {
            await share.take(literal)
            assert.ok(budget.used <= 500_000 + most)
            for (let pause = pauses[i] ?? 0; pause > 0; pause--) await turn()
          }
          if (i % 3 === 0) share.close()
          else share.release()
        })
        const long = async (): Promise<string> => {
          for (let turns = 0; turns < 500; turns++) await turn()
          return 'somebody waits for ever'
        }
        assert.notEqual(await Promise.race([Promise.all(all), long()]), 'somebody waits for ever')
        assert.equal(budget.used, 0)
      },
    ),
    { numRuns: 200 },
  )
})
