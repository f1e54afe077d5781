// The memory that long literals may take, of all connections together: whoever comes when it is used up waits, in the order of coming.

/** The first octets of a command that are not counted: few commands have more, and those need not ask. */
const FREE = 65_536

interface Waiting {
  readonly octets: number
  readonly share: LiteralShare
  readonly go: (admitted: boolean) => void
}

/**
 * Room for `octets` octets. A literal larger than all of it is let in when nothing else is there. A command that holds some and needs more (MULTIAPPEND) must
 * not wait for others that do the same: one at a time may go beyond the budget, so that it always comes to its end.
 */
export class LiteralBudget {
  readonly #octets: number
  #used = 0
  #beyond: LiteralShare | undefined
  #waiting: Waiting[] = []

  constructor(octets: number) {
    this.#octets = octets
  }

  /** Octets handed out. */
  get used(): number {
    return this.#used
  }

  /** Literals that wait for room. */
  get waiting(): number {
    return this.#waiting.length
  }

  /** What one connection takes of it. */
  share(): LiteralShare {
    return new LiteralShare(this)
  }

  /** Resolves when there is room (true), or the share has left (false). Only a share may ask. */
  async take(octets: number, share: LiteralShare): Promise<boolean> {
    const behind = this.#waiting.some((one) => share.held === 0 || one.share.held > 0)
    if ((!behind || this.#beyond === share) && this.#admit(octets, share)) return true
    return new Promise((go) => this.#waiting.push({ octets, share, go }))
  }

  /** A share that waits does so no longer. */
  leave(share: LiteralShare): void {
    const at = this.#waiting.findIndex((one) => one.share === share)
    if (at >= 0) this.#waiting.splice(at, 1)[0]?.go(false)
  }

  /** Gives back what a share holds. Who waits gets it, those first who hold some already. */
  give(octets: number, share: LiteralShare): void {
    this.#used -= octets
    if (this.#beyond === share) this.#beyond = undefined
    // Those who hold some already first: the others wait for them.
    this.#serve((one) => one.share.held > 0)
    this.#serve((one) => one.share.held === 0)
  }

  #serve(which: (one: Waiting) => boolean): void {
    for (;;) {
      const next = this.#waiting.find(which)
      if (next === undefined || !this.#admit(next.octets, next.share)) return
      this.#waiting.splice(this.#waiting.indexOf(next), 1)
      next.go(true)
    }
  }

  #admit(octets: number, share: LiteralShare): boolean {
    if (this.#used > 0 && this.#used + octets > this.#octets && this.#beyond !== share) {
      if (share.held === 0 || this.#beyond !== undefined) return false
      this.#beyond = share
    }
    this.#used += octets
    return true
  }
}

/** What one command holds of the budget, or of none. */
export class LiteralShare {
  readonly #budget: LiteralBudget | undefined
  #held = 0
  #free = FREE
  #closed = false

  constructor(budget: LiteralBudget | undefined) {
    this.#budget = budget
  }

  get held(): number {
    return this.#held
  }

  /** Resolves when `octets` more may be kept. */
  async take(octets: number): Promise<void> {
    if (this.#budget === undefined) return
    if (octets <= this.#free) {
      this.#free -= octets
      return
    }
    if (!(await this.#budget.take(octets, this))) return
    if (this.#closed) this.#budget.give(octets, this)
    else this.#held += octets
  }

  /** The command is done: all is given back. */
  release(): void {
    this.#free = FREE
    if (this.#held === 0) return
    const held = this.#held
    this.#held = 0
    this.#budget?.give(held, this)
  }

  /** The connection is gone. */
  close(): void {
    this.#closed = true
    this.#budget?.leave(this)
    this.release()
  }
}
