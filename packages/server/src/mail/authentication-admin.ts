// What an administrator asks of mail authentication: which keys sign, and what would be found out of a sender or a message.

import { isIP } from 'node:net'
import { Headers, normaliseNewlines, parseMailAddress } from '@aviso/mime'
import type { Accounts } from '../accounts/contracts.ts'
import type { Clock } from '../kernel/clock.ts'
import { DnsError, type Resolver } from '../net/dns/contracts.ts'
import { MailAdminError } from './administration.ts'
import { type ArcResult, verifyArc } from './authentication/arc/verify.ts'
import { type DkimResults, verifyDkim } from './authentication/dkim/verify.ts'
import { type DmarcResult, evaluateDmarc } from './authentication/dmarc/evaluate.ts'
import { asDomain } from './authentication/domain.ts'
import { Message } from './authentication/message.ts'
import { checkHost, type SpfResult } from './authentication/spf/check-host.ts'
import { type KeyKind, zoneStrings } from './keys/generate.ts'
import { type Key, KEEP_PUBLISHED, type Keyring } from './keys/keyring.ts'

/** A DKIM key as an administrator sees it. Times in milliseconds. */
export interface DkimKeyLine {
  readonly domain: string
  readonly selector: string
  readonly algorithm: string
  readonly kind: string
  /** `next` signs later, `past` no more. */
  readonly state: 'next' | 'signing' | 'past'
  readonly starts: number
  readonly ends: number | null
  /** Whether the record must be in the DNS now: a key that signed lately is still asked for. */
  readonly publish: boolean
  /** Whether it is there; undefined when the DNS does not answer. */
  readonly published: boolean | undefined
  /** Where it belongs, its text, and a line for a zone file. */
  readonly name: string
  readonly record: string
  readonly zone: string
}

/** Who would send. */
export interface SpfSubject {
  readonly ip: string
  readonly helo?: string
  /** '' for `<>`. */
  readonly from: string
}

export interface MessageFindings {
  readonly spf: SpfResult | undefined
  readonly dkim: DkimResults
  readonly arc: ArcResult
  readonly dmarc: DmarcResult
}

export interface AuthenticationAdmin {
  /** The keys of a domain, made where there are none yet; of all domains that have some, when none is named. Throws `MailAdminError`. */
  keys(domain?: string): Promise<readonly DkimKeyLine[]>
  /** New keys that follow those in use after `delay` milliseconds; of the same kinds, unless told. */
  rotate(domain: string, delay: number, kinds?: readonly KeyKind[]): Promise<readonly DkimKeyLine[]>
  /** A key that was made elsewhere, in PEM. It signs at once. */
  importKey(domain: string, selector: string, pem: string): Promise<DkimKeyLine>
  removeKey(domain: string, selector: string): Promise<void>
  checkSpf(subject: SpfSubject): Promise<SpfResult>
  /** `subject`: where it came from; without one, SPF is left out. */
  checkMessage(message: Uint8Array, subject?: SpfSubject): Promise<MessageFindings>
}

/** What the door leads to: the newest generation's rooms. */
export interface AuthenticationRooms {
  readonly clock: Clock
  readonly hostname: string
  readonly accounts: Accounts
  readonly keyring: Keyring
  readonly resolver: Resolver
}

export function createAuthenticationAdmin(rooms: () => AuthenticationRooms): AuthenticationAdmin {
  const ours = (text: string): string => {
    const domain = asDomain(text)
    if (domain === undefined || !rooms().accounts.isLocal(domain))
      throw new MailAdminError('not-found', `${text} is no domain of this server: see \`aviso domain list\``)
    return domain
  }
  const lines = async (keys: readonly Key[]): Promise<readonly DkimKeyLine[]> => {
    const { clock, keyring, resolver } = rooms()
    return Promise.all(keys.map(async (key) => keyLine(key, clock.now(), await published(key, keyring, resolver))))
  }
  const spf = ({ ip, helo, from }: SpfSubject): Promise<SpfResult> => {
    const { clock, hostname, resolver } = rooms()
    if (isIP(ip) === 0) throw new MailAdminError('invalid', `'${ip}' is no IP address`)
    const sender = from === '' ? '' : parseMailAddress(from)?.toString()
    if (sender === undefined) throw new MailAdminError('invalid', `'${from}' is no mail address`)
    const greeting = helo ?? sender.slice(sender.lastIndexOf('@') + 1)
    if (greeting === '') throw new MailAdminError('invalid', 'a notification (<>) is judged by its greeting: name one')
    return checkHost({ ip, helo: greeting, sender, resolver, receiver: hostname, now: clock.now() })
  }

  return {
    async keys(named) {
      const { keyring } = rooms()
      if (named !== undefined) {
        const domain = ours(named)
        if ((await keyring.keys(domain)).length === 0) await keyring.signing(domain)
        return lines(await keyring.keys(domain))
      }
      const all = await Promise.all((await keyring.domains()).map((domain) => keyring.keys(domain)))
      return lines(all.flat())
    },

    async rotate(named, delay, kinds) {
      const domain = ours(named)
      const { keyring, clock } = rooms()
      await keyring.follow(domain, clock.now() + delay, kinds)
      return lines(await keyring.keys(domain))
    },

    async importKey(named, selector, pem) {
      const domain = ours(named)
      try {
        const [line] = await lines([await rooms().keyring.import(domain, selector, pem)])
        return line as DkimKeyLine
      } catch (error) {
        if (error instanceof RangeError) throw new MailAdminError('invalid', error.message, { cause: error })
        throw error
      }
    },

    async removeKey(named, selector) {
      const domain = asDomain(named) ?? named
      if (!(await rooms().keyring.remove(domain, selector)))
        throw new MailAdminError('not-found', `${named} has no key with the selector ${selector}`)
    },

    checkSpf: async (subject) => spf(subject),

    async checkMessage(octets, subject) {
      const { clock, resolver } = rooms()
      // A file that was saved has the line ends of its system.
      const bytes = normaliseNewlines(octets)
      const message = Message.of(bytes)
      const question = { resolver, now: clock.now() }
      const [found, dkim, arc] = await Promise.all([
        subject === undefined ? undefined : spf(subject),
        verifyDkim(message, question),
        verifyArc(message, question),
      ])
      const dmarc = await evaluateDmarc({
        from: Headers.parse(bytes).all('From'),
        spf: found,
        dkim: dkim.signatures,
        resolver,
      })
      return { spf: found, dkim, arc, dmarc }
    },
  }
}

async function published(key: Key, keyring: Keyring, resolver: Resolver): Promise<boolean | undefined> {
  try {
    return await keyring.published(key, resolver)
  } catch (error) {
    if (error instanceof DnsError) return undefined
    throw error
  }
}

function keyLine(key: Key, now: number, inDns: boolean | undefined): DkimKeyLine {
  const { domain, selector, algorithm, kind, starts, ends, name, record } = key
  return {
    domain,
    selector,
    algorithm,
    kind,
    state: starts > now ? 'next' : ends !== null && ends <= now ? 'past' : 'signing',
    starts,
    ends,
    publish: ends === null || ends + KEEP_PUBLISHED > now,
    published: inDns,
    name,
    record,
    zone: `${name}. IN TXT ${zoneStrings(record)}`,
  }
}
