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
import { checkNumbers } from './check-numbers.ts'
import { checkStrays } from './check-strays.ts'
import { forgetImports, importMessages } from './import-operations.ts'
import {
  toldRecent,
  create,
  find,
  get,
  listAll,
  opening,
  prepare,
  remove,
  rename,
  subscribe,
} from './mailbox-operations.ts'
import { append, copy, deliver, discard, expunge, move, replace } from './message-operations.ts'
import { keys } from './keys-operations.ts'
import { meta } from './meta-operations.ts'
import { raw, rawMany } from './octet-operations.ts'
import { quota, setQuota } from './quota.ts'
import { catchUp, prerender, rendered } from './rendering-operations.ts'
import {
  begin,
  changedPage,
  changes,
  flaggedPage,
  keywords,
  pack,
  recentPage,
  vanishedPage,
} from './snapshot-operations.ts'
import { migrations } from './schema.ts'
import * as search from './search/operations.ts'
import { acl, allGrants, forgetVisitor, rights, setAcl, shared, visit } from './sharing/acl-operations.ts'
import { annotations, setAnnotations } from './sharing/annotation-operations.ts'
import { storeFlags } from './store-flags.ts'
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
    opening,
    get,
    toldRecent,
    append,
    deliver,
    storeFlags,
    expunge,
    discard,
    copy,
    move,
    replace,
    importMessages,
    forgetImports: write(forgetImports),
    begin,
    changes,
    changedPage,
    recentPage,
    flaggedPage,
    vanishedPage,
    pack,
    keywords,
    meta,
    keys,
    raw,
    rawMany,
    prerender,
    catchUp,
    rendered,
    quota,
    setQuota,
    acl,
    setAcl,
    shared,
    rights,
    visit,
    grants: read(allGrants),
    forgetVisitor,
    annotations,
    setAnnotations,
    sweep,
    blobs: read(heldBlobs),
    checkStrays,
    checkNumbers,
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
    ...search,
  },
})
