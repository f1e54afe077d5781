import { defineStore, write } from '../../src/store/contracts.ts'
import { serveStores } from '../../src/store/worker.ts'
import { notes } from './notes.ts'

serveStores([
  defineStore({
    ...notes,
    operations: {
      ...notes.operations,
      add: write(async (tx, args: { readonly text: string }) => {
        if (args.text === 'die') process.exit(1)
        return notes.operations.add.run(tx, args)
      }),
    },
  }),
])
