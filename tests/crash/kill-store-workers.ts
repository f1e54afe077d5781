// Preloaded into a server (`node --import`): SIGUSR2 ends its store workers wherever they are, as an out-of-memory in one would.

import { createRequire, syncBuiltinESMExports } from 'node:module'
import type * as threads from 'node:worker_threads'

const exports = createRequire(import.meta.url)('node:worker_threads') as {
  -readonly [K in keyof typeof threads]: (typeof threads)[K]
}

if (exports.isMainThread) {
  const workers = new Set<threads.Worker>()
  exports.Worker = class extends exports.Worker {
    constructor(...args: ConstructorParameters<typeof threads.Worker>) {
      super(...args)
      if (args[1]?.name?.startsWith('store-') !== true) return
      workers.add(this)
      this.once('exit', () => workers.delete(this))
    }
  }
  syncBuiltinESMExports()
  process.on('SIGUSR2', () => {
    for (const worker of workers) void worker.terminate()
  })
}
