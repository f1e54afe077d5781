// The queue on disk.

import { defineStore, read } from '../../../store/contracts.ts'
import { blobs, change, figures, list } from './list-operations.ts'
import { put, tell } from './put-operations.ts'
import { beginReport, dueReports, endReport, nextReport, postponeReport } from './report-operations.ts'
import { migrations } from './schema.ts'
import { destinations, due, mail, overdue, rest, settle, wakeLater } from './work-operations.ts'

export { QUEUE } from './schema.ts'

export const spoolStore = defineStore({
  name: 'spool',
  scale: 'service',
  migrations,
  operations: {
    put,
    tell,
    destinations,
    due,
    mail,
    settle,
    rest,
    overdue,
    wakeLater,
    dueReports,
    nextReport: read(nextReport),
    beginReport,
    endReport,
    postponeReport,
    list,
    change,
    figures: read(figures),
    blobs: read(blobs),
  },
})
