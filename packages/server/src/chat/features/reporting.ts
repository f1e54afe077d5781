// XEP-0377: a report in a blocking command, bounded

import type { Element } from '@aviso/xmpp'
import { NS } from '@aviso/xmpp'
import type { NewReport } from './reports.store.ts'

export const REPORTING = 'urn:xmpp:reporting:1'

const MAX_REASON = 200
const MAX_TEXT = 2000
const MAX_MESSAGES = 20
const MAX_ID = 200

/** The report of an item to be blocked, if there is one with a reason. What is too long is cut. */
export function reportOf(item: Element, reporter: string, reported: string): NewReport | undefined {
  const report = item.child('report', REPORTING)
  const reason = report?.get('reason')
  if (report === undefined || reason === undefined || reason === '') return undefined
  return {
    reporter,
    reported,
    reason: reason.slice(0, MAX_REASON),
    text: (report.childText('text') ?? '').trim().slice(0, MAX_TEXT),
    messages: report
      .childrenNamed('stanza-id', NS.stanzaId)
      .slice(0, MAX_MESSAGES)
      .map((id) => ({ by: (id.get('by') ?? '').slice(0, MAX_ID), id: (id.get('id') ?? '').slice(0, MAX_ID) })),
    processing: ['report-origin', 'third-party'].filter((name) => report.child(name) !== undefined),
  }
}
