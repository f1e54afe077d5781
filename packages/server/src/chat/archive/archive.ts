// XEP-0313: Message Archive Management, with XEP-0359, 0431 and 0441

import { type Element, type Jid, NS, StanzaError } from '@aviso/xmpp'
import * as v from 'valibot'
import type { Account } from '../../accounts/contracts.ts'
import { RecentMap } from '../../accounts/recent.ts'
import { duration } from '../../kernel/units.ts'
import { chatFeature, type IqRequest, type Kept } from '../core/contracts.ts'
import { type Session, sessionSlot } from '../core/session.ts'
import { fin, find, metadata, resultText } from './answers.ts'
import { archiveStore } from './archive.store.ts'
import { Preferences } from './preferences.ts'
import { FULL_TEXT, queryForm, readQuery } from './query.ts'
import { archiveId, archivedAs, stamped, withoutForged } from './stanza-ids.ts'
import { isWorthArchiving } from './worth.ts'

/** True where the client has asked the archive: what waits for it there need not come a second time. */
export const readsArchive = sessionSlot('archive', v.boolean())

const count = v.pipe(v.number(), v.integer(), v.minValue(1))

const HOUR = 3_600_000
/** Accounts of which it is remembered that their archive holds nothing that has to go. */
const REMEMBERED = 10_000

