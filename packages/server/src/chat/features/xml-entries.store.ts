// XEP-0049, XEP-0054: XML that clients keep here, by name. Store workers import this file: it must stay light.

import { defineStore, read, StoreError, type Transaction, write } from '../../store/contracts.ts'

export interface Entry {
  readonly xmlns: string
  readonly name: string
  /** XML text; '' forgets the entry. */
  readonly xml: string
}

/** Keeps an entry, or forgets it. */
export async function keepEntry(tx: Transaction, { xmlns, name, xml }: Entry): Promise<void> {
  if (xml === '') await tx.run('DELETE FROM xml_entry WHERE xmlns = ? AND name = ?', xmlns, name)
  else
    await tx.run(
      'INSERT INTO xml_entry (xmlns, name, xml) VALUES (?, ?, ?) ON CONFLICT (xmlns, name) DO UPDATE SET xml = excluded.xml',
      xmlns,
      name,
      xml,
    )
}

export const xmlEntriesStore = defineStore({
  name: 'xml_entry',
  scale: 'account',
  migrations: [
    'CREATE TABLE xml_entry (xmlns TEXT NOT NULL, name TEXT NOT NULL, xml TEXT NOT NULL, PRIMARY KEY (xmlns, name));',
  ],
  operations: {
    get: read(async (tx, { xmlns, name }: Omit<Entry, 'xml'>): Promise<string | undefined> => {
      const row = await tx.get('SELECT xml FROM xml_entry WHERE xmlns = ? AND name = ?', xmlns, name)
      return row === undefined ? undefined : String(row[0])
    }),

    /** Keeps entries, all or none. Throws `full` where there would be more than `limit`, the vCard apart. */
    set: write(async (tx, { entries, limit }: { readonly entries: readonly Entry[]; readonly limit: number }) => {
      for (const entry of entries) await keepEntry(tx, entry)
      if (Number((await tx.get("SELECT count(*) FROM xml_entry WHERE xmlns <> 'vcard-temp'"))?.[0]) > limit)
        throw new StoreError('full', 'too many entries')
    }),
  },
})
