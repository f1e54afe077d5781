// The chat rooms of one generation: the core and its features.

import type { Chosen } from '../kernel/config/modules.ts'
import type { Scope } from '../kernel/scope.ts'
import type { ChatConfig } from './config.ts'
import { Chat, type ChatFeature } from './core/contracts.ts'
import { openCore } from './core/core.ts'
import { RoomHalls } from './rooms/administration.ts'
import { Domains } from './core/domains.ts'
import { type HostSettings, limitsOf } from './core/settings.ts'
import { Web } from '../net/web/contracts.ts'
import { webConnections, WebConnections } from './endpoints/web-connections.ts'
import { RuleDesk } from './rules/desk.ts'
import { openFileDoor } from './files/door.ts'
import { Files, Shelf } from './files/shelf.ts'
import { PushRoom, pushRoom } from './features/push-room.ts'
import { Relays, relays } from './relay/relay.ts'
import { openS2s } from './s2s/s2s.ts'

/** Opens chat until `scope` closes, and provides `Chat` in it. Call what it returns when the whole generation is up: sessions then use it, and when it has resolved clients may come. */
export async function openChat(
  scope: Scope,
  { features, hosts, s2s, files, ...limits }: ChatConfig,
): Promise<() => Promise<void>> {
  const settings = Object.entries(hosts).map(([domain, own]): [string, HostSettings] => [
    domain,
    {
      enabled: own.enabled,
      guests: own.guests ? { most: own['max-guests'], perAddress: own['guests-per-address'] } : undefined,
      limits: limitsOf(own, limits),
    },
  ])
  const core = await openCore(scope, limits, new Map(settings))
  scope.provide(Chat, core)
  scope.provide(RoomHalls, new Map())
  scope.provide(RuleDesk, new Set())
  scope.provide(pushRoom, new PushRoom())
  scope.provide(relays, new Relays())
  const shelf = scope.provide(Files, new Shelf(scope.child('chat.files'), files))
  const web = scope.find(Web)
  if (web !== undefined) scope.provide(webConnections, new WebConnections(web))
  if (web !== undefined) openFileDoor(scope.child('chat.files.door'), web, shelf)
  if (s2s.enabled) await openS2s(scope, s2s)
  for (const { name, chosen, domains } of instances(features, withoutAccounts(hosts))) {
    const inner = scope.child(`chat.${name}`)
    if (domains !== undefined) inner.provide(Domains, domains)
    await chosen.module.create(chosen.config, inner)
  }
  return () => core.begin()
}

interface Instance {
  /** For the log. */
  readonly name: string
  readonly chosen: Chosen<ChatFeature>
  /** Undefined: all. */
  readonly domains: Domains | undefined
}

/** Where everybody is a guest there is nothing to register, and no account to look after. */
const FOR_ACCOUNTS = ['registration', 'account-management', 'invites'] as const

const withoutAccounts = (hosts: ChatConfig['hosts']): ChatConfig['hosts'] =>
  Object.fromEntries(
    Object.entries(hosts).map(([domain, host]) => {
      if (!host.guests) return [domain, host]
      const off = FOR_ACCOUNTS.map((name) => [name, undefined] as const)
      return [domain, { ...host, features: new Map([...host.features, ...off]) }]
    }),
  )

/** Each feature once for all domains without other settings for it, and once for each of those. */
function* instances(features: readonly Chosen<ChatFeature>[], hosts: ChatConfig['hosts']): Iterable<Instance> {
  const own = new Map<string, Set<string>>()
  for (const [domain, host] of Object.entries(hosts))
    for (const key of host.features.keys()) own.set(key, (own.get(key) ?? new Set()).add(domain))
  for (const chosen of features) {
    const others = own.get(chosen.key)
    const domains = others && { covers: (domain: string): boolean => !others.has(domain) }
    yield { name: chosen.key, chosen, domains }
  }
  for (const [domain, host] of Object.entries(hosts))
    for (const [key, chosen] of host.features)
      if (chosen !== undefined)
        yield { name: `${key}@${domain}`, chosen, domains: { covers: (other) => other === domain } }
}
