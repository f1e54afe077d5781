// RFC 5782: lists of good and bad addresses and domains in the DNS, each with a score

import { isIP } from 'node:net'
import { normaliseDomain } from '@aviso/mime'
import * as v from 'valibot'
import { isLoopback } from '../../../accounts/neighbourhood.ts'
import { duration } from '../../../kernel/units.ts'
import { AddressSet, networkRange, plainAddress } from '../../../net/addresses.ts'
import { DnsError, Resolver } from '../../../net/dns/contracts.ts'
import { type Client, finding, type Mail, mailCheck, type Verdict } from '../../pipeline/contracts.ts'
import { action, carryOut, type Reply } from '../action.ts'
import { type Listing, Zone } from './zone.ts'

const score = (what: string) => v.pipe(v.number(), v.finite(), v.description(what))
const responses = (what: string) => v.pipe(v.array(networkRange), v.minLength(1), v.description(what))
const flag = (fallback: boolean, what: string) => v.optional(v.pipe(v.boolean(), v.description(what)), fallback)

const zone = v.strictObject({
  score: v.optional(score('what a listing is worth; below 0 for a list of good ones'), 1),
  responses: v.optional(responses('answers that mean: listed'), ['127.0.0.0/24']),
  text: v.optional(v.pipe(v.string(), v.description('the reason, in the place of the one that the list gives'))),
  'by-response': v.optional(
    v.pipe(
      v.array(
        v.strictObject({
          responses: responses('answers'),
          score: score('what they are worth'),
          text: v.optional(v.string()),
        }),
      ),
      v.description('answers that are worth something else; with these, score and responses above do not count'),
    ),
  ),
  'client-ipv4': flag(true, "look up the client's address, where that is IPv4"),
  'client-ipv6': flag(true, "look up the client's address, where that is IPv6"),
  hello: flag(false, 'look up the name in EHLO'),
  sender: flag(false, 'look up the sender domain'),
  timeout: v.pipe(duration('5s'), v.description('how long one answer may take')),
})

export const dnsbl = mailCheck({
  name: 'dnsbl',
  summary: 'Looks the client up in lists of known spammers (or of known good senders), and adds up what they say.',
  config: v.strictObject({
    zones: v.pipe(
      v.record(
        v.pipe(
          v.string(),
          v.check((text) => normaliseDomain(text) !== undefined, 'expected a domain'),
        ),
        zone,
      ),
      v.description('the lists, by their domains'),
    ),
    'quarantine-at': v.optional(score('quarantine mail whose score is this or more'), 1),
    'reject-at': v.optional(score('refuse mail whose score is this or more; not set: none is refused')),
    'dns-failure': action('defer', 'a list that could change the outcome does not answer'),
    'test-every': v.pipe(
      duration('1h'),
      v.minValue(1000),
      v.description('how often each list is asked for its test entries; one that fails the test is left out'),
    ),
  }),

  create(config, scope) {
    const resolver = scope.use(Resolver)
    const house = new Lists(
      Object.entries(config.zones).map(
        ([name, own]) =>
          new Zone(
            {
              zone: normaliseDomain(name) ?? name,
              rules: (own['by-response'] ?? [own]).map((rule) => ({
                responses: new AddressSet(rule.responses),
                score: rule.score,
                text: rule.text,
              })),
              ipv4: own['client-ipv4'],
              ipv6: own['client-ipv6'],
              hello: own.hello,
              sender: own.sender,
              timeout: own.timeout,
            },
            resolver,
            scope.clock,
          ),
      ),
    )
    const examine = async (): Promise<void> => {
      for (const { zone: name, fault } of await house.examine())
        scope.log.error({ zone: name, reason: fault }, 'a list in the DNS is left out until it works')
    }
    // Not waited for: a server starts without the DNS too.
    scope.timeout(0, examine)
    scope.interval(config['test-every'], examine)

    const rejectAt = config['reject-at'] ?? Infinity
    return {
      async sender(mail): Promise<Verdict> {
        if (mail.client.remoteAddress === '') return { action: 'accept' }
        const { listings, failures } = await house.ask(mail, scope.name)
        const sum = listings.reduce((total, one) => total + one.score, 0)
        const least = failures.reduce((total, { range }) => total + range[0], sum)
        const most = failures.reduce((total, { range }) => total + range[1], sum)
        const open = (limit: number): boolean => least < limit && most >= limit
        if (
          config['dns-failure'].action !== 'accept' &&
          (open(rejectAt) || (least < rejectAt && open(config['quarantine-at'])))
        ) {
          const why = `no answer from ${failures.map(({ zone: name }) => name).join(', ')}`
          return carryOut(config['dns-failure'], LATER, why)
        }
        if (sum < config['quarantine-at'] && sum < rejectAt) return { action: 'accept', why: told(sum, listings) }
        const reasons = await house.reasons(listings)
        const chosen = sum >= rejectAt ? 'reject' : 'quarantine'
        return carryOut({ action: chosen }, listed(mail.client, reasons), told(sum, reasons))
      },
    }
  },
})

