// Flags and modseqs of messages that changed since they came: 256 UIDs to a row, so that a STORE on many messages writes few rows.

import type { Transaction } from '../../store/contracts.ts'

/**
 * The row of a message in `mail_message` keeps the flag set and the modseq that the message came with. What a STORE made of them stands in the block of
 * its UID, and goes before. `id`: mailbox · 2^24 + the UID's upper 24 bits. `modseq`: of the latest change in the block. `entries`: 256 modseqs
 * (IEEE 754 doubles), then 256 flag sets (32 bits), little-endian; a flag set of 0: the row of the message tells. A block fills a page of the database just.
 */
export const FLAG_BLOCKS = `
CREATE TABLE mail_flags (
  id INTEGER PRIMARY KEY,
  mailbox INTEGER NOT NULL,
  modseq INTEGER NOT NULL,
  entries BLOB NOT NULL
) STRICT;
CREATE INDEX mail_flags_modseq ON mail_flags (mailbox, modseq);
`

/** UIDs in one block. */
export const BLOCK = 256
const BLOCKS = 2 ** 24
const MODSEQ_OCTETS = BLOCK * 8
const OCTETS = MODSEQ_OCTETS + BLOCK * 4

/** The ids of the blocks of a mailbox, the first and the last that there can be. */
export const blockIds = (mailbox: number): readonly [first: number, last: number] => [
  mailbox * BLOCKS,
  mailbox * BLOCKS + BLOCKS - 1,
]

/** The lowest UID of a block. */
export const firstUid = (id: number): number => (id % BLOCKS) * BLOCK

export const mailboxOf = (id: number): number => Math.floor(id / BLOCKS)

/** What one block says. */
export interface FlagBlock {
  readonly modseqs: Float64Array
  /** 0: the row of the message tells. */
  readonly flagsets: Uint32Array
}

interface OpenBlock extends FlagBlock {
  readonly octets: Uint8Array
  changed: boolean
}

function open(octets: Uint8Array): OpenBlock {
  return {
    octets,
    modseqs: new Float64Array(octets.buffer, 0, BLOCK),
    flagsets: new Uint32Array(octets.buffer, MODSEQ_OCTETS, BLOCK),
    changed: false,
  }
}

/** The `entries` of a row. Throws where they are damaged. */
export function readBlock(id: number, entries: unknown): FlagBlock {
  return parse(id, entries)
}

function parse(id: number, entries: unknown): OpenBlock {
  if (!(entries instanceof Uint8Array) || entries.byteLength !== OCTETS)
    throw new Error(`the flags of block ${id} are damaged`)
  return open(entries.byteOffset === 0 ? entries : entries.slice())
}

/** Says `told` what changed after `since` in a block of that id, ascending by UID. Throws where it is damaged. */
export function changedInBlock(
  id: number,
  entries: unknown,
  since: number,
  told: (uid: number, flagset: number, modseq: number) => void,
): void {
  const { modseqs, flagsets } = readBlock(id, entries)
  const first = firstUid(id)
  for (let i = 0; i < BLOCK; i++) if ((modseqs[i] ?? 0) > since) told(first + i, flagsets[i] ?? 0, modseqs[i] ?? 0)
}

/** The blocks that one transaction meets in one mailbox. Ask only for UIDs within what was loaded. */
export class FlagBlocks {
  readonly #tx: Transaction
  readonly #mailbox: number
  readonly #blocks = new Map<number, OpenBlock>()

  constructor(tx: Transaction, mailbox: number) {
    this.#tx = tx
    this.#mailbox = mailbox
  }

  /** Loads the blocks of the UIDs from `first` to `last`; those loaded before are let go, so `write` what was set in them. */
  async load(first: number, last: number): Promise<void> {
    this.#blocks.clear()
    const base = this.#mailbox * BLOCKS
    for (const [id, entries] of await this.#tx.all(
      'SELECT id, entries FROM mail_flags WHERE id BETWEEN ? AND ?',
      base + (first >>> 8),
      base + (last >>> 8),
    ))
      this.#blocks.set(Number(id) - base, parse(Number(id), entries))
  }

  /** The flag set of a message that came with `inserted`. */
  flagset(uid: number, inserted: number): number {
    return this.#blocks.get(uid >>> 8)?.flagsets[uid & 0xff] || inserted
  }

  /** The modseq of a message that came with `inserted`. */
  modseq(uid: number, inserted: number): number {
    return this.#blocks.get(uid >>> 8)?.modseqs[uid & 0xff] || inserted
  }

  /** The flag set that a STORE gave the message; 0 where none did. */
  stored(uid: number): number {
    return this.#blocks.get(uid >>> 8)?.flagsets[uid & 0xff] ?? 0
  }

  /** UIDs in ascending order whose stored flag set is one of `sets`. */
  *having(sets: ReadonlySet<number>): Generator<number> {
    for (const number of [...this.#blocks.keys()].sort((a, b) => a - b)) {
      const { flagsets } = this.#blocks.get(number) ?? NO_BLOCK
      for (let i = 0; i < flagsets.length; i++) if (sets.has(flagsets[i] ?? 0)) yield number * BLOCK + i
    }
  }

  set(uid: number, flagset: number, modseq: number): void {
    const block = this.#block(uid >>> 8)
    block.flagsets[uid & 0xff] = flagset
    block.modseqs[uid & 0xff] = modseq
  }

  /** Gives each of the UIDs its flag set of `flagsets` where that is another than the one of `were`. */
  setAll(uids: Uint32Array, were: Uint32Array, flagsets: Uint32Array, modseq: number): void {
    let block: OpenBlock | undefined
    let number = -1
    for (let i = 0; i < uids.length; i++) {
      const flagset = flagsets[i] ?? 0
      if (flagset === were[i]) continue
      const uid = uids[i] ?? 0
      if (block === undefined || uid >>> 8 !== number) block = this.#block((number = uid >>> 8))
      block.flagsets[uid & 0xff] = flagset
      block.modseqs[uid & 0xff] = modseq
    }
  }

  /** A block that is going to be changed. */
  #block(number: number): OpenBlock {
    let block = this.#blocks.get(number)
    if (block === undefined) this.#blocks.set(number, (block = open(new Uint8Array(OCTETS))))
    block.changed = true
    return block
  }

  /** Writes what was set, all of it at `modseq`. */
  async write(modseq: number): Promise<void> {
    const base = this.#mailbox * BLOCKS
    for (const [number, block] of this.#blocks) {
      if (!block.changed) continue
      block.changed = false
      await this.#tx.run(
        'INSERT INTO mail_flags (id, mailbox, modseq, entries) VALUES (?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET modseq = excluded.modseq, entries = excluded.entries',
        base + number,
        this.#mailbox,
        modseq,
        block.octets,
      )
    }
  }
}

const NO_BLOCK: FlagBlock = { modseqs: new Float64Array(), flagsets: new Uint32Array() }
