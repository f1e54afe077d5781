// Keeps spam of people whom nobody knows away: what they may send, how much of it, and what waits until they are known

import { type Element, type Jid, StanzaError } from '@aviso/xmpp'
import * as v from 'valibot'
import type { Account } from '../../accounts/contracts.ts'
import { RecentMap } from '../../accounts/recent.ts'
import { duration, size } from '../../kernel/units.ts'
import { createLimits } from '../../net/limits.ts'
import { StoreError } from '../../store/contracts.ts'
import { AddressList, addressList } from '../core/address-list.ts'
import { finished } from '../core/commands.ts'
import { type AccountEvent, chatFeature, type Handled } from '../core/contracts.ts'
import { form } from '../core/forms.ts'
import { tell } from '../core/server-voice.ts'
import { isContact } from '../core/subscriptions.ts'
import { Invites } from '../invites/invites.ts'
import { sizeOf } from '../rules/conditions.ts'
import { Acquaintance } from './acquaintance.ts'
import { type Content, contentsOf, inviterIn, speaks } from './first-message.ts'
import { PARS } from './invites.ts'

const count = (fallback: number, text: string) =>
  v.optional(v.pipe(v.number(), v.integer(), v.minValue(1), v.description(text)), fallback)

type Treatment = 'accept' | 'hold' | 'refuse'
const treated = (fallback: Treatment, what: string) =>
  v.optional(
    v.pipe(
      v.picklist(['accept', 'hold', 'refuse']),
      v.description(`${what}: delivered, held until the account knows its sender, or refused`),
    ),
    fallback,
  )

const config = v.strictObject({
  local: v.optional(
    v.pipe(v.boolean(), v.description('accounts of our own domains may be strangers, too: where anybody may register')),
    false,
  ),
  known: addressList('who is never a stranger: addresses, domains, *.domain, { table: NAME }'),
  blocked: addressList('strangers from whom nothing is taken at all, written likewise; contacts are not touched by it'),
  text: treated('accept', 'a message with none of what follows'),
  'max-text': v.pipe(size('4KiB'), v.description('more text than this is `long`')),
  long: treated('hold', 'a long text'),
  links: treated('hold', 'a text with addresses of the web'),
  media: treated('hold', 'pictures and files'),
  encrypted: treated('accept', 'what is encrypted end to end: nobody can look into it'),
  invitations: treated('hold', 'an invitation to a room'),
  calls: v.optional(
    v.pipe(v.picklist(['accept', 'refuse']), v.description('the announcement of a call: delivered or refused')),
    'accept',
  ),
  subscriptions: v.optional(
    v.pipe(
      v.picklist(['accept', 'refuse']),
      v.description('requests to become a contact: shown to the account or refused; invitations are always taken'),
    ),
    'accept',
  ),
  'max-requests': count(50, 'how many such requests may wait for an answer of one account; more vanish'),
  window: v.pipe(duration('1h'), v.minValue(1000), v.description('the time that the following limits count for')),
  'messages-per-sender': count(30, 'how many messages a stranger may send in the time of `window`'),
  'messages-per-domain': count(300, 'how many the strangers of one domain may'),
  'messages-per-account': count(100, 'how many one account is sent by all strangers'),
  'messages-total': count(3000, 'how many all accounts are'),
  'requests-per-sender': count(10, 'the same for requests to become a contact'),
  'requests-per-domain': count(100, 'the same for requests of one domain'),
  'requests-per-account': count(30, 'the same for requests to one account'),
  'requests-total': count(1000, 'the same for requests to all accounts'),
  'max-held': count(200, 'how many messages are held for one account; the oldest go'),
  'max-held-per-sender': count(10, 'how many of one sender; more are refused until he is known'),
  'max-held-size': v.pipe(size('32KiB'), v.description('larger messages are not held: they are refused')),
  'keep-held': v.pipe(duration('30d'), v.description('how long a message is held')),
  notice: v.pipe(
    duration('1d'),
    v.description('how often an account is told, at most, that messages of strangers are held for it; 0s: never'),
  ),
  correspondents: count(2000, 'how many strangers to whom an account has written are remembered; the latest'),
})
type Config = v.InferOutput<typeof config>

