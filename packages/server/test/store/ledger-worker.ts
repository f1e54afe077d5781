import { serveStores } from '../../src/store/worker.ts'
import { ledgers } from './ledger.ts'

serveStores(ledgers)
