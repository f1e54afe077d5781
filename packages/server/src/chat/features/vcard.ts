// XEP-0054: vcard-temp; with personal events also XEP-0292: vCard4, and XEP-0398: the avatar is the photo

import { DEFAULT_PARSER_LIMITS, el, type Element, NO_CONTEXT, readElement, StanzaError } from '@aviso/xmpp'
import * as v from 'valibot'
import type { Account } from '../../accounts/contracts.ts'
import { size } from '../../kernel/units.ts'
import { chatFeature, type IqRequest } from '../core/contracts.ts'
import { cardSeenBy, setCard, setVcard4, vcard4SeenBy } from '../pubsub/cards.ts'
import type { NodeConfig } from '../pubsub/node-config.ts'
import { PersonalEvents } from '../pubsub/personal-events.ts'
import { VCARD4, VCARD_TEMP } from '../pubsub/vcard4.ts'
import { xmlEntriesStore } from './xml-entries.store.ts'

const PLACE = { xmlns: VCARD_TEMP, name: 'vCard' }

export const vcard = chatFeature({
  name: 'vcard',
  summary: 'Keeps the card that people show of themselves.',
  config: v.strictObject({
    'max-octets': v.pipe(size('128KiB'), v.description('how big a card, picture included, may be')),
    access: v.optional(
      v.pipe(
        v.picklist(['everybody', 'contacts']),
        v.description(
          'who may see a card; with personal events: the access model of the nodes that are made for it, which their owner may change',
        ),
      ),
      'everybody',
    ),
  }),

  attach(host, config, { log }) {
    host.disco.feature(VCARD_TEMP, ['host', 'account'])
    const nodes: Partial<NodeConfig> = { accessModel: config.access === 'everybody' ? 'open' : 'presence' }
    const eventsFor = ({ domain }: Account): PersonalEvents | undefined => host.find(PersonalEvents, domain)

    /** The card that was kept before there were personal events, or where there are none. */
    const kept = async (account: Account): Promise<Element | undefined> => {
      const xml = await host.store.account(xmlEntriesStore, account.id).get(PLACE)
      return xml === undefined ? undefined : readElement(xml, NO_CONTEXT, DEFAULT_PARSER_LIMITS)
    }
    const keep = (account: Account, xml: string): Promise<void> =>
      host.store
        .account(xmlEntriesStore, account.id)
        .set({ entries: [{ ...PLACE, xml }], limit: Number.MAX_SAFE_INTEGER })

    /** Moves a card that was kept before into the nodes. */
    const move = async (account: Account, events: PersonalEvents): Promise<void> => {
      const card = await kept(account)
      if (card === undefined) return
      await setCard(events, account, card, nodes)
      await keep(account, '')
    }
    host.hooks.bound.on((session) => {
      const { account, sessions } = session.account
      const events = eventsFor(account)
      if (events === undefined || sessions.length > 1) return
      session.prepare(() =>
        move(account, events).catch((error: unknown) =>
          log.warn({ err: error, account: account.address }, 'the card could not be made a vCard4'),
        ),
      )
    })

    const mustBeAllowed = async (iq: IqRequest): Promise<{ readonly account: Account; readonly own: boolean }> => {
      const { account, from } = iq
      if (account === undefined) throw StanzaError.of('service-unavailable')
      const own = from.bareString === account.address
      if (!own && config.access === 'contacts' && !(await host.maySeePresence(account, from)))
        throw StanzaError.of('service-unavailable')
      return { account, own }
    }

    host.iq.get(VCARD_TEMP, 'vCard', ['account'], async (iq) => {
      const { account, own } = await mustBeAllowed(iq)
      const events = eventsFor(account)
      const card = (await kept(account)) ?? (events && (await cardSeenBy(events, account, iq.from)))
      if (card !== undefined) return iq.result(card)
      // To others, an account without a card is like none at all.
      if (!own) throw StanzaError.of('service-unavailable')
      return iq.result(el('vCard', { xmlns: VCARD_TEMP }))
    })

    const mustBeOwn = ({ account, from, payload }: IqRequest): Account => {
      if (account === undefined || from.bareString !== account.address) throw StanzaError.of('forbidden')
      if (Buffer.byteLength(payload.toString()) > config['max-octets'])
        throw StanzaError.of('not-acceptable', 'the card is too big')
      return account
    }

    host.iq.set(VCARD_TEMP, 'vCard', ['account'], async (iq) => {
      const account = mustBeOwn(iq)
      const events = eventsFor(account)
      if (events === undefined) await keep(account, iq.payload.children.length === 0 ? '' : iq.payload.toString())
      else {
        await setCard(events, account, iq.payload, nodes)
        await keep(account, '')
      }
      return iq.result()
    })

    // XEP-0292 §3 knows the node only; clients and Prosody ask this way, too.
    host.iq.get(VCARD4, 'vcard', ['account'], async (iq) => {
      const { account, own } = await mustBeAllowed(iq)
      const events = eventsFor(account)
      const card = events && (await vcard4SeenBy(events, account, iq.from))
      if (card !== undefined) return iq.result(card)
      throw StanzaError.of(own && events !== undefined ? 'item-not-found' : 'service-unavailable')
    })
    host.iq.set(VCARD4, 'vcard', ['account'], async (iq) => {
      const account = mustBeOwn(iq)
      const events = eventsFor(account)
      if (events === undefined) throw StanzaError.of('service-unavailable')
      await setVcard4(events, account, iq.payload, nodes)
      return iq.result()
    })
  },
})