/** Stanzas whose senders are being looked up; of more, some are looked up twice. */
const IN_FLIGHT = 10_000

export const strangers = chatFeature({
  name: 'strangers',
  summary: 'Limits what accounts are sent by people whom they do not know, and holds what looks like spam.',
  config,

  attach(host, settings, scope) {
    const { clock, log, metrics } = scope
    const desk = new Acquaintance(host, settings, clock.now.bind(clock))
    const known = new AddressList(settings.known, scope)
    const blocked = new AddressList(settings.blocked, scope)
    const book = new Invites(host.store, host.accounts, clock, scope.random)
    const limits = limitsOf(settings, clock)
    const notices = createLimits(clock, { notice: { rate: 1, per: Math.max(1, settings.notice) } })
    const decided = metrics.counter('aviso_chat_strangers', 'What strangers sent, by what became of it', [
      'kind',
      'decision',
    ])
    /** What was found out of a sender for a stanza that is on its way here a second time. */
    const judged = new RecentMap<string, Judgement>(IN_FLIGHT)

    const decide = (event: AccountEvent, decision: string, why: string): void => {
      const { stanza, account, origin } = event
      decided.inc({ kind: stanza.name === 'presence' ? 'request' : stanza.name, decision })
      const facts = { from: origin.jid.toString(), account: account.address, kind: stanza.name, decision, why }
      if (decision === 'accepted') log.debug(facts, 'a stranger was let through')
      else log.info(facts, 'a stranger was not let through')
    }

    /** Reads what is needed to know whether the sender is a stranger. Rejects with `wait` where that cannot be had now. */
    const judge = async (event: AccountEvent): Promise<Judgement> => {
      const { stanza, account, origin } = event
      try {
        if (await known.has(origin.jid)) return 'known'
        const senders = [origin.jid.bareString]
        const inviter = inviterIn(stanza)
        if (inviter !== undefined) senders.push(inviter.bareString)
        for (const sender of senders) if (await desk.isKnown(account, sender)) return 'known'
        const token = stanza.child('preauth', PARS)?.get('token')
        if (token !== undefined && stanza.name === 'presence') {
          const invite = await book.find(token, account.domain)
          if (invite?.kind === 'contact' && invite.inviter === account.address) return 'known'
        }
        return (await blocked.has(origin.jid)) ? 'blocked' : 'stranger'
      } catch (error) {
        log.error({ err: error, account: account.address }, 'it was not found out who is a stranger')
        throw StanzaError.of('resource-constraint', 'try again later', { cause: error })
      }
    }

    host.hooks.receiving.on((event): Handled | undefined => {
      const { stanza, account, origin, session } = event
      const isRequest = stanza.name === 'presence' && stanza.get('type') === 'subscribe'
      if (!isRequest && (stanza.name !== 'message' || stanza.get('type') === 'error')) {
        // Of others, only those who are blocked are of interest; what says goodbye or takes back harms nobody.
        if (blocked.empty || (stanza.name === 'presence' && stanza.get('type') !== undefined)) return undefined
      }
      const { jid } = origin
      if (jid.bareString === account.address) return undefined
      if (host.isServed(jid.domain) && (jid.local === '' || !settings.local)) {
        // A room of ours may pass on what somebody elsewhere wants.
        const inviter = stanza.name === 'message' ? inviterIn(stanza) : undefined
        if (inviter === undefined || host.isServed(inviter.domain)) return undefined
      }
      const roster = host.sessions(account.address)[0]?.account.roster
      if (roster !== undefined && isContact(roster.state(jid.bareString))) return undefined
      if (desk.remembers(account, jid.bareString)) return undefined
      // A room that the session is in.
      const inRoom = `${jid.bareString}/`
      for (const to of session?.directed ?? []) if (to.startsWith(inRoom)) return undefined
      const key = `${account.id} ${stanza.name} ${jid.toString()}`
      const judgement = judged.get(key)
      if (judgement === undefined)
        return judge(event).then((found) => {
          judged.set(key, found)
          return host.route(stanza.with({ to: event.to.toString() }), origin)
        })
      judged.delete(key)
      if (judgement === 'known') return undefined
      if (judgement === 'blocked') return shun(event)
      if (isRequest) return request(event)
      return stanza.name === 'message' ? message(event) : undefined
    }, 90)

    const shun = (event: AccountEvent): Handled => {
      decide(event, 'refused', 'blocked')
      if (event.stanza.name === 'presence' || event.stanza.get('type') === 'headline') return 'handled'
      throw StanzaError.of('service-unavailable')
    }

    const limited = (event: AccountEvent, kind: 'messages' | 'requests'): void => {
      const { account, origin } = event
      const scopeOf = limits(kind, origin.jid, account)
      if (scopeOf === undefined) return
      decide(event, 'limited', scopeOf)
      throw StanzaError.of('resource-constraint', 'too much comes from people who are not known here; try again later')
    }

    const request = (event: AccountEvent): Handled | undefined => {
      if (settings.subscriptions === 'refuse') {
        decide(event, 'refused', 'subscriptions')
        return 'handled'
      }
      limited(event, 'requests')
      const { account, origin, stanza } = event
      const roster = host.sessions(account.address)[0]?.account.roster
      const enough = (waiting: number): boolean => {
        const full = waiting >= settings['max-requests']
        // He is not told more than anybody whose name nobody has.
        if (full) decide(event, 'dropped', 'max-requests')
        else decide(event, 'accepted', 'request')
        return full
      }
      if (roster !== undefined) return enough(roster.requests) ? 'handled' : undefined
      return desk.waitingRequests(account).then((waiting) => {
        if (enough(waiting)) return undefined
        // Counted already.
        judged.set(`${account.id} ${stanza.name} ${origin.jid.toString()}`, 'known')
        return host.route(stanza.with({ to: event.to.toString() }), origin)
      })
    }

    const message = (event: AccountEvent): Handled | undefined => {
      limited(event, 'messages')
      const [treatment, why] = strictest(event.stanza, settings)
      if (treatment === 'accept') {
        decide(event, 'accepted', why)
        return undefined
      }
      if (treatment === 'refuse' || sizeOf(event.stanza) > settings['max-held-size']) {
        decide(event, 'refused', why)
        throw StanzaError.of(
          'policy-violation',
          'this account takes no such messages from people whom it does not know',
        )
      }
      return desk.hold(event).then(
        () => {
          decide(event, 'held', why)
          notify(event)
        },
        (error: unknown) => {
          if (!(error instanceof StoreError && error.code === 'full')) throw error
          decide(event, 'limited', 'max-held-per-sender')
          throw StanzaError.of('resource-constraint', 'your messages wait to be asked for already')
        },
      )
    }

    const notify = ({ account, origin }: AccountEvent): void => {
      if (settings.notice === 0 || !notices.take('notice', account.id)) return
      const text = `${origin.jid.bareString}, whom you do not know, has sent you something that is held back. It is delivered when you write to that address or make it a contact; the command “Messages of strangers” lists all that is held.`
      tell(host, account.domain, account.address, text).catch((error: unknown) =>
        log.debug({ err: error, account: account.address }, 'the account was not told of what is held'),
      )
    }

    // Whom the account writes to, asks something, or shows itself to, is known from then on.
    host.hooks.sending.on((event) => {
      const { stanza, origin } = event
      const { session } = origin
      if (session === undefined || stanza.get('to') === undefined || !mayTurnTo(stanza)) return undefined
      const { to } = event
      if (host.isServed(to.domain) && (to.local === '' || !settings.local)) return undefined
      const { account, roster } = session.account
      const contact = to.bareString
      if (contact === session.account.bare) return undefined
      // Of contacts, only what makes them such is of interest: something may be held of them.
      if (stanza.name !== 'presence' && roster !== undefined && isContact(roster.state(contact))) return undefined
      if (stanza.name === 'message' && !speaks(stanza)) return undefined
      const isFirst = !desk.remembers(account, contact)
      if (isFirst)
        event.wait(
          desk.write(account, contact).then((held) => {
            if (held > 0) release(account, contact)
          }),
        )
      return undefined
    }, 55)

    const release = (account: Account, sender: string): void =>
      void desk
        .release(account, sender)
        .catch((error: unknown) =>
          log.warn({ err: error, account: account.address, sender }, 'held messages were not delivered'),
        )

    // A contact that was made elsewhere.
    host.hooks.available.on(({ session, listening }) => {
      if (!listening) return
      const { account, roster } = session.account
      desk
        .senders(account)
        .then((senders) => {
          for (const { sender } of senders)
            if (roster !== undefined && isContact(roster.state(sender))) release(account, sender)
        })
        .catch((error: unknown) =>
          log.warn({ err: error, account: account.address }, 'held messages were not looked at'),
        )
    })

    host.command({
      node: 'urn:aviso:strangers',
      name: 'Messages of strangers',
      needs: 'manage-own',
      run: async ({ account }) => {
        const senders = await desk.senders(account)
        if (senders.length === 0) return finished('No messages of strangers are held for you.')
        const options = senders.map(({ sender, count: held }) => ({ value: sender, label: `${sender} (${held})` }))
        return {
          form: form({ title: 'Messages of strangers' }, [
            { name: 'senders', type: 'list-multi', label: 'Senders', required: true, options },
            {
              name: 'action',
              type: 'list-single',
              label: 'What is to be done',
              values: ['deliver'],
              options: [
                { value: 'deliver', label: 'Deliver them, and let more come' },
                { value: 'discard', label: 'Throw them away' },
              ],
            },
          ]),
          next: async (filled) => {
            const chosen = filled.list('senders').filter((sender) => senders.some((one) => one.sender === sender))
            if (chosen.length === 0) throw StanzaError.of('not-acceptable', 'choose senders')
            const discard = filled.text('action') === 'discard'
            for (const sender of chosen) {
              if (discard) await desk.forget(account, sender)
              else {
                await desk.write(account, sender)
                await desk.release(account, sender)
              }
            }
            return finished(discard ? 'They are gone.' : 'They were delivered.')
          },
        }
      },
    })
  },
})

