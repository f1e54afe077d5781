// XEP-0356 §4.4: a component is told what changes in the rosters that it may read

import { NS } from '@aviso/xmpp'
import type { Scope } from '../../kernel/scope.ts'
import type { Change } from '../../store/contracts.ts'
import type { Host } from '../core/contracts.ts'
import type { RosterChange } from '../core/roster-rows.ts'
import { pushes } from '../core/subscribing.ts'

export interface PushTerms {
  readonly component: string
  /** True for the domains whose rosters are pushed. */
  covers(domain: string): boolean
  /** False while the component is not connected. */
  connected(): boolean
  send(xml: string): void
}

const isRosterChange = (change: Change): change is RosterChange => change.kind === 'roster'

/** Pushes until `scope` closes; in the order in which the rosters changed. */
export function pushRosters(scope: Scope, host: Host, { component, covers, connected, send }: PushTerms): void {
  let last: Promise<void> = Promise.resolve()
  const push = async (id: string, change: RosterChange): Promise<void> => {
    const account = await host.accounts.byId(id)
    if (account === undefined || !covers(account.domain)) return
    const rows = change.rows
      .filter((row) => change.pushed.includes(row.contact))
      .map((row) => ({ ...row, version: change.version }))
    for (const { head, tail } of pushes(id, rows))
      send(head.replace('<iq ', `<iq xmlns='${NS.client}' from='${account.address}' `) + component + tail)
  }
  scope.defer(
    host.store.bus.subscribeAccounts((id, change) => {
      if (!isRosterChange(change) || change.pushed.length === 0 || !host.current || !connected()) return
      last = last
        .then(() => push(id, change))
        .catch((error: unknown) => scope.log.warn({ err: error, component }, 'a component was not told of a roster'))
    }),
  )
}
