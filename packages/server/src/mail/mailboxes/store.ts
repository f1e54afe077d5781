// The mail of one account, in that account's database.

import { defineStore, read, write } from '../../store/contracts.ts'
import { forgetImports, importMessages } from './import-operations.ts'
import { claimRecent, create, find, get, listAll, prepare, remove, rename, subscribe } from './mailbox-operations.ts'
import { append, copy, deliver, expunge, move, replace, storeFlags } from './message-operations.ts'
import { delta, keywords, meta, pack, prerender, raw, snapshot } from './read-operations.ts'
import { migrations } from './schema.ts'
import { heldBlobs, sweep } from './sweep.ts'

export const mailStore = defineStore({
  name: 'mail',
  scale: 'account',
  migrations,
  operations: {
    prepare,
    list: read(listAll),
    create,
    remove,
    rename,
    subscribe,
    find,
    get,
    claimRecent,
    append,
    deliver,
    storeFlags,
    expunge,
    copy,
    move,
    replace,
    importMessages,
    forgetImports: write(forgetImports),
    snapshot,
    pack,
    delta,
    keywords,
    meta,
    raw,
    prerender,
    sweep,
    blobs: read(heldBlobs),
  },
})
