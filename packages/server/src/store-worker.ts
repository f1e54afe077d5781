// The entry of a store worker thread.

import { serveStores } from './store/worker.ts'
import { stores } from './stores.ts'

serveStores(stores)
