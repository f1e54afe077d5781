// Holds the octets of a message while it arrives: never more than allowed, in memory up to a threshold, beyond it in a spool.

import type { BodyType } from '../parameters.ts'
import { HeldMessage, headerEnd, SpooledMessage, type MessageBody } from './message.ts'
import type { Spool, SpoolFile } from './spool.ts'

/** What all sessions of a server may hold together, in octets. */
export class MemoryBudget {
  readonly #limit: number
  #used = 0

  constructor(limit: number) {
    this.#limit = limit
  }

  get used(): number {
    return this.#used
  }

  /** Takes `octets` if they are there. */
  take(octets: number): boolean {
    if (this.#used + octets > this.#limit) return false
    this.#used += octets
    return true
  }

  give(octets: number): void {
    this.#used -= octets
  }
}

export interface CollectorRules {
  /** Octets of a message: one more and it is dropped, though still counted. */
  readonly max: number
  /** Octets of its header section. */
  readonly maxHeader: number
  readonly budget: MemoryBudget
  /** Undefined: all messages stay in memory. */
  readonly spool: Spool | undefined
  /** Octets of a message from which on it goes into the spool. */
  readonly threshold: number
}

/** Why nothing is kept any more: the message or its header is too big, memory is promised to others, the spool has no room. */
export type Overflow = 'size' | 'header' | 'memory' | 'spool'

/** Pieces from here on are kept as they came: a socket's read is allocated to its size, so keeping it wastes nothing. */
const KEEP_WHOLE = 4096
const MAX_BLOCK = 65_536
/** Once in the spool, a message is written in pieces of at least this. */
const WRITE = 131_072

export class BodyCollector {
  readonly #rules: CollectorRules
  #parts: Buffer[] = []
  #block: Buffer | undefined
  #filled = 0
  #size = 0
  /** Octets of the parts, and those among them that the budget knows of. */
  #waiting = 0
  #held = 0
  #spillAt: number
  #header: Buffer | undefined
  #file: SpoolFile | undefined
  #overflow: Overflow | undefined
  #dropped = false
  #cause: unknown

  constructor(rules: CollectorRules) {
    this.#rules = rules
    this.#spillAt = rules.spool === undefined ? Infinity : rules.threshold
  }

  /** Octets pushed, dropped ones included. */
  get size(): number {
    return this.#size
  }

  get overflow(): Overflow | undefined {
    return this.#overflow
  }

  /** What the spool said when it had no room. */
  get cause(): unknown {
    return this.#cause
  }

  /** More is held than should be: `spill` before the next push. */
  get pressing(): boolean {
    return this.#waiting > this.#spillAt
  }

  push(piece: Buffer): void {
    this.#size += piece.length
    if (this.#dropped || piece.length === 0) return
    if (this.#size > this.#rules.max) return this.drop('size')
    if (this.#rules.budget.take(piece.length)) this.#held += piece.length
    else if (this.#rules.spool === undefined) return this.drop('memory')
    else this.#spillAt = 0
    this.#waiting += piece.length
    if (piece.length >= KEEP_WHOLE) {
      this.#seal()
      this.#parts.push(piece)
    } else {
      this.#copy(piece)
    }
  }

  /** Moves what is held into the spool. Never rejects: a failure is an overflow. */
  async spill(): Promise<void> {
    if (this.#dropped) return
    const octets = this.#takeParts()
    if (this.#header === undefined) {
      const end = headerEnd(octets)
      if (end > this.#rules.maxHeader || (end < 0 && octets.length > this.#rules.maxHeader)) return this.drop('header')
      if (end < 0) {
        // The header is needed whole: it stays here until its end has come, if there is memory for it.
        if (this.#held < octets.length) return this.drop('memory')
        this.#parts = [octets]
        this.#spillAt = this.#rules.maxHeader
        return
      }
      this.#header = Buffer.from(octets.subarray(0, end))
    }
    await this.#write(octets)
  }

  /** The message; undefined when there was an overflow, or it was dropped. The collector must not be used afterwards, save for `release`. */
  async finish(type: BodyType): Promise<MessageBody | undefined> {
    if (this.#dropped) return undefined
    const release = (): Promise<void> => this.release()
    if (this.#header !== undefined && this.#file !== undefined) {
      const file = this.#file
      if (this.#waiting > 0) await this.#write(this.#takeParts())
      await this.#attempt(() => file.end())
      if (this.#dropped) return undefined
      return new SpooledMessage(type, this.#size, this.#header, file, release)
    }
    const bytes = this.#takeParts()
    const end = headerEnd(bytes)
    if ((end < 0 ? bytes.length : end) > this.#rules.maxHeader) {
      this.drop('header')
      return undefined
    }
    return new HeldMessage(type, bytes, end < 0 ? bytes : bytes.subarray(0, end), release)
  }

  /** Keeps nothing more of the message. */
  drop(why?: Overflow): void {
    this.#overflow ??= why
    this.#dropped = true
    void this.release()
  }

  /** Gives back what was taken, once the message is no longer needed. Never rejects; may be called again. */
  async release(): Promise<void> {
    this.#parts = []
    this.#block = undefined
    this.#filled = 0
    this.#waiting = 0
    this.#rules.budget.give(this.#held)
    this.#held = 0
    const file = this.#file
    this.#file = undefined
    await file?.discard()
  }

  async #write(octets: Buffer): Promise<void> {
    const { spool, budget } = this.#rules
    await this.#attempt(async () => {
      this.#file ??= await spool?.create()
      await this.#file?.write(octets)
    })
    budget.give(this.#held)
    this.#held = 0
    this.#waiting = 0
    this.#spillAt = WRITE
  }

  async #attempt(step: () => Promise<void>): Promise<void> {
    try {
      await step()
    } catch (error) {
      this.#cause = error
      this.drop('spool')
    }
  }

  /** All that is held, in one piece. */
  #takeParts(): Buffer {
    this.#seal()
    const parts = this.#parts
    this.#parts = []
    const only = parts[0]
    // A block may be much larger than what stands in it, so it is left behind; a whole piece is not.
    if (parts.length === 1 && only !== undefined && only.length >= KEEP_WHOLE) return only
    return Buffer.concat(parts, this.#waiting)
  }

  #copy(piece: Buffer): void {
    let from = 0
    while (from < piece.length) {
      this.#block ??= Buffer.allocUnsafeSlow(Math.min(MAX_BLOCK, Math.max(KEEP_WHOLE, this.#waiting)))
      const copied = piece.copy(this.#block, this.#filled, from)
      from += copied
      this.#filled += copied
      if (this.#filled === this.#block.length) {
        this.#parts.push(this.#block)
        this.#block = undefined
        this.#filled = 0
      }
    }
  }

  /** Ends the part that was being filled, so that the next piece stands behind it; its room goes on being used. */
  #seal(): void {
    if (this.#block === undefined || this.#filled === 0) return
    this.#parts.push(this.#block.subarray(0, this.#filled))
    this.#block = this.#block.subarray(this.#filled)
    this.#filled = 0
  }
}
