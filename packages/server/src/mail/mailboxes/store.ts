// The mail of one account, in that account's database.

import { defineStore, read, write } from '../../store/contracts.ts'
import {
  checkContent,
  checkCounters,
  checkRendering,
  checkTotals,
  counted,
  forgetPacked,
  neededBlobs,
  recount,
  references,
  whereabouts,
} from './check-operations.ts'
import { checkStrays } from './check-strays.ts'
import { forgetImports, importMessages } from './import-operations.ts'
import { claimRecent, create, find, get, listAll, prepare, remove, rename, subscribe } from './mailbox-operations.ts'
import { append, copy, deliver, expunge, move, replace, storeFlags } from './message-operations.ts'
import { keys } from './keys-operations.ts'
import { meta } from './meta-operations.ts'
import { raw } from './octet-operations.ts'
import { quota, setQuota } from './quota.ts'
import { catchUp, prerender, rendered } from './rendering-operations.ts'
import { begin, changedPage, changes, keywords, pack, vanishedPage } from './snapshot-operations.ts'
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
    begin,
    changes,
    changedPage,
    vanishedPage,
    pack,
    keywords,
    meta,
    keys,
    raw,
    prerender,
    catchUp,
    rendered,
    quota,
    setQuota,
    sweep,
    blobs: read(heldBlobs),
    checkStrays,
    checkCounters,
    checkTotals,
    references,
    counted,
    recount,
    checkRendering,
    checkContent,
    neededBlobs: read(neededBlobs),
    whereabouts,
    forgetPacked,
  },
})
