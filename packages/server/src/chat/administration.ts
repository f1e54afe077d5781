// What an administrator does with chat, beside its commands for chat clients: for the command line and the web.

import { Jid } from '@aviso/xmpp'
import { type Account, Accounts } from '../accounts/contracts.ts'
import { AccountError } from '../accounts/errors.ts'
import type { Scope } from '../kernel/scope.ts'
import type { Store } from '../store/contracts.ts'
import { type PushAnswer, type PushRoom, pushRoom } from './features/push-room.ts'
import { pushStore } from './features/push.store.ts'
import { type Report, reportsStore } from './features/reports.store.ts'
import { Chat } from './core/contracts.ts'
import { createFilesAdmin, type FilesAdmin } from './files/administration.ts'
import { Files } from './files/shelf.ts'
import { relays } from './relay/relay.ts'
import { RuleDesk, type RuleTrial, tryRules } from './rules/desk.ts'
import { Invites, type InviteWish, type MadeInvite } from './invites/invites.ts'

import { createRoomAdmin, type RoomAdmin } from './rooms/administration.ts'

export type * from './rooms/administration.ts'
export type { RuleTrial } from './rules/desk.ts'
export type { Report } from './features/reports.store.ts'
export type { FileFinding, FilesExamination } from './files/doctor.ts'
export type { FileLine, FilesAdmin, FilesUsage } from './files/administration.ts'
export type { InviteWish, MadeInvite } from './invites/invites.ts'

/** Methods reject with `AccountError`. */
export interface ChatAdmin {
  readonly rooms: RoomAdmin
  invite(wish: InviteWish): Promise<MadeInvite>
  /** Those that can be used still, newest first. */
  invites(): Promise<readonly MadeInvite[]>
  revoke(token: string): Promise<void>
  /** The domains of services below a domain of accounts. Rejects where that is none that chats here. */
  services(domain: string): Promise<readonly string[]>
  /** What users reported as spam or abuse, newest first, those before the number `before`. */
  reports(before?: number): Promise<readonly Report[]>
  /** What the rules would do with a stanza; nothing is done. */
  tryRules(supposed: { readonly stanza: string; readonly from: string; readonly to: string }): Promise<RuleTrial>
  /** Forgets a report, or all; tells how many there were. */
  forgetReport(id: number | 'all'): Promise<number>
  readonly files: FilesAdmin
  /** A configuration for coturn, by which it is the relay for calls of a domain, or of the first one that has one. */
  relayConfig(domain?: string): Promise<string>
  /** The app servers that are told of an account's messages. */
  pushes(address: string): Promise<readonly PushTarget[]>
  /** Sends a notification to each of them, and waits for their answers. Only where `push` is on and the server runs. */
  testPushes(address: string): Promise<readonly (PushTarget & PushAnswer)[]>
  /** Forgets those at that address, or the one of that node; tells how many there were. */
  removePush(address: string, target: { readonly jid: string; readonly node?: string }): Promise<number>
}

/** A device's registration with its maker's app server. */
export interface PushTarget {
  readonly jid: string
  /** '' where none was named. */
  readonly node: string
}

const PAGE = 200

/** `rooms`, the scope of the newest generation, is asked at each call: a reload brings another. */
export function createChatAdmin(store: Store, rooms: () => Scope, { clock, random }: Scope): ChatAdmin {
  const accounts = (): Accounts => rooms().use(Accounts)
  const push = (): PushRoom => rooms().use(pushRoom)
  const owner = async (address: string): Promise<Account> => {
    const account = await accounts().byAddress(address)
    if (account === undefined) throw new AccountError('not-found', `there is no account ${address}`)
    return account
  }
  const book = (): Invites => new Invites(store, accounts(), clock, random)
  const reports = store.core(reportsStore)
  return {
    rooms: createRoomAdmin(rooms),
    invite: (wish) => book().make(wish),
    invites: () => book().list(),
    revoke: (token) => book().revoke(token),
    async services(domain) {
      const chat = rooms().use(Chat)
      if (!chat.isLocal(domain)) throw new AccountError('not-found', `the accounts of ${domain} do not chat here`)
      return chat.servicesBelow(domain)
    },
    files: createFilesAdmin(() => rooms().use(Files), accounts),
    async relayConfig(domain) {
      const relay = rooms().use(relays).of(domain)
      if (relay === undefined)
        throw new AccountError('not-found', 'no relay is set: chat.features.external-services.relay names its host')
      return relay.coturn()
    },
    reports: (before = Number.MAX_SAFE_INTEGER) => reports.list({ before, limit: PAGE }),
    tryRules: (supposed) => tryRules(rooms().find(RuleDesk), supposed),
    async forgetReport(id) {
      const removed = await reports.remove({ id })
      if (removed === 0 && id !== 'all') throw new AccountError('not-found', `there is no report ${id}`)
      return removed
    },
    async pushes(address) {
      const registrations = await store.account(pushStore, (await owner(address)).id).list()
      return registrations.map(({ jid, node }) => ({ jid, node }))
    },
    async testPushes(address) {
      const account = await owner(address)
      const work = push().of(account.domain)
      if (work === undefined) throw new AccountError('unavailable', 'push is switched off')
      const registrations = await store.account(pushStore, account.id).list()
      return Promise.all(
        registrations.map(async (registration) => {
          const { jid, node } = registration
          return { jid, node, ...(await work.test(account, registration)) }
        }),
      )
    },
    async removePush(address, { jid, node }) {
      const account = await owner(address)
      const registrations = store.account(pushStore, account.id)
      const before = await registrations.list()
      const left = await registrations.disable({ jid: Jid.tryParse(jid)?.toString() ?? jid, node })
      push().of(account.domain)?.know(account, left)
      if (left.length === before.length)
        throw new AccountError('not-found', `${address} has no such registration at ${jid}`)
      return before.length - left.length
    },
  }
}
