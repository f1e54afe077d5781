// The mail rooms of one generation: mailboxes, queue, targets, and the ways that mail comes in.

import type { AccountRooms } from '../accounts/rooms.ts'
import { Accounts } from '../accounts/contracts.ts'
import { Tables } from '../accounts/tables/contracts.ts'
import type { Chosen } from '../kernel/config/modules.ts'
import { type Scope, serviceKey } from '../kernel/scope.ts'
import { Resolver } from '../net/dns/contracts.ts'
import { Store } from '../store/contracts.ts'
import type { MailConfig } from './config.ts'
import { Keyring, Keys } from './keys/keyring.ts'
import { openAppendLimits } from './mailboxes/append-limits.ts'
import { Mailboxes, openMailboxes } from './mailboxes/mailboxes.ts'
import type { MailCheck, MailModifier } from './pipeline/contracts.ts'
import { openLimits } from './pipeline/limits.ts'
import { Pipeline } from './pipeline/pipeline.ts'
import type { NamedModifier, NamedTarget } from './pipeline/routes.ts'
import type { NamedCheck } from './pipeline/stage.ts'
import { makeRoutes, type RouteParts } from './routes-config.ts'
import { MailSettings } from './settings.ts'
import { openStories, Stories } from './stories/stories.ts'
import { openFilter } from './targets/filter.ts'
import { MailboxTarget } from './targets/mailbox.ts'
import { PipelineTarget } from './targets/pipeline.ts'
import { openRemote } from './targets/remote/remote.ts'
import { TlsResults } from './targets/remote/tls-results.ts'
import { openQueue, QueueRoom } from './targets/queue/queue.ts'

/** The pipelines that mail is handed to. */
export interface Pipelines {
  /** From other servers. */
  readonly incoming: Pipeline
  /** From our own accounts. */
  readonly outgoing: Pipeline
  /** From the server itself. */
  readonly local: Pipeline
}

export const Pipelines = serviceKey<Pipelines>('mail-pipelines')

export interface OpenedMail {
  /** Works the queue from now on, until the scope closes or a newer generation does it. */
  begin(): void
}

/** Opens the mail rooms until `scope` closes, and provides `Mailboxes`, `MailSettings`, `Stories`, `QueueRoom`, `TlsResults` and `Pipelines` in it. */
export async function openMail(
  scope: Scope,
  config: MailConfig,
  hostname: string,
  rooms: AccountRooms,
): Promise<OpenedMail> {
  const store = scope.use(Store)
  const accounts = scope.use(Accounts)
  scope.provide(MailSettings, { hostname, maxMessageSize: config['max-message-size'] })
  const { storage, messages, mailboxes: most } = config.quota
  const mailboxes = openMailboxes(scope, store, {
    appendLimit: config['max-message-size'],
    appendLimits: await openAppendLimits(scope, store),
    neighbours: accounts,
    limits: { octets: storage, messages, mailboxes: most },
  })
  scope.provide(Mailboxes, mailboxes)
  scope.defer(rooms.register(mailboxes.room))
  const stories = scope.provide(Stories, openStories(scope.child('mail.stories'), store, config.stories))
  const { filter } = config
  const local = new MailboxTarget(
    mailboxes,
    filter === undefined ? undefined : openFilter(scope.child('mail.filter'), filter),
  )
  scope.provide(Keys, new Keyring(scope.child('mail.keys'), store))
  const queue = await openQueue(scope.child('mail.queue'), store, {
    config: config.queue,
    isLocal: (domain) => accounts.isLocal(domain),
  })
  scope.provide(QueueRoom, queue)

  const targets = new Map<string, NamedTarget>()
  const named = (key: string, target: NamedTarget['target']): NamedTarget => {
    const one = { key, target }
    targets.set(key, one)
    return one
  }
  const mailbox = named('mailbox', local)
  const { target, results } = openRemote(scope.child('mail.remote'), {
    config: config.remote,
    hostname,
    resolver: scope.use(Resolver),
    store,
  })
  scope.provide(TlsResults, results)
  const remote = named('remote', target)
  for (const { key, module, config: own } of config.targets)
    named(key, await module.create(own, scope.child(`mail.targets.${key}`)))
  const pipelines = new Map<string, Pipeline>()
  for (const name of Object.keys(config.pipelines))
    named(`pipeline/${name}`, new PipelineTarget(() => pipelines.get(name)))

  const open = async (
    name: string,
    { checks, modifiers, routes, limits }: MailConfig['incoming'],
    relay: boolean,
  ): Promise<Pipeline> => {
    const inner = scope.child(`mail.${name}`)
    const parts: RouteParts = {
      tables: scope.use(Tables),
      target: (key) => targets.get(key),
      checks: (chosen, place) => makeChecks(inner.child(place), chosen),
      modifiers: (chosen, place) => makeModifiers(inner.child(place), chosen),
    }
    return new Pipeline(inner, {
      name,
      hostname,
      checks: await makeChecks(inner, checks),
      modifiers: await makeModifiers(inner, modifiers),
      routes: await makeRoutes(routes, parts),
      relay,
      accounts,
      mailbox,
      remote,
      queue,
      stories,
      limits: openLimits(inner, limits),
    })
  }
  for (const [name, own] of Object.entries(config.pipelines)) pipelines.set(name, await open(name, own, true))
  const ways = scope.provide(Pipelines, {
    incoming: await open('incoming', config.incoming, false),
    outgoing: await open('outgoing', config.outgoing, false),
    local: await open('local', config.local, true),
  })
  // Taken last, given back first: what is under way needs its targets.
  const work = scope.child('mail.queue.work')
  return {
    begin: () =>
      queue.begin(work, {
        accounts,
        stories,
        hostname,
        target: (key) => targets.get(key)?.target,
        local: () => ways.local,
      }),
  }
}

const makeChecks = (scope: Scope, chosen: readonly Chosen<MailCheck>[]): Promise<NamedCheck[]> =>
  createAll(scope, 'checks', chosen, (name, check) => ({ name, check }))

const makeModifiers = (scope: Scope, chosen: readonly Chosen<MailModifier>[]): Promise<NamedModifier[]> =>
  createAll(scope, 'modifiers', chosen, (name, modifier) => ({ name, modifier }))

async function createAll<Instance, Made>(
  scope: Scope,
  place: string,
  chosen: readonly Chosen<Instance>[],
  as: (key: string, instance: Instance) => Made,
): Promise<Made[]> {
  const made: Made[] = []
  for (const { key, module, config } of chosen)
    made.push(as(key, await module.create(config, scope.child(`${place}.${key}`))))
  return made
}
