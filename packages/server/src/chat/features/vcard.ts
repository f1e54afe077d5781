// XEP-0054: vcard-temp

import { DEFAULT_PARSER_LIMITS, el, NO_CONTEXT, readElement, StanzaError } from '@aviso/xmpp'
import * as v from 'valibot'
import { size } from '../../kernel/units.ts'
import { chatFeature } from '../core/contracts.ts'
import { xmlEntriesStore } from './xml-entries.store.ts'

const VCARD = 'vcard-temp'
const PLACE = { xmlns: VCARD, name: 'vCard' }

export const vcard = chatFeature({
  name: 'vcard',
  summary: 'Keeps the card that people show of themselves.',
  config: v.strictObject({
    'max-octets': v.pipe(size('128KiB'), v.description('how big a card, picture included, may be')),
    access: v.optional(v.pipe(v.picklist(['everybody', 'contacts']), v.description('who may see a card')), 'everybody'),
  }),

  attach(host, config) {
    host.disco.feature(VCARD, ['host', 'account'])

    host.iq.get(VCARD, 'vCard', ['account'], async (iq) => {
      const { account, from } = iq
      if (account === undefined) throw StanzaError.of('service-unavailable')
      const own = from.bareString === account.address
      if (!own && config.access === 'contacts' && !(await host.maySeePresence(account, from)))
        throw StanzaError.of('service-unavailable')
      const xml = await host.store.account(xmlEntriesStore, account.id).get(PLACE)
      if (xml !== undefined) return iq.result(readElement(xml, NO_CONTEXT, DEFAULT_PARSER_LIMITS))
      // To others, an account without a card is like none at all.
      if (!own) throw StanzaError.of('service-unavailable')
      return iq.result(el('vCard', { xmlns: VCARD }))
    })

    host.iq.set(VCARD, 'vCard', ['account'], async (iq) => {
      const { account, from, payload } = iq
      if (account === undefined || from.bareString !== account.address) throw StanzaError.of('forbidden')
      const xml = payload.toString()
      if (Buffer.byteLength(xml) > config['max-octets']) throw StanzaError.of('not-acceptable', 'the card is too big')
      const entry = { ...PLACE, xml: payload.children.length === 0 ? '' : xml }
      await host.store.account(xmlEntriesStore, account.id).set({ entries: [entry], limit: Number.MAX_SAFE_INTEGER })
      return iq.result()
    })
  },
})
