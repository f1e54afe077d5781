// What the command line asks of a server: the same operations whether one runs (over the control socket) or not (on the opened store).

import type { AccountAdmin, ImportReport } from '../accounts/administration.ts'
import type { Role } from '../accounts/contracts.ts'
import type { ChatAdmin, InviteWish, RoomAdmin } from '../chat/administration.ts'
import { ConfigError } from '../kernel/config/load.ts'
import type { AuthenticationAdmin } from '../mail/authentication-admin.ts'
import type { MailAdmin } from '../mail/administration.ts'
import type { Mailboxes } from '../mail/mailboxes/mailboxes.ts'
import type { Submission, Supposed, TransportAdmin } from '../mail/transport.ts'
import type { QueueAction, QueueAdmin, QueueFilter } from '../mail/targets/queue/admin.ts'
import { StartError } from '../net/start-error.ts'
import { authenticationOperations } from './authentication-operations.ts'
import { mailOperations } from './mail-operations.ts'

/** What operations work on. `running` is undefined where no server runs. */
export interface AdminContext {
  readonly accounts: AccountAdmin
  readonly mail: MailAdmin
  readonly chat: ChatAdmin
  readonly running: RunningServer | undefined
  importRosters(entries: readonly RosterLine[]): Promise<number>
  readonly queue: QueueAdmin
  readonly mailboxes: Mailboxes
  readonly transport: TransportAdmin
  readonly authentication: AuthenticationAdmin
}

/** What only a running server can tell or do. */
export interface RunningServer {
  status(): Promise<unknown>
  reload(): Promise<void>
  /** Begins to stop; does not wait for the end. */
  stop(): void
}

export interface RosterLine {
  readonly account: string
  readonly contact: string
  readonly name: string
}

/** A limit of one account: `none`, `default` (what the config says), or a number. */
export type QuotaLimit = number | 'none' | 'default'

export interface QuotaLine {
  readonly used: number
  /** Undefined: no limit. */
  readonly limit: number | undefined
  /** True when the limit is this account's own. */
  readonly own: boolean
}

type Handler<Args, Result> = (context: AdminContext, args: Args) => Promise<Result>
const operation = <Args, Result>(handler: Handler<Args, Result>): Handler<Args, Result> => handler

function needed(running: RunningServer | undefined): RunningServer {
  if (running === undefined) throw new OperationError('unavailable', 'no server runs on this data folder')
  return running
}

