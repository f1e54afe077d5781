import { serveStores } from '../../src/store/worker.ts'
import { litter } from './litter.ts'

serveStores([litter])
