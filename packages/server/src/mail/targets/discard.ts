// A target that takes everything and keeps nothing

import * as v from 'valibot'
import { type Delivery, mailTarget, type Outcome, type Routed } from '../pipeline/contracts.ts'

export const discard = mailTarget({
  name: 'discard',
  summary: 'Says yes and forgets the mail.',
  config: v.strictObject({}),
  create: () => ({ queued: false, begin: () => new Forgetting() }),
})

class Forgetting implements Delivery {
  readonly #routed: Routed[] = []

  add(routed: Routed): void {
    this.#routed.push(routed)
  }

  body(): void {}

  async commit(): Promise<readonly Outcome[]> {
    return this.#routed.map((routed) => ({ routed, failure: undefined, how: 'forgotten' }))
  }

  abort(): void {}
}
