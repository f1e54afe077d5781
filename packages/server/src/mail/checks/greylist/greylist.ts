// RFC 6647: greylisting. Who is new is asked to come again; spam programs rarely do.

import { createHash } from 'node:crypto'
import * as v from 'valibot'
import { canonical } from '../../../accounts/address.ts'
import { Accounts } from '../../../accounts/contracts.ts'
import { isLoopback } from '../../../accounts/neighbourhood.ts'
import { duration } from '../../../kernel/units.ts'
import { AddressSet, networkRange } from '../../../net/addresses.ts'
import { networkOf } from '../../../net/networks.ts'
import { type Calls, Store } from '../../../store/contracts.ts'
import { accept, defer, type Mail, mailCheck, type Recipient, type Verdict } from '../../pipeline/contracts.ts'
import { type Entry, type EntryKind, greylistStore } from './greylist.store.ts'

const count = (least: number, most: number, fallback: number, what: string) =>
  v.optional(v.pipe(v.number(), v.integer(), v.minValue(least), v.maxValue(most), v.description(what)), fallback)

const schema = v.strictObject({
  delay: v.pipe(duration('5m'), v.description('how long somebody new has to wait')),
  'retry-within': v.pipe(duration('2d'), v.description('who has not come again by then is new again')),
  remember: v.pipe(duration('36d'), v.description('how long is remembered who has passed; each mail begins it anew')),
  'friends-for': v.pipe(
    duration('180d'),
    v.description('how long those pass at once whom an account has written to; needs this check in mail.outgoing too'),
  ),
  'hosts-after': count(0, 1000, 3, 'a network that passed so often passes with any mail; 0: never'),
  'ipv4-network': count(8, 32, 24, 'bits of an IPv4 address that count: large senders try again from another one'),
  'ipv6-network': count(32, 128, 64, 'bits of an IPv6 address that count'),
  exempt: v.optional(v.pipe(v.array(networkRange), v.description('addresses and networks that never wait')), []),
  'exempt-spf-pass': v.optional(
    v.pipe(v.boolean(), v.description('mail for which the check spf, in the same place, said pass never waits')),
    false,
  ),
  'max-entries': count(
    1000,
    10_000_000,
    500_000,
    'what is remembered at most; what would be forgotten next goes first',
  ),
})
type Settings = v.InferOutput<typeof schema>

export const greylist = mailCheck({
  name: 'greylist',
  summary:
    'Asks who is new to try again in a few minutes. In mail.outgoing it remembers whom our accounts write to: they need not wait.',
  config: schema,

  create(config, scope) {
    const memory = new Memory(scope.use(Store).core(greylistStore), config, () => scope.clock.now())
    const accounts = scope.use(Accounts)
    const exempt = new AddressSet(config.exempt)

    return {
      async recipient(mail, recipient): Promise<Verdict> {
        const { remoteAddress, account } = mail.client
        if (account !== undefined) return accept()
        if (remoteAddress === '' || isLoopback(remoteAddress) || exempt.has(remoteAddress)) return accept('exempt')
        if (config['exempt-spf-pass'] && mail.results.some((result) => result.startsWith('spf=pass')))
          return accept('SPF passes')
        return memory.judge(mail, recipient)
      },

      async content({ client, recipients, reversePath, simulated }): Promise<Verdict> {
        // Whoever our accounts write to will answer, and shall not wait.
        if (client.account === undefined || simulated || reversePath === null) return accept()
        const us = reversePath.toString()
        const friends = recipients
          .filter(({ address }) => !accounts.isLocal(address.domain))
          .map(({ address }) => friend(us, address.toString()))
        if (friends.length > 0) await memory.befriend(friends)
        return accept()
      },
    }
  },
})

class Memory {
  readonly #store: Calls<typeof greylistStore.operations>
  readonly #config: Settings
  readonly #now: () => number

  constructor(store: Calls<typeof greylistStore.operations>, config: Settings, now: () => number) {
    this.#store = store
    this.#config = config
    this.#now = now
  }

  async judge({ client, reversePath, simulated }: Mail, { address }: Recipient): Promise<Verdict> {
    const { delay, 'retry-within': within, remember, 'hosts-after': hostsAfter, ...config } = this.#config
    const network = networkOf(client.remoteAddress, config['ipv4-network'], config['ipv6-network'])
    const sender = reversePath === null ? '' : spelled(reversePath.toString())
    const to = spelled(address.toString())
    const triplet = entry('triplet', network, sender, to)
    const host = entry('host', network)
    const [known, passedHost, friends] = await this.#store.look({ entries: [triplet, host, friend(to, sender)] })
    const write = async (...entries: readonly (Entry & { passed: number; keep: number })[]): Promise<void> => {
      if (!simulated) await this.#store.remember({ entries, most: config['max-entries'] })
    }
    const now = this.#now()
    /** Times are moved on at most once a day: a busy host costs no write for each mail. */
    const stale = ({ expires }: { readonly expires: number }): boolean =>
      expires - now < remember - Math.min(DAY, remember / 2)

    if (friends !== undefined && sender !== '') return accept('an account wrote to the sender before')
    if (hostsAfter > 0 && passedHost !== undefined && passedHost.passed >= hostsAfter) {
      if (stale(passedHost)) await write({ ...host, passed: 0, keep: remember })
      return accept('the host has passed before')
    }
    if (known === undefined) {
      await write({ ...triplet, passed: 0, keep: within })
      return later(delay, 'new here')
    }
    const left = known.first + delay - now
    if (known.passed === 0 && left > 0) return later(left, 'came again too early')
    if (known.passed === 0)
      await write({ ...triplet, passed: 1, keep: remember }, { ...host, passed: 1, keep: remember })
    else if (stale(known)) await write({ ...triplet, passed: 0, keep: remember })
    return accept(known.passed === 0 ? 'came again' : 'known')
  }

  async befriend(friends: readonly Entry[]): Promise<void> {
    const keep = this.#config['friends-for']
    const known = await this.#store.look({ entries: friends })
    const now = this.#now()
    const news = friends.filter((_one, i) => (known[i]?.expires ?? 0) - now < keep - Math.min(DAY, keep / 2))
    if (news.length === 0) return
    await this.#store.remember({
      entries: news.map((one) => ({ ...one, passed: 0, keep })),
      most: this.#config['max-entries'],
    })
  }
}

const DAY = 86_400_000

const friend = (ours: string, theirs: string): Entry => entry('friend', spelled(ours), spelled(theirs))

/** Some senders put a new number into each reverse-path (VERP, SRS): digits do not count, or each mail would be new. */
const spelled = (address: string): string => (canonical(address) ?? address).replace(/\d+(?=.*@)/g, '#')

function entry(kind: EntryKind, ...parts: readonly string[]): Entry {
  return { kind, key: createHash('sha256').update(parts.join('\0')).digest().subarray(0, 16) }
}

function later(ms: number, why: string): Verdict {
  const seconds = Math.max(1, Math.ceil(ms / 1000))
  return { ...defer(451, '4.7.1', `You are new here: please try again in ${seconds} seconds`), why }
}
