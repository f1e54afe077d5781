// Flags and keywords of an account: canonical sets, each kept once and named by a number.

import type { FlagChange, FlagSet } from '@aviso/imap'
import { StoreError, type Transaction } from '../../store/contracts.ts'
import { takeNumbers } from './clock.ts'

const SYSTEM_FLAGS: readonly string[] = ['\\Answered', '\\Flagged', '\\Deleted', '\\Seen', '\\Draft']
const SYSTEM_BY_FOLD: ReadonlyMap<string, string> = new Map(SYSTEM_FLAGS.map((flag) => [flag.toLowerCase(), flag]))

/** Keywords of one account. */
const MAX_KEYWORDS = 1000
const MAX_KEYWORD_OCTETS = 128

/** One flag set of the account. `flags` are in canonical order: system flags, then keywords by their folded names. */
export interface StoredFlagSet {
  readonly id: number
  readonly flags: FlagSet
  readonly seen: boolean
  readonly deleted: boolean
}

const fold = (keyword: string): string => keyword.toLowerCase()
const rank = (flag: string): number => SYSTEM_FLAGS.indexOf(flag)

function compare(a: string, b: string): number {
  const [left, right] = [rank(a), rank(b)]
  if (left >= 0 || right >= 0) return left >= 0 && right >= 0 ? left - right : right - left
  const [x, y] = [fold(a), fold(b)]
  return x < y ? -1 : x > y ? 1 : 0
}

/** The keywords of the account, in the spelling that came first. */
export const allKeywords = async (tx: Transaction): Promise<readonly string[]> =>
  (await tx.all('SELECT name FROM mail_keyword ORDER BY fold')).map(([name]) => String(name))

/** The set of no flags, with which most mails come, of each open database. It may have been made in a transaction that was undone since. */
const empty = new WeakMap<Transaction, { readonly set: StoredFlagSet; readonly undone: number }>()

function withoutFlags(tx: Transaction): StoredFlagSet | undefined {
  const known = empty.get(tx)
  return known?.undone === tx.undone ? known.set : undefined
}

/** Flag sets were deleted. */
export const forgetFlagSets = (tx: Transaction): void => void empty.delete(tx)

/** The flag sets that one transaction meets, each read once. */
export class FlagSets {
  readonly #tx: Transaction
  readonly #byId = new Map<number, StoredFlagSet>()
  readonly #byText = new Map<string, StoredFlagSet>()

  constructor(tx: Transaction) {
    this.#tx = tx
  }

  async byId(id: number): Promise<StoredFlagSet> {
    const known = this.#byId.get(id)
    if (known !== undefined) return known
    const row = await this.#tx.get('SELECT flags, seen, deleted FROM mail_flagset WHERE id = ?', id)
    if (row === undefined) throw new Error(`flag set ${id} is missing`)
    return this.#keep(id, String(row[0]), row[1] === 1, row[2] === 1)
  }

  /** The set of these flags; made when it is new. `flags` are canonical, as `canonical` and `apply` give them. */
  async intern(flags: FlagSet): Promise<StoredFlagSet> {
    const text = flags.join(' ')
    const known = this.#byText.get(text) ?? (text === '' ? withoutFlags(this.#tx) : undefined)
    if (known !== undefined) return known
    const set = await this.#stored(flags, text)
    if (text === '') empty.set(this.#tx, { set, undone: this.#tx.undone })
    return set
  }

  async #stored(flags: FlagSet, text: string): Promise<StoredFlagSet> {
    const row = await this.#tx.get('SELECT id, seen, deleted FROM mail_flagset WHERE flags = ?', text)
    if (row !== undefined) return this.#keep(Number(row[0]), text, row[1] === 1, row[2] === 1)
    const { flagset } = await takeNumbers(this.#tx, { flagsets: 1 })
    const [seen, deleted] = [flags.includes('\\Seen'), flags.includes('\\Deleted')]
    await this.#tx.run(
      'INSERT INTO mail_flagset (id, flags, seen, deleted) VALUES (?, ?, ?, ?)',
      flagset,
      text,
      seen ? 1 : 0,
      deleted ? 1 : 0,
    )
    return this.#keep(flagset, text, seen, deleted)
  }

  /**
   * Flags as a client named them, in canonical spelling and order, `\Recent` left out. With `keep`, new keywords are kept: `StoreError('LIMIT')` when that is one too many;
   * without, they stay as given. Throws `StoreError('CANNOT')` for what is no flag.
   */
  async canonical(flags: readonly string[], keep: boolean): Promise<FlagSet> {
    if (flags.length === 0) return []
    const set = new Set<string>()
    for (const flag of flags) {
      const system = SYSTEM_BY_FOLD.get(fold(flag))
      if (system !== undefined) set.add(system)
      else if (fold(flag) !== '\\recent') set.add(await this.#keyword(flag, keep))
    }
    return [...set].sort(compare)
  }

  async #keyword(keyword: string, keep: boolean): Promise<string> {
    if (!/^[!#$&'+,\-./0-9:;<=>?@A-Z[^_`a-z|}~]+$/.test(keyword))
      throw new StoreError('CANNOT', 'A keyword is an atom of ASCII characters')
    if (keyword.length > MAX_KEYWORD_OCTETS)
      throw new StoreError('LIMIT', `Keywords have ${MAX_KEYWORD_OCTETS} characters at most`)
    const row = await this.#tx.get('SELECT name FROM mail_keyword WHERE fold = ?', fold(keyword))
    if (row !== undefined) return String(row[0])
    if (!keep) return keyword
    const count = await this.#tx.get('SELECT count(*) FROM mail_keyword')
    if (Number(count?.[0]) >= MAX_KEYWORDS)
      throw new StoreError('LIMIT', `No more than ${MAX_KEYWORDS} keywords can be kept`)
    await this.#tx.run('INSERT INTO mail_keyword (fold, name) VALUES (?, ?)', fold(keyword), keyword)
    return keyword
  }

  #keep(id: number, text: string, seen: boolean, deleted: boolean): StoredFlagSet {
    const set = { id, flags: text === '' ? [] : text.split(' '), seen, deleted }
    this.#byId.set(id, set)
    this.#byText.set(text, set)
    return set
  }
}

/** What `old` becomes by a STORE of `given`; both canonical, and so is the result. */
export function applyFlags(old: FlagSet, action: FlagChange['action'], given: FlagSet): FlagSet {
  if (action === 'set') return given
  if (action === 'remove') return old.filter((flag) => !given.includes(flag))
  const missing = given.filter((flag) => !old.includes(flag))
  return missing.length === 0 ? old : [...old, ...missing].sort(compare)
}
