// XEP-0402, XEP-0048: bookmarks that old clients write: rooms lie in a node, what else there is among them lies as private XML. Store workers import this file: it must stay light.

import { defineStore, write } from '../../store/contracts.ts'
import { type Exchange, exchange, type Exchanged } from '../pubsub/item-operations.ts'
import { type Entry, keepEntry } from './xml-entries.store.ts'

export const bookmarksStore = defineStore({
  name: 'bookmarks',
  scale: 'account',
  // Its tables are those of `pubsub` and `xml_entry`.
  migrations: [],
  operations: {
    /** Puts the rooms into their node, takes those back that are gone, and keeps the rest: all of it or nothing. */
    rewrite: write(
      async (
        tx,
        { rooms, others }: { readonly rooms: Exchange; readonly others: Entry },
      ): Promise<Exchanged | undefined> => {
        await keepEntry(tx, others)
        return exchange(tx, rooms)
      },
    ),
  },
})
