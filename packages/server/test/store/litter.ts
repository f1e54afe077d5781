// A store whose operations leave garbage behind.

import { defineStore, read } from '../../src/store/contracts.ts'

let last: WeakRef<object> | undefined

export const litter = defineStore({
  name: 'litter',
  scale: 'account',
  migrations: ['CREATE TABLE litter (id INTEGER PRIMARY KEY) STRICT;'],
  operations: {
    /** Leaves something behind that only a full collection takes. */
    leave: read(async () => {
      last = new WeakRef({})
    }),
    isGone: read(async () => last?.deref() === undefined),
  },
})
