// Stores for the long stories of the store: every line tells in which order it came, and when.

import {
  append,
  defineStore,
  read,
  type Scale,
  StoreError,
  type Transaction,
  write,
} from '../../src/store/contracts.ts'

/** A line as it was written, and as it is found. */
export interface Line {
  readonly id: number
  readonly text: string
  readonly at: number
}

/** What a line does instead of standing there. */
export type Fate = 'stays' | 'refused' | 'throws' | 'dies'

export interface Added {
  readonly text: string
  readonly fate: Fate
  /** Makes it long. */
  readonly ballast?: string
}

/** `table`: its tables are its own. */
const ledgerOf = (name: string, scale: Scale, table: string) => {
  const insert = `INSERT INTO ${table} (text, at) VALUES (?, ?)`
  const add = async (tx: Transaction, { text, fate }: Added): Promise<Line> => {
    await tx.run(insert, text, tx.now)
    if (fate === 'dies') process.exit(1)
    if (fate === 'refused') throw new StoreError('refused', text)
    if (fate === 'throws') throw new Error(text)
    const row = await tx.get(`SELECT max(id) FROM ${table}`)
    return { id: Number(row?.[0]), text, at: tx.now }
  }
  return defineStore({
    name,
    scale,
    migrations: [`CREATE TABLE ${table} (id INTEGER PRIMARY KEY, text TEXT NOT NULL, at INTEGER NOT NULL) STRICT;`],
    operations: {
      add: write(add),
      /** One whose octets move: the journal does not take it. */
      give: write((tx, { line }: { readonly line: Added; readonly octets: Uint8Array }) => add(tx, line), {
        given: ({ octets }) => [octets],
      }),
      append: append(async (tx, all: readonly { readonly text: string }[]) => {
        for (const { text } of all) await tx.run(insert, text, tx.now)
      }),
      all: read(async (tx): Promise<readonly Line[]> =>
        (await tx.all(`SELECT id, text, at FROM ${table} ORDER BY id`)).map(([id, text, at]) => ({
          id: Number(id),
          text: String(text),
          at: Number(at),
        })),
      ),
      fails: read(async (tx) => {
        await tx.get(`SELECT count(*) FROM ${table}`)
        throw new StoreError('refused', 'a look')
      }),
    },
  })
}

export const ledger = ledgerOf('ledger', 'account', 'ledger')
/** In the same databases. */
export const diary = ledgerOf('diary', 'account', 'diary')
export const serviceLedger = ledgerOf('ledger-service', 'service', 'ledger')
export const coreLedger = ledgerOf('ledger-core', 'core', 'ledger')
export const ledgers = [ledger, diary, serviceLedger, coreLedger]