/** Every operation, by the name under which it crosses the control socket. Arguments and results are JSON. */
export const operations = {
  'account.add': operation(
    ({ accounts }, args: { readonly address: string; readonly password: string; readonly role: Role }) =>
      accounts.createAccount(args),
  ),
  'account.import': operation(
    async (
      { accounts },
      args: {
        readonly accounts: readonly { readonly address: string; readonly password: string; readonly role?: Role }[]
      },
    ): Promise<ImportReport> => accounts.importAccounts(args.accounts),
  ),
  'account.list': operation(
    ({ accounts }, args: { readonly domain?: string; readonly after?: string; readonly limit?: number }) =>
      accounts.listAccounts(args),
  ),
  'account.show': operation(({ accounts }, args: { readonly address: string }) => accounts.showAccount(args.address)),
  'account.password': operation(({ accounts }, args: { readonly address: string; readonly password: string }) =>
    accounts.setPassword(args.address, args.password),
  ),
  'account.clients': operation(({ accounts }, args: { readonly address: string }) =>
    accounts.listClients(args.address),
  ),
  'account.revoke-clients': operation(
    async ({ accounts }, args: { readonly address: string; readonly client?: string }) => ({
      revoked: await accounts.revokeClients(args.address, args.client),
    }),
  ),
  'account.role': operation(({ accounts }, args: { readonly address: string; readonly role: Role }) =>
    accounts.setRole(args.address, args.role),
  ),
  'account.roles': operation(async ({ accounts }, _args: undefined) => accounts.listRoles()),
  'account.disable': operation(({ accounts }, args: { readonly address: string }) =>
    accounts.disableAccount(args.address),
  ),
  'account.enable': operation(({ accounts }, args: { readonly address: string }) =>
    accounts.enableAccount(args.address),
  ),
  /** Storage in octets. */
  'account.quota': operation(
    async (
      { accounts, mailboxes, mail },
      args: {
        readonly address: string
        readonly change: {
          readonly storage?: QuotaLimit
          readonly messages?: QuotaLimit
          readonly mailboxes?: QuotaLimit
          /** Of one message. */
          readonly message?: number | 'default'
        }
      },
    ) => {
      const { id } = await accounts.showAccount(args.address)
      const { storage, message, ...change } = args.change
      const usage =
        storage === undefined && Object.keys(change).length === 0
          ? await mailboxes.quota(id)
          : await mailboxes.setQuota(id, storage === undefined ? change : { ...change, octets: storage })
      const line = (name: 'octets' | 'messages' | 'mailboxes'): QuotaLine => ({
        used: usage[name],
        limit: usage.limits[name],
        own: usage.own[name],
      })
      const { octets, own } = await mail.messageLimit(args.address, undefined, message)
      return {
        storage: line('octets'),
        messages: line('messages'),
        mailboxes: line('mailboxes'),
        message: { limit: octets, own },
      }
    },
  ),
  'account.delete': operation(({ accounts }, args: { readonly address: string }) =>
    accounts.deleteAccount(args.address),
  ),
  'domain.add': operation(({ accounts }, args: { readonly name: string }) => accounts.addDomain(args.name)),
  'domain.remove': operation(({ accounts }, args: { readonly name: string }) => accounts.removeDomain(args.name)),
  'domain.list': operation(({ accounts }) => accounts.listDomains()),
  'alias.add': operation(({ accounts }, args: { readonly address: string; readonly targets: readonly string[] }) =>
    accounts.addAlias(args.address, args.targets),
  ),
  'alias.remove': operation(({ accounts }, args: { readonly address: string; readonly targets?: readonly string[] }) =>
    accounts.removeAlias(args.address, args.targets),
  ),
  'alias.list': operation(
    ({ accounts }, args: { readonly domain?: string; readonly after?: string; readonly limit?: number }) =>
      accounts.listAliases(args),
  ),
  'roster.import': operation(({ importRosters }, args: { readonly entries: readonly RosterLine[] }) =>
    importRosters(args.entries),
  ),
  'invite.make': operation(({ chat }, args: InviteWish) => chat.invite(args)),
  'invite.list': operation(({ chat }) => chat.invites()),
  'invite.revoke': operation(({ chat }, args: { readonly token: string }) => chat.revoke(args.token)),
  'chat.reports': operation(({ chat }, args: { readonly before?: number }) => chat.reports(args.before)),
  'chat.forget-report': operation(({ chat }, args: { readonly id: number | 'all' }) => chat.forgetReport(args.id)),
  'room.list': operation(({ chat }, args: Parameters<RoomAdmin['list']>[0]) => chat.rooms.list(args)),
  'room.show': operation(({ chat }, args: { readonly address: string }) => chat.rooms.show(args.address)),
  'room.create': operation(({ chat }, args: Parameters<RoomAdmin['create']>[0]) => chat.rooms.create(args)),
  'room.destroy': operation(({ chat }, args: Parameters<RoomAdmin['destroy']>[0]) => chat.rooms.destroy(args)),
  'room.config': operation(({ chat }, args: Parameters<RoomAdmin['configure']>[0]) => chat.rooms.configure(args)),
  'room.affiliation': operation(({ chat }, args: Parameters<RoomAdmin['affiliate']>[0]) => chat.rooms.affiliate(args)),
  'room.messages': operation(({ chat }, args: Parameters<RoomAdmin['messages']>[0]) => chat.rooms.messages(args)),
  'room.import': operation(({ chat }, args: Parameters<RoomAdmin['import']>[0]) => chat.rooms.import(args)),
  'room.import-messages': operation(({ chat }, args: Parameters<RoomAdmin['importMessages']>[0]) =>
    chat.rooms.importMessages(args),
  ),
  'chat.try-rules': operation(
    ({ chat }, args: { readonly stanza: string; readonly from: string; readonly to: string }) => chat.tryRules(args),
  ),
  'chat.pushes': operation(({ chat }, args: { readonly address: string }) => chat.pushes(args.address)),
  'chat.test-pushes': operation(async ({ chat, running }, args: { readonly address: string }) => {
    needed(running)
    return chat.testPushes(args.address)
  }),
  'chat.remove-push': operation(
    ({ chat }, { address, ...target }: { readonly address: string; readonly jid: string; readonly node?: string }) =>
      chat.removePush(address, target),
  ),
  'files.list': operation(
    ({ chat }, args: { readonly address?: string; readonly before?: number; readonly limit?: number }) =>
      chat.files.list(args),
  ),
  'chat.services': operation(({ chat }, { domain }: { readonly domain: string }) => chat.services(domain)),
  'files.examine': operation(({ chat }, args: { readonly address: string; readonly repair: boolean }) =>
    chat.files.examine(args.address, args.repair),
  ),
  'files.usage': operation(({ chat }, args: { readonly address?: string }) => chat.files.usage(args.address)),
  'files.delete': operation(
    async (
      { chat },
      args: { readonly ids: readonly string[] } | { readonly address: string },
    ): Promise<{ readonly deleted: number }> => ({
      deleted: 'address' in args ? await chat.files.deleteAll(args.address) : await chat.files.delete(args.ids),
    }),
  ),
  'turn.config': operation(async ({ chat }, args: { readonly domain?: string }) => ({
    text: await chat.relayConfig(args.domain),
  })),
  ...mailOperations,
  'mail.origin': operation(async ({ transport }) => ({ domain: transport.origin() })),
  /** The message in base64, or the token under which its pieces went ahead. */
  'mail.send': operation(
    (
      { transport, mail },
      {
        content,
        ...envelope
      }: Omit<Submission, 'message'> & { readonly content: string | { readonly staged: string } },
    ) =>
      transport.send({
        ...envelope,
        message: typeof content === 'string' ? Buffer.from(content, 'base64') : mail.staged(content.staged),
      }),
  ),
  ...authenticationOperations,
  'mail.explain': operation(({ transport }, args: { readonly idOrAddress: string; readonly limit: number }) =>
    transport.explain(args.idOrAddress, args.limit),
  ),
  /** The message in base64. */
  'mail.simulate': operation(
    ({ transport }, { message, ...mail }: Omit<Supposed, 'message'> & { readonly message?: string }) =>
      transport.simulate(message === undefined ? mail : { ...mail, message: Buffer.from(message, 'base64') }),
  ),
  /** The first thousand, or `limit`. */
  'queue.list': operation(({ queue }, args: { readonly filter?: QueueFilter; readonly limit?: number } | undefined) =>
    queue.list(args?.filter ?? {}, args?.limit ?? 1000),
  ),
  'queue.change': operation(
    async (
      { queue },
      args: { readonly action: QueueAction; readonly filter: QueueFilter; readonly tell?: boolean },
    ): Promise<{ readonly changed: number }> => ({
      changed: await queue.change(args.action, args.filter, args.tell === true),
    }),
  ),
  'queue.figures': operation(({ queue }) => queue.figures()),
  status: operation(async ({ running }) => needed(running).status()),
  reload: operation(async ({ running }) => needed(running).reload()),
  stop: operation(async ({ running }) => needed(running).stop()),
} as const

