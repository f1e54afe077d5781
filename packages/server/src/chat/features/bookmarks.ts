// XEP-0402: PEP Native Bookmarks are the one place of bookmarks; XEP-0048 in its two forms (a node, private XML) is another way to see them

import { DEFAULT_PARSER_LIMITS, el, type Element, Jid, NO_CONTEXT, readElement, StanzaError } from '@aviso/xmpp'
import * as v from 'valibot'
import type { Account } from '../../accounts/contracts.ts'
import { chatFeature } from '../core/contracts.ts'
import { contentOf } from '../pubsub/avatar.ts'
import type { NodeConfig } from '../pubsub/node-config.ts'
import { type NewItem, NodeTranslation, NodeWatcher, PersonalEvents } from '../pubsub/personal-events.ts'
import { bookmarksStore } from './bookmarks.store.ts'
import { PrivateTranslation } from './private-translation.ts'
import { xmlEntriesStore } from './xml-entries.store.ts'

const NATIVE = 'urn:xmpp:bookmarks:1'
const STORAGE = 'storage:bookmarks'
const PLACE = { xmlns: STORAGE, name: 'storage' }
/** XEP-0402 §3.3 */
const CONFIG: Partial<NodeConfig> = { accessModel: 'whitelist', maxItems: 'max', sendLast: 'never' }

export const bookmarks = chatFeature({
  name: 'bookmarks',
  summary: 'Keeps the bookmarks of old and new clients equal.',
  config: v.strictObject({}),

  attach(host, _config, { log }) {
    host.disco.feature(`${NATIVE}#compat`, ['account'])
    host.disco.feature(`${NATIVE}#compat-pep`, ['account'])

    const eventsFor = ({ domain }: Account): PersonalEvents => {
      const events = host.find(PersonalEvents, domain)
      if (events === undefined) throw StanzaError.of('service-unavailable', 'there are no personal events here')
      return events
    }
    const entries = (account: Account) => host.store.account(xmlEntriesStore, account.id)

    /** What is kept as private XML: bookmarks from before, and such that are no rooms. */
    const kept = async (account: Account): Promise<Element | undefined> => {
      const xml = await entries(account).get(PLACE)
      return xml === undefined ? undefined : readElement(xml, NO_CONTEXT, DEFAULT_PARSER_LIMITS)
    }
    /** Writes rooms into their node, takes those of `gone` back, and keeps what of `storage` is no room as private XML: all of it or nothing. */
    const rewrite = (
      account: Account,
      items: readonly NewItem[],
      gone: readonly string[],
      storage: Element,
    ): Promise<void> => {
      const others = storage.without(isRoom)
      const entry = { ...PLACE, xml: others.elements.length === 0 ? '' : others.toString() }
      return eventsFor(account).exchange(account, NATIVE, { items, gone, config: CONFIG }, (rooms) =>
        host.store.account(bookmarksStore, account.id).rewrite({ rooms, others: entry }),
      )
    }

    /** Moves bookmarks from before there were native ones. */
    const move = async (account: Account): Promise<Element | undefined> => {
      const storage = await kept(account)
      if (storage?.elements.some(isRoom) !== true) return storage
      const known = new Set((await eventsFor(account).items(account, NATIVE)).map(({ id }) => id))
      const rooms = roomsIn(storage).filter(({ id }) => !known.has(id))
      await rewrite(account, rooms.map(toItem), [], storage)
      return storage.without(isRoom)
    }
    host.hooks.bound.on((session) => {
      const { account, sessions } = session.account
      if (sessions.length > 1 || host.find(PersonalEvents, account.domain) === undefined) return
      session.prepare(() =>
        move(account).then(
          () => {},
          (error: unknown) => log.warn({ err: error, account: account.address }, 'bookmarks could not be moved'),
        ),
      )
    })

    /** All of them in the old form; undefined where there are none. */
    const read = async (account: Account): Promise<Element | undefined> => {
      const others = await move(account)
      const items = await eventsFor(account).items(account, NATIVE)
      const rooms = items.map((item) => toOld(item.id, contentOf(item))).filter((room) => room !== undefined)
      const all = [...rooms, ...(others?.elements ?? [])]
      return all.length === 0 ? undefined : el('storage', { xmlns: STORAGE }, ...all)
    }

    /** What an old client writes takes the place of all that was there. */
    const write = async (account: Account, storage: Element): Promise<void> => {
      const rooms = roomsIn(storage)
      if (rooms.length < storage.elements.filter(isRoom).length)
        throw StanzaError.of('jid-malformed', 'a room has no address, or another one has the same')
      await move(account)
      const before = new Map((await eventsFor(account).items(account, NATIVE)).map((item) => [item.id, item]))
      const changed: NewItem[] = []
      for (const { id, room } of rooms) {
        const known = before.get(id)
        const item = { id, xml: toNative(room, known && contentOf(known)).toString() }
        if (item.xml !== known?.xml) changed.push(item)
        before.delete(id)
      }
      await rewrite(account, changed, [...before.keys()], storage)
    }

    host.offer(PrivateTranslation, { ...PLACE, get: read, set: write })

    const asItems = async (account: Account): Promise<readonly NewItem[]> => {
      const storage = await read(account)
      return storage === undefined ? [] : [{ id: 'current', xml: storage.toString() }]
    }
    host.offer(NodeTranslation, {
      node: STORAGE,
      items: asItems,
      publish: async (account, [item]) => {
        const storage = item && contentOf(item)
        if (storage?.is('storage', STORAGE) !== true) throw StanzaError.of('bad-request', 'these are no bookmarks')
        await write(account, storage)
      },
      retract: (account) => write(account, el('storage', { xmlns: STORAGE })),
    })

    host.offer(NodeWatcher, {
      node: NATIVE,
      happened: (account) => {
        if (host.sessions(account.address).length === 0) return
        asItems(account)
          .then((items) => {
            const none = { id: 'current', xml: el('storage', { xmlns: STORAGE }).toString() }
            eventsFor(account).echo(account, STORAGE, items.length === 0 ? [none] : items)
          })
          .catch((error: unknown) =>
            log.warn({ err: error, account: account.address }, 'old clients were not told of bookmarks'),
          )
      },
    })
  },
})