export const archive = chatFeature({
  name: 'archive',
  summary: 'Keeps the messages of an account, so that all its devices have the whole conversation.',
  config: v.strictObject({
    keep: v.pipe(duration('365d'), v.description('how long messages are kept')),
    'max-messages': v.optional(
      v.pipe(count, v.description('how many messages are kept for one account; the oldest go')),
      1_000_000,
    ),
    default: v.optional(
      v.pipe(
        v.picklist(['always', 'never', 'roster']),
        v.description(
          'whose messages are kept where the account has said nothing: `roster` for those of contacts only',
        ),
      ),
      'always',
    ),
    page: v.optional(v.pipe(count, v.description('how many messages a client is sent that does not say how many')), 50),
    'max-page': v.optional(v.pipe(count, v.description('how many messages a client is sent at once')), 250),
  }),

  attach(host, config, { clock, random, log, metrics }) {
    const stored = metrics.tally('aviso_chat_archive_stored', 'Messages given to archives to keep, once for each side')
    const seconds = metrics.histogram(
      'aviso_chat_archive_query_seconds',
      'How long archives were searched for an answer',
      ['search'],
      [0.001, 0.005, 0.02, 0.1, 0.5, 2, 10],
    )
    host.disco.feature(NS.mam, ['account'])
    host.disco.feature(`${NS.mam}#extended`, ['account'])
    host.disco.feature(`${NS.mam}#groupchat-field`, ['account'])
    host.disco.feature(FULL_TEXT, ['account'])
    host.disco.feature(NS.stanzaId, ['account'])
    const preferences = new Preferences(host, config.default)
    const oldest = (): number => clock.now() - config.keep
    const limits = { usual: Math.min(config.page, config['max-page']), most: config['max-page'] }

    /** Lines of one turn share the promise: nothing is hung upon it here. */
    const append = (account: Account, id: string, message: Element, party: Jid): Promise<void> => {
      stored.add()
      return host.store.account(archiveStore, account.id).append({
        id,
        at: clock.now(),
        contact: party.bareString,
        resource: party.resource,
        xml: message.toString(),
        oldest: oldest(),
        most: config['max-messages'],
      })
    }

    const tidy = new RecentMap<string, number>(REMEMBERED)
    /** Nearly never there is something to forget, and people log in often: they are not to pay for a write each time. */
    const prune = async ({ id }: Account): Promise<void> => {
      const now = clock.now()
      const before = tidy.get(id)
      if (before !== undefined && now - before < HOUR) return
      const archived = host.store.account(archiveStore, id)
      const bounds = { oldest: oldest(), most: config['max-messages'] }
      if (await archived.prunable(bounds)) await archived.prune(bounds)
      else tidy.set(id, now)
    }

    // What is sent. Its sender goes on only when it is safe; meanwhile it is on its way already.
    host.hooks.sending.on((event) => {
      const { stanza, origin } = event
      const { session } = origin
      if (stanza.name !== 'message' || session === undefined) return undefined
      const { account, bare } = session.account
      const message = withoutForged(stanza, bare)
      if (!isWorthArchiving(message)) return undefined
      const { to } = event
      // What one sends to oneself is kept when it arrives.
      if (to.bareString === bare) return undefined
      const wanted = preferences.wants(account, to)
      if (wanted === false) return undefined
      const id = archiveId(clock.now(), random)
      if (wanted === true) {
        if (session.account.sessions.length > 1) event.own = stamped(message, bare, id)
        event.wait(append(account, id, message, to))
      } else event.wait(wanted.then((yes) => (yes ? append(account, id, message, to) : undefined)))
      return undefined
    }, 60)

    // What arrives is delivered when it is safe.
    host.hooks.keeping.on(({ stanza, account, origin }) => {
      const message = withoutForged(stanza, account.address)
      if (!isWorthArchiving(message)) return message
      const keep = (): Kept => {
        const id = archiveId(clock.now(), random)
        const safe = append(account, id, message, origin.jid)
        return { message: stamped(message, account.address, id), safe }
      }
      const wanted = preferences.wants(account, origin.jid)
      if (typeof wanted === 'boolean') return wanted ? keep() : message
      return wanted.then(async (yes) => {
        if (!yes) return message
        const kept = keep()
        await kept.safe
        return kept.message
      })
    })

    // Behind those who keep messages for the next login.
    host.hooks.undelivered.on(
      ({ stanza, account }) => (archivedAs(stanza, account.address) === undefined ? undefined : 'handled'),
      -20,
    )

    host.hooks.bound.on(({ woken, account: { account } }) => {
      // The start of the server has enough to do.
      if (woken) return
      prune(account).catch((error: unknown) =>
        log.warn({ err: error, account: account.address }, 'old messages were not forgotten'),
      )
    })
    // Known before the first message, so that the other devices' copies can have its id.
    const prepare = (session: Session): void =>
      session.prepare(async () => void (await preferences.load(session.account.account)))
    host.hooks.bound.on(prepare)

    host.iq.get(NS.mam, 'query', ['self'], (iq) => iq.result(queryForm()))

    host.iq.set(NS.mam, 'query', ['self'], async (iq) => {
      const { account, session } = asker(iq)
      const asked = readQuery(iq.payload, limits)
      // What is too old may not be forgotten yet.
      const start = Math.max(oldest(), asked.filter.start ?? 0)
      const query = { ...asked, filter: { ...asked.filter, start } }
      session.set(readsArchive, true)
      const began = clock.monotonic()
      const result = await find(host.store.account(archiveStore, account.id), query)
      seconds.observe({ search: asked.words === undefined ? 'no' : 'text' }, (clock.monotonic() - began) / 1000)
      const texts = (asked.flipped ? result.messages.toReversed() : result.messages).map(
        resultText(session.account.bareXml, session.fullXml, asked),
      )
      // At the reader's pace; he reads nothing else meanwhile.
      if (!(await session.sendAll(texts))) throw StanzaError.of('recipient-unavailable')
      return iq.result(fin(result))
    })

    const ends = async (account: Account): Promise<Element> =>
      metadata(await host.store.account(archiveStore, account.id).ends({ start: oldest() }))
    host.iq.get(NS.mam, 'metadata', ['self'], async (iq) => iq.result(await ends(asker(iq).account)))
    host.inline.told((session) => {
      // Who binds in this way reads what it missed in the archive: it does not come from the offline store too.
      session.set(readsArchive, true)
      return ends(session.account.account)
    })

    host.iq.get(NS.mam, 'prefs', ['self'], async (iq) =>
      iq.result((await preferences.load(asker(iq).account)).toElement()),
    )
    host.iq.set(NS.mam, 'prefs', ['self'], async (iq) =>
      iq.result((await preferences.set(asker(iq).account, iq.payload)).toElement()),
    )
  },
})

function asker({ origin, account }: IqRequest): { readonly account: Account; readonly session: Session } {
  if (origin.session === undefined || account === undefined) throw StanzaError.of('forbidden')
  return { account, session: origin.session }
}
