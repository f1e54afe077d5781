// The entry of a thread that looks into the database of a table.

import { parentPort, workerData } from 'node:worker_threads'
import type { SqlSetting } from './accounts/tables/sql/protocol.ts'
import { serveTable } from './accounts/tables/sql/thread.ts'

if (parentPort !== null) serveTable(parentPort, workerData as SqlSetting)