type Judgement = 'known' | 'stranger' | 'blocked'

/** With presence an account turns to somebody by being available to him, and by asking for and granting subscriptions; with a request by setting something. */
function mayTurnTo(stanza: Element): boolean {
  const type = stanza.get('type')
  if (stanza.name === 'message') return type !== 'error'
  if (stanza.name === 'iq') return type === 'set'
  return type === undefined || type === 'subscribe' || type === 'subscribed'
}

const STRICTNESS: Readonly<Record<Treatment, number>> = { accept: 0, hold: 1, refuse: 2 }

/** What is done with a message, and because of which of its contents. */
function strictest(message: Element, settings: Config): readonly [Treatment, Content] {
  let found: readonly [Treatment, Content] = ['accept', 'text']
  for (const content of contentsOf(message, settings['max-text'])) {
    const treatment = settings[content]
    if (STRICTNESS[treatment] > STRICTNESS[found[0]]) found = [treatment, content]
  }
  return found
}

/** Takes from all limits of a kind; answers the one that is reached. */
function limitsOf(settings: Config, clock: Parameters<typeof createLimits>[0]) {
  const per = settings.window
  const scopes = ['sender', 'domain', 'account', 'total'] as const
  const limits = createLimits(
    clock,
    Object.fromEntries(
      (['messages', 'requests'] as const).flatMap((kind) =>
        scopes.map((name) => {
          const rate = name === 'total' ? settings[`${kind}-total`] : settings[`${kind}-per-${name}`]
          return [`${kind} ${name}`, { rate, per }]
        }),
      ),
    ),
  )
  return (kind: 'messages' | 'requests', from: Jid, account: Account): string | undefined => {
    const keys = { sender: from.bareString, domain: from.domain, account: account.id, total: '' }
    return scopes.find((name) => !limits.take(`${kind} ${name}`, keys[name]))
  }
}
