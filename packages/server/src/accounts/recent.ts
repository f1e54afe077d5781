// A map that keeps what was used last. Costs nothing while it is empty.

export class RecentMap<K, V> {
  readonly #entries = new Map<K, V>()
  #most: number

  constructor(most: number) {
    this.#most = most
  }

  get size(): number {
    return this.#entries.size
  }

  /** The value, which then counts as used. */
  get(key: K): V | undefined {
    const value = this.#entries.get(key)
    if (value === undefined) return undefined
    this.#entries.delete(key)
    this.#entries.set(key, value)
    return value
  }

  /** The value, without counting as use. */
  peek(key: K): V | undefined {
    return this.#entries.get(key)
  }

  /** What was used least recently comes first. */
  values(): Iterable<V> {
    return this.#entries.values()
  }

  set(key: K, value: V): void {
    this.#entries.delete(key)
    if (this.#most === 0) return
    this.#shrink(this.#most - 1)
    this.#entries.set(key, value)
  }

  /** From now on it keeps so many; those that were used least recently go. */
  limit(most: number): void {
    this.#most = most
    this.#shrink(most)
  }

  #shrink(size: number): void {
    for (const oldest of this.#entries.keys()) {
      if (this.#entries.size <= size) return
      this.#entries.delete(oldest)
    }
  }

  delete(key: K): void {
    this.#entries.delete(key)
  }

  clear(): void {
    this.#entries.clear()
  }
}