export type OperationName = keyof typeof operations
export type ArgumentsOf<Name extends OperationName> = Parameters<(typeof operations)[Name]>[1]
export type ResultOf<Name extends OperationName> = Awaited<ReturnType<(typeof operations)[Name]>>

/** Asks for operations, wherever they run. Rejects with `OperationError`. */
export interface Admin {
  ask<Name extends OperationName>(name: Name, args: ArgumentsOf<Name>): Promise<ResultOf<Name>>
  /** True when a running server answers. */
  readonly running: boolean
  close(): Promise<void>
}

/** The codes that commands understand: those of the rooms, `config` and `start` for a reload that failed. */
const CODES: ReadonlySet<unknown> = new Set([
  'not-found',
  'exists',
  'in-use',
  'invalid',
  'limit',
  'unavailable',
  'disk-full',
])

function codeOf(error: unknown): string {
  if (error instanceof ConfigError) return 'config'
  if (error instanceof StartError) return 'start'
  const code: unknown = error instanceof Error && 'code' in error ? error.code : undefined
  return typeof code === 'string' && CODES.has(code) ? code : 'internal'
}

/** An operation that failed. `code` is what the room gave it (`not-found`, `exists`, `invalid` ...), `config`, `start`, or `internal`. */
export class OperationError extends Error {
  readonly code: string
  constructor(code: string, message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = 'OperationError'
    this.code = code
  }
}

/** Runs an operation here. */
export async function runOperation(context: AdminContext, name: string, args: unknown): Promise<unknown> {
  if (!Object.hasOwn(operations, name))
    throw new OperationError(
      'invalid',
      `there is no operation '${name}': is the running server of another version than this command?`,
    )
  const handler = operations[name as OperationName] as Handler<unknown, unknown>
  try {
    return await handler(context, args)
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error)
    throw new OperationError(codeOf(error), message, { cause: error })
  }
}
