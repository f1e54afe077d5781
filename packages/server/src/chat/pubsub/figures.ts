// What happens at nodes, and how many are told of it, in numbers

import type { CounterMetric, Metrics } from '../../kernel/metrics.ts'
import type { Happening } from './place.ts'

type PlaceKind = 'account' | 'service'

export class Figures {
  readonly #place: PlaceKind
  readonly #events: CounterMetric
  readonly #notifications: CounterMetric

  constructor(metrics: Metrics, place: PlaceKind) {
    this.#place = place
    this.#events = metrics.counter('aviso_chat_events', 'What happened at nodes', ['place', 'kind'])
    this.#notifications = metrics.counter('aviso_chat_notifications', 'Messages that told of it', ['place'])
  }

  happened({ kind }: Happening): void {
    this.#events.inc({ place: this.#place, kind })
  }

  notified(count: number): void {
    if (count > 0) this.#notifications.inc({ place: this.#place }, count)
  }
}
