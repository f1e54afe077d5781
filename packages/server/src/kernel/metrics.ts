// OpenMetrics: counters, gauges and histograms, and the event loop's delay.

import { monitorEventLoopDelay } from 'node:perf_hooks'
import { Counter, Gauge, Histogram, type OpenMetricsContentType, Registry, collectDefaultMetrics } from 'prom-client'

/** A number that only grows, by label values. */
export interface CounterMetric {
  inc(labels?: Record<string, string>, by?: number): void
}

/** A number that goes up and down. */
export interface GaugeMetric {
  set(labels: Record<string, string>, value: number): void
  inc(labels?: Record<string, string>, by?: number): void
  dec(labels?: Record<string, string>, by?: number): void
}

/** How values are spread, in seconds or octets. */
export interface HistogramMetric {
  observe(labels: Record<string, string>, value: number): void
}

/** Label values, and the number that goes with them. */
export type Reading = readonly [labels: Readonly<Record<string, string>>, value: number]

/** Between two looks at the event loop. */
const RESOLUTION_MS = 20

/** The metrics of one process. Asking twice for the same name gives the same metric, so that a reloaded module goes on counting. */
export class Metrics {
  readonly #registry = new Registry<OpenMetricsContentType>()
  readonly #made = new Map<string, unknown>()
  #delay: ReturnType<typeof monitorEventLoopDelay> | undefined

  constructor() {
    this.#registry.setContentType(Registry.OPENMETRICS_CONTENT_TYPE)
  }

  counter(name: string, help: string, labels: readonly string[] = []): CounterMetric {
    return this.#once(name, () => {
      const counter = new Counter({ name, help, labelNames: [...labels], registers: [this.#registry] })
      return { inc: (values = {}, by = 1) => counter.inc(values, by) }
    })
  }

  gauge(name: string, help: string, labels: readonly string[] = []): GaugeMetric {
    return this.#once(name, () => {
      const gauge = new Gauge({ name, help, labelNames: [...labels], registers: [this.#registry] })
      return {
        set: (values, value) => gauge.set(values, value),
        inc: (values = {}, by = 1) => gauge.inc(values, by),
        dec: (values = {}, by = 1) => gauge.dec(values, by),
      }
    })
  }

  histogram(name: string, help: string, labels: readonly string[], buckets: readonly number[]): HistogramMetric {
    return this.#once(name, () => {
      const histogram = new Histogram({
        name,
        help,
        labelNames: [...labels],
        buckets: [...buckets],
        registers: [this.#registry],
      })
      return { observe: (values, value) => histogram.observe(values, value) }
    })
  }

  /**
   * A metric whose values are read when somebody scrapes: for paths that can afford no more than adding one to a number. Those who read the same metric (generations of the config) are summed up; what
   * a counter's reader has counted stays when it goes. Returns the way to go.
   */
  readings(
    kind: 'counter' | 'gauge',
    name: string,
    help: string,
    labels: readonly string[],
    read: () => Iterable<Reading>,
  ): () => void {
    const readers = this.#once(name, () => {
      const fresh = new Readers(kind === 'counter')
      const settings = { name, help, labelNames: [...labels], registers: [this.#registry] }
      const collected = { ...settings, collect: (): void => fresh.fill(metric) }
      const metric = kind === 'counter' ? new Counter(collected) : new Gauge(collected)
      return fresh
    })
    return readers.add(read)
  }

  /** A counter without labels at the cost of an addition. */
  tally(name: string, help: string): { add(by?: number): void } {
    return this.#once(`${name} tally`, () => {
      let value = 0
      this.readings('counter', name, help, [], () => [[{}, value]])
      return { add: (by = 1) => void (value += by) }
    })
  }

  /** The text that a scraper reads, in OpenMetrics form. */
  text(): Promise<string> {
    return this.#registry.metrics()
  }

  get contentType(): string {
    return this.#registry.contentType
  }

  /** Adds the process's own figures (CPU, memory, garbage collection) and the delay of the event loop. Returns the way to stop looking at the event loop. */
  watchProcess(): () => void {
    const delay = (this.#delay ??= this.#watchEventLoop())
    delay.enable()
    return () => delay.disable()
  }

  #watchEventLoop(): ReturnType<typeof monitorEventLoopDelay> {
    // It watches the event loop too, with a timer of its own: seldom is enough.
    collectDefaultMetrics({ register: this.#registry, eventLoopMonitoringPrecision: 100 })
    const delay = monitorEventLoopDelay({ resolution: RESOLUTION_MS })
    const gauge = new Gauge({
      name: 'aviso_event_loop_delay_seconds',
      help: 'How late the event loop was since the last scrape',
      labelNames: ['quantile'],
      registers: [this.#registry],
      collect() {
        // What is measured is the time from one tick of its timer to the next: the lateness is what exceeds the interval.
        for (const q of [0.5, 0.99, 0.999, 1])
          gauge.set({ quantile: String(q) }, Math.max(0, delay.percentile(q * 100) / 1e9 - RESOLUTION_MS / 1e3) || 0)
        delay.reset()
      },
    })
    return delay
  }

  #once<T>(name: string, make: () => T): T {
    const made = this.#made.get(name)
    if (made !== undefined) return made as T
    const fresh = make()
    this.#made.set(name, fresh)
    return fresh
  }
}

/** Those who read one metric, and what those who went have left. */
class Readers {
  readonly #keeps: boolean
  readonly #readers = new Set<() => Iterable<Reading>>()
  readonly #left = new Map<string, Reading>()

  constructor(keeps: boolean) {
    this.#keeps = keeps
  }

  add(read: () => Iterable<Reading>): () => void {
    this.#readers.add(read)
    return () => {
      if (!this.#readers.delete(read) || !this.#keeps) return
      for (const [labels, value] of read()) {
        const key = JSON.stringify(labels)
        this.#left.set(key, [labels, (this.#left.get(key)?.[1] ?? 0) + value])
      }
    }
  }

  fill(metric: Pick<Counter | Gauge, 'reset' | 'inc'>): void {
    metric.reset()
    for (const [labels, value] of this.#left.values()) metric.inc(labels, value)
    for (const read of this.#readers) for (const [labels, value] of read()) metric.inc(labels, value)
  }
}
