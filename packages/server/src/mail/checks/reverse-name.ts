// RFC 1912 §2.1 and RFC 8601 §2.7.3 (iprev): the name of the client's address

import { isIPv4 } from 'node:net'
import { normaliseDomain } from '@aviso/mime'
import * as v from 'valibot'
import { AddressSet, plainAddress } from '../../net/addresses.ts'
import { DnsError, Resolver } from '../../net/dns/contracts.ts'
import { type Client, finding, mailCheck, type Verdict } from '../pipeline/contracts.ts'
import { type Action, action, carryOut, type Reply } from './action.ts'

/** Names that are looked up again; RFC 7208 §4.6.4 bounds them in the same way. */
const MAX_NAMES = 10

/** The names of a client's address. */
export interface ReverseNames {
  /** As the DNS says. */
  readonly names: readonly string[]
  /** Those that lead back to the address. */
  readonly confirmed: readonly string[]
}

/** The names of the client's address, looked up once a session. Rejects with `DnsError`. */
export const reverseNames = (client: Client, resolver: Resolver): Promise<ReverseNames> =>
  client.once(finding<ReverseNames>(`reverse-names:${client.remoteAddress}`), () =>
    lookUp(plainAddress(client.remoteAddress), resolver),
  )

async function lookUp(address: string, resolver: Resolver): Promise<ReverseNames> {
  const { records } = await resolver.reverse(address)
  const names = records.slice(0, MAX_NAMES)
  let failure: unknown
  const confirmed = await Promise.all(
    names.map(async (name) => {
      try {
        const answer = isIPv4(address) ? await resolver.a(name) : await resolver.aaaa(name)
        return new AddressSet(answer.records).has(address) ? name : undefined
      } catch (error) {
        failure = error
        return undefined
      }
    }),
  )
  const found = confirmed.filter((name) => name !== undefined)
  // One name that leads back is enough, whatever the others' servers do.
  if (found.length === 0 && failure !== undefined) throw failure
  return { names, confirmed: found }
}

export const reverseName = mailCheck({
  name: 'reverse-name',
  summary: "Looks up the name of the client's address: real mail servers have one, and it leads back to them.",
  config: v.strictObject({
    missing: action('quarantine', 'the address has no name'),
    unconfirmed: action('accept', 'no name of the address leads back to it'),
    mismatch: action('accept', 'none of the names that lead back is the one in EHLO'),
    'dns-failure': action('accept', 'the DNS does not answer'),
  }),

  create(config, scope) {
    const resolver = scope.use(Resolver)
    const say = (chosen: Action, result: string, address: string, why: string, reply: Reply): Verdict => ({
      ...carryOut(chosen, reply, why),
      results: [`iprev=${result} policy.iprev=${address.includes(':') ? `"${address}"` : address}`],
    })
    const reply = (text: string): Reply => ({ reject: [550, '5.7.25'], defer: [451, '4.7.25'], text })

    return {
      async connection(client): Promise<Verdict> {
        const address = plainAddress(client.remoteAddress)
        if (address === '') return { action: 'accept' }
        let found: ReverseNames
        try {
          found = await reverseNames(client, resolver)
        } catch (error) {
          if (!(error instanceof DnsError)) throw error
          const text = `The DNS does not answer for the name of ${address}`
          return say(config['dns-failure'], 'temperror', address, String(error), {
            ...reply(text),
            defer: [451, '4.4.3'],
          })
        }
        const [name] = found.names
        if (name === undefined) {
          const text = `Your address ${address} has no name in the DNS`
          return say(config.missing, 'permerror', address, text, reply(text))
        }
        if (found.confirmed.length === 0) {
          const text = `The name ${name} of your address ${address} does not lead back to it`
          return say(config.unconfirmed, 'fail', address, text, reply(text))
        }
        const hello = normaliseDomain(client.hello)
        if (hello !== undefined && found.confirmed.includes(hello))
          return say({ action: 'accept' }, 'pass', address, hello, reply(''))
        const text = `You greet with another name than ${found.confirmed.join(', ')}, which your address ${address} has`
        return say(config.mismatch, 'pass', address, text, reply(text))
      },
    }
  },
})
