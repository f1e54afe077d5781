// A small store for the tests of the store itself: notes of an account.

import { append, defineStore, derived, read, StoreError, type Transaction, write } from '../../src/store/contracts.ts'

export const notes = defineStore({
  name: 'notes',
  scale: 'account',
  migrations: [`CREATE TABLE note (id INTEGER PRIMARY KEY, text TEXT NOT NULL) STRICT;`],
  operations: {
    add: write(async (tx, args: { readonly text: string }) => {
      await tx.run('INSERT INTO note (text) VALUES (?)', args.text)
      tx.publish({ kind: 'notes' })
      const row = await tx.get('SELECT max(id) FROM note')
      if (args.text === 'refused') throw new StoreError('refused', 'this note is refused')
      if (args.text === 'broken') throw new Error('defect')
      return Number(row?.[0])
    }),
    /** The same in two ways: whether the commit is synced. */
    kept: write(async (tx, args: { readonly text: string }) => note(tx, args.text)),
    derived: derived(async (tx, args: { readonly text: string }) => note(tx, args.text)),
    /** Of several, each with octets that are looked at only. */
    addAll: write(
      async (tx, { all }: { readonly all: readonly { readonly text: string; readonly hint: Float64Array }[] }) => {
        for (const { text } of all) await tx.run('INSERT INTO note (text) VALUES (?)', text)
      },
    ),
    /** `known` only spares work. Answers how much of it there was. */
    addKnowing: write(
      async (tx, { text, known }: { readonly text: string; readonly known?: Uint8Array }) => {
        await tx.run('INSERT INTO note (text) VALUES (?)', text)
        return known?.length ?? 0
      },
      { needed: ({ text }) => ({ text }) },
    ),
    /** Safe at once, carried out later. */
    append: append(async (tx, all: readonly { readonly text: string }[]) => {
      for (const { text } of all) {
        await tx.run('INSERT INTO note (text) VALUES (?)', text)
        if (text === 'broken') throw new Error('defect')
        if (text === 'malformed') await tx.get('SELECT json(?)', '{')
      }
    }),
    all: read(async (tx) => (await tx.all('SELECT text FROM note ORDER BY id')).map(([text]) => String(text))),
    bytes: read(async (_tx, args: { readonly bytes: Uint8Array }) => args.bytes.byteLength),
    /** What is given goes over; `back` comes back. */
    sum: read(
      async (_tx, { taken, back }: { readonly taken: Uint8Array; readonly back: Uint8Array }) => ({
        sum: [...taken, ...back].reduce((all, octet) => all + octet, 0),
        back,
      }),
      { given: ({ taken, back }) => [taken, back], returned: ({ back }) => [back] },
    ),
  },
})

/** Adds a note, and tells how its transaction is synced: 2 with the commit, 1 later. */
async function note(tx: Transaction, text: string): Promise<number> {
  await tx.run('INSERT INTO note (text) VALUES (?)', text)
  if (text === 'refused') throw new StoreError('refused', 'this note is refused')
  return Number((await tx.get('PRAGMA synchronous'))?.[0])
}

/** The same tables one version on. */
export const notesGrown = defineStore({
  ...notes,
  migrations: [...notes.migrations, `ALTER TABLE note ADD COLUMN colour TEXT NOT NULL DEFAULT 'white';`],
})
