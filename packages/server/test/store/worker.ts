import { serveStores } from '../../src/store/worker.ts'
import { notes } from './notes.ts'

serveStores([notes])
