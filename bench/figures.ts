// What a measurement yields, and how times become quantiles.

export interface Figure {
  readonly name: string
  /** Undefined where this platform does not tell. */
  readonly value: number | undefined
  readonly unit: string
}

export const figure = (name: string, value: number | undefined, unit: string): Figure => ({ name, value, unit })

/** Times of many operations, in milliseconds. */
export class Latencies {
  readonly #times: number[] = []

  add(milliseconds: number): void {
    this.#times.push(milliseconds)
  }

  clear(): void {
    this.#times.length = 0
  }

  /** Figures `NAME p50` and `NAME p99`. */
  figures(name: string): Figure[] {
    const sorted = Float64Array.from(this.#times).sort()
    const at = (share: number): number | undefined =>
      sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))]
    return [figure(`${name} p50`, at(0.5), 'ms'), figure(`${name} p99`, at(0.99), 'ms')]
  }
}

/** `value / count * per`, or undefined where one is not known. */
export const rate = (value: number | undefined, count: number, per: number): number | undefined =>
  value === undefined || count === 0 ? undefined : (value / count) * per