const isRoom = (element: Element): boolean => element.is('conference', STORAGE)

interface Room {
  /** Its address, prepared. */
  readonly id: string
  readonly room: Element
}

/** The rooms that have an address, each once. */
function roomsIn(storage: Element): readonly Room[] {
  const rooms = new Map<string, Element>()
  for (const room of storage.elements.filter(isRoom)) {
    const jid = Jid.tryParse(room.get('jid') ?? '')
    if (jid !== undefined && !rooms.has(jid.bareString)) rooms.set(jid.bareString, room)
  }
  return [...rooms].map(([id, room]) => ({ id, room }))
}

const toItem = ({ id, room }: Room): NewItem => ({ id, xml: toNative(room, undefined).toString() })

/** A bookmark in the new form; what old clients do not know of the one before is kept. */
function toNative(room: Element, before: Element | undefined): Element {
  const nick = room.childText('nick')
  const password = room.childText('password')
  const own = room.elements.filter(({ xmlns }) => xmlns !== STORAGE)
  const extensions = before?.child('extensions') ?? (own.length > 0 ? el('extensions', {}, ...own) : undefined)
  return el(
    'conference',
    { xmlns: NATIVE, name: room.get('name'), autojoin: room.get('autojoin') },
    nick !== undefined && el('nick', {}, nick),
    password !== undefined && el('password', {}, password),
    extensions,
  )
}

/** A bookmark in the old form; undefined for what is none. */
function toOld(jid: string, native: Element | undefined): Element | undefined {
  if (native?.is('conference', NATIVE) !== true) return undefined
  const nick = native.childText('nick')
  const password = native.childText('password')
  return el(
    'conference',
    { xmlns: STORAGE, jid, name: native.get('name'), autojoin: native.get('autojoin') },
    nick !== undefined && el('nick', {}, nick),
    password !== undefined && el('password', {}, password),
  )
}