const LATER: Reply = {
  reject: [554, '5.7.0'],
  defer: [451, '4.7.0'],
  text: 'Your address cannot be looked up in our lists now, please try again later',
}

const listed = (client: Client, listings: readonly Listing[]): Reply => ({
  reject: [554, '5.7.0'],
  defer: [451, '4.7.0'],
  text: `${plainAddress(client.remoteAddress)} is listed by ${listings
    .filter(({ score: worth }) => worth > 0)
    .map(({ zone: name, text }) => (text === undefined ? name : `${name} (${text})`))
    .join(', ')
    .slice(0, 400)}`,
})

const told = (sum: number, listings: readonly Listing[]): string =>
  listings.length === 0
    ? 'listed nowhere'
    : `score ${sum}: ${listings.map(({ zone: name, score: worth, text }) => `${name} ${worth}${text === undefined ? '' : ` (${text})`}`).join(', ')}`

/** The lists of one check. */
class Lists {
  readonly #zones: readonly Zone[]
  readonly #broken = new Set<Zone>()

  constructor(zones: readonly Zone[]) {
    this.#zones = zones
  }

  /** Tests all lists; those that fail are left out from here on, the others are in again. Resolves with those that failed and had not before. */
  async examine(): Promise<readonly { readonly zone: string; readonly fault: string }[]> {
    const faults: { zone: string; fault: string }[] = []
    await Promise.all(
      this.#zones.map(async (zone) => {
        // A list that does not answer is no broken one: mail waits for it.
        const fault = await zone.examine().catch(() => undefined)
        if (fault === undefined) this.#broken.delete(zone)
        else if (!this.#broken.has(zone)) {
          this.#broken.add(zone)
          faults.push({ zone: zone.options.zone, fault })
        }
      }),
    )
    return faults
  }

  /** What all lists say, side by side. The client's part is asked once a session. */
  async ask(
    { client, reversePath }: Mail,
    name: string,
  ): Promise<{
    readonly listings: readonly Listing[]
    readonly failures: readonly { readonly zone: string; readonly range: readonly [number, number] }[]
  }> {
    const listings: Listing[] = []
    const failures: { zone: string; range: readonly [number, number] }[] = []
    const address = plainAddress(client.remoteAddress)
    const outside = isIP(address) !== 0 && !isLoopback(address)
    const hello = domainOf(client.hello)
    const sender = reversePath === null ? undefined : domainOf(reversePath.domain)
    const ask = async (zone: Zone): Promise<void> => {
      const { zone: at, hello: asksHello, sender: asksSender } = zone.options
      const once = (what: string, make: () => Promise<Listing>): Promise<Listing> =>
        client.once(finding<Listing>(`${name}:${at}:${what}`), make)
      try {
        const answers = await Promise.all([
          outside ? once(address, async () => (await zone.address(address)) ?? nothing(at)) : undefined,
          asksHello && hello !== undefined ? once(`hello:${hello}`, () => zone.domain(hello)) : undefined,
          asksSender && sender !== undefined ? zone.domain(sender) : undefined,
        ])
        for (const answer of answers) if (answer !== undefined && answer.score !== 0) listings.push(answer)
      } catch (error) {
        if (!(error instanceof DnsError)) throw error
        // Each of its questions may have found something.
        const asked = 1 + Number(asksHello && hello !== undefined) + Number(asksSender && sender !== undefined)
        failures.push({ zone: at, range: [asked * zone.range[0], asked * zone.range[1]] })
      }
    }
    await Promise.all(this.#zones.filter((zone) => !this.#broken.has(zone)).map(ask))
    return { listings, failures }
  }

  /** The listings with the reasons that the lists give, where the config has none. */
  reasons(listings: readonly Listing[]): Promise<readonly Listing[]> {
    return Promise.all(
      listings.map(async (one) => {
        const zone = this.#zones.find(({ options }) => options.zone === one.zone)
        return one.text !== undefined || zone === undefined ? one : { ...one, text: await zone.reason(one.question) }
      }),
    )
  }
}

const nothing = (zone: string): Listing => ({ zone, score: 0, text: undefined, question: '' })

/** A domain that a list can hold: no address, no bare word. */
function domainOf(text: string): string | undefined {
  const domain = normaliseDomain(text)
  return domain === undefined || domain.startsWith('[') || !domain.includes('.') ? undefined : domain
}
