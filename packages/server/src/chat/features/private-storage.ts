// XEP-0049: Private XML Storage, where old clients keep their bookmarks (XEP-0048)

import { DEFAULT_PARSER_LIMITS, type Element, NO_CONTEXT, readElement, StanzaError } from '@aviso/xmpp'
import * as v from 'valibot'
import { size } from '../../kernel/units.ts'
import { StoreError } from '../../store/contracts.ts'
import { chatFeature, type IqRequest } from '../core/contracts.ts'
import { PersonalEvents } from '../pubsub/personal-events.ts'
import { PrivateTranslation } from './private-translation.ts'
import { xmlEntriesStore } from './xml-entries.store.ts'

const PRIVATE = 'jabber:iq:private'
/** Namespaces that are the server's own affair (§3.4). */
const RESERVED = /^jabber:|^vcard-temp$|^$/

export const privateStorage = chatFeature({
  name: 'private-storage',
  summary: 'Keeps small pieces of XML for clients: bookmarks, notes.',
  config: v.strictObject({
    'max-entries': v.optional(
      v.pipe(v.number(), v.integer(), v.minValue(1), v.description('how many of them one account may have')),
      100,
    ),
    'max-octets': v.pipe(size('128KiB'), v.description('how big one may be')),
  }),

  attach(host, config) {
    host.disco.feature(PRIVATE)

    /** Who keeps the element in another form: as long as there is something to keep it in. */
    const translation = ({ to }: IqRequest, { xmlns, name }: Element): PrivateTranslation | undefined =>
      host.find(PersonalEvents, to.domain) &&
      host.all(PrivateTranslation, to.domain).findLast((each) => each.xmlns === xmlns && each.name === name)

    host.iq.get(PRIVATE, 'query', ['self'], async (iq) => {
      const [wanted, ...more] = iq.payload.elements
      if (wanted === undefined || more.length > 0) throw StanzaError.of('bad-request', 'one element at a time')
      mayBeKept(wanted)
      const elsewhere = iq.account && translation(iq, wanted)
      if (elsewhere !== undefined && iq.account !== undefined)
        return iq.result(iq.payload.withChildren((await elsewhere.get(iq.account)) ?? wanted.withChildren()))
      const xml = await host.store
        .account(xmlEntriesStore, iq.account?.id ?? '')
        .get({ xmlns: wanted.xmlns, name: wanted.name })
      const kept = xml === undefined ? wanted.withChildren() : readElement(xml, NO_CONTEXT, DEFAULT_PARSER_LIMITS)
      return iq.result(iq.payload.withChildren(kept))
    })

    host.iq.set(PRIVATE, 'query', ['self'], async (iq) => {
      const entries = iq.payload.elements.map((element) => {
        mayBeKept(element)
        const xml = element.toString()
        if (Buffer.byteLength(xml) > config['max-octets']) throw StanzaError.of('not-acceptable', 'this is too big')
        // An element without anything in it is what clients get for nothing.
        return { xmlns: element.xmlns, name: element.name, xml: element.children.length === 0 ? '' : xml }
      })
      if (entries.length === 0) throw StanzaError.of('bad-request')
      const { account } = iq
      if (account === undefined) throw StanzaError.of('service-unavailable')
      const here = entries.filter((_, index) => translation(iq, iq.payload.elements[index] ?? iq.payload) === undefined)
      try {
        await host.store.account(xmlEntriesStore, account.id).set({ entries: here, limit: config['max-entries'] })
      } catch (error) {
        if (error instanceof StoreError && error.code === 'full')
          throw StanzaError.of('resource-constraint', 'you keep too many things here')
        throw error
      }
      for (const element of iq.payload.elements) await translation(iq, element)?.set(account, element)
      return iq.result()
    })
  },
})

function mayBeKept({ xmlns }: Element): void {
  if (xmlns === PRIVATE || RESERVED.test(xmlns)) throw StanzaError.of('not-acceptable', 'this namespace is not yours')
}
