// What a measurement is.

import type { Figure } from './figures.ts'
import type { Provisioned } from './server.ts'

export interface Conditions {
  /** Small sizes: to see that everything works, not to quote. */
  readonly quick: boolean
  readonly provisioned: Provisioned
}

export interface Outcome {
  readonly figures: readonly Figure[]
  /** Why the figures do not count: what came back was not what was sent. */
  readonly void?: string
}

export interface Measurement {
  readonly name: string
  readonly summary: string
  measure(conditions: Conditions): Promise<Outcome>
}
