// What an administrator does with chat, beside its commands for chat clients: for the command line and the web.

import { Accounts } from '../accounts/contracts.ts'
import { AccountError } from '../accounts/errors.ts'
import type { Scope } from '../kernel/scope.ts'
import type { Store } from '../store/contracts.ts'
import { type Report, reportsStore } from './features/reports.store.ts'
import { Invites, type InviteWish, type MadeInvite } from './invites/invites.ts'

import { createRoomAdmin, type RoomAdmin } from './rooms/administration.ts'

export type * from './rooms/administration.ts'
export type { Report } from './features/reports.store.ts'
export type { InviteWish, MadeInvite } from './invites/invites.ts'

/** Methods reject with `AccountError`. */
export interface ChatAdmin {
  readonly rooms: RoomAdmin
  invite(wish: InviteWish): Promise<MadeInvite>
  /** Those that can be used still, newest first. */
  invites(): Promise<readonly MadeInvite[]>
  revoke(token: string): Promise<void>
  /** What users reported as spam or abuse, newest first, those before the number `before`. */
  reports(before?: number): Promise<readonly Report[]>
  /** Forgets a report, or all; tells how many there were. */
  forgetReport(id: number | 'all'): Promise<number>
}

const PAGE = 200

/** `generation` gives the scope of the newest generation of the config; it is asked at each call. */
export function createChatAdmin(store: Store, generation: () => Scope, { clock, random }: Scope): ChatAdmin {
  const accounts = (): Accounts => generation().use(Accounts)
  const book = (): Invites => new Invites(store, accounts(), clock, random)
  const reports = store.core(reportsStore)
  return {
    rooms: createRoomAdmin(generation),
    invite: (wish) => book().make(wish),
    invites: () => book().list(),
    revoke: (token) => book().revoke(token),
    reports: (before = Number.MAX_SAFE_INTEGER) => reports.list({ before, limit: PAGE }),
    async forgetReport(id) {
      const removed = await reports.remove({ id })
      if (removed === 0 && id !== 'all') throw new AccountError('not-found', `there is no report ${id}`)
      return removed
    },
  }
}
