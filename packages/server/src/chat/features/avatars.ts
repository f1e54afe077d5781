// XEP-0398: User Avatar to vCard-Based Avatars Conversion; the hash of XEP-0153 in presence

import { el, type Element } from '@aviso/xmpp'
import * as v from 'valibot'
import { chatFeature } from '../core/contracts.ts'
import type { OnlineAccount } from '../core/directory.ts'
import { type Session, sessionSlot } from '../core/session.ts'
import { AVATAR_METADATA, avatarHash } from '../pubsub/avatar.ts'
import { NodeWatcher, PersonalEvents } from '../pubsub/personal-events.ts'

const UPDATE = 'vcard-temp:x:update'
const CONVERSION = 'urn:xmpp:pep-vcard-conversion:0'

/** The client has said that it shows no avatar: an empty photo. */
const declines = sessionSlot<boolean>('avatars-declined', v.boolean())
/** The server is saying the client's presence anew. */
const anew = sessionSlot<boolean>('avatars-anew')

export const avatars = chatFeature({
  name: 'avatars',
  summary: 'Tells old clients and rooms, by presence, which avatar somebody has.',
  config: v.strictObject({}),

  attach(host, _config, { log }) {
    host.disco.feature(CONVERSION, ['account'])
    /** '' for none. */
    const hashes = new WeakMap<OnlineAccount, string>()

    const load = async (account: OnlineAccount): Promise<void> => {
      const events = host.find(PersonalEvents, account.account.domain)
      if (events === undefined) return
      try {
        hashes.set(account, (await avatarHash(events, account.account)) ?? '')
      } catch (error) {
        log.warn({ err: error, account: account.bare }, 'the avatar is not known')
      }
    }
    const prepare = (session: Session): void => {
      if (!hashes.has(session.account)) session.prepare(() => load(session.account))
    }
    host.hooks.bound.on(prepare)
    for (const { sessions } of host.online()) for (const session of sessions) prepare(session)

    host.hooks.dressing.on(({ stanza, origin: { session } }) => {
      if (session === undefined) return undefined
      const photo = stanza.child('x', UPDATE)?.child('photo')
      if (session.get(anew) !== true && stanza.get('to') === undefined)
        session.set(declines, photo !== undefined && photo.text() === '')
      const hash = hashes.get(session.account)
      if (hash === undefined) return undefined
      // Who says that there is none, in this presence or in all, has it so.
      if (session.get(anew) === true ? session.get(declines) === true : photo?.text() === '') return undefined
      if (hash === '' && photo === undefined) return undefined
      return withHash(stanza, hash)
    })

    host.offer(NodeWatcher, {
      node: AVATAR_METADATA,
      happened: (account) => {
        const online = host.sessions(account.address)[0]?.account
        if (online === undefined) return
        const before = hashes.get(online)
        void load(online).then(() => {
          if (hashes.get(online) === before) return
          for (const session of online.sessions) {
            session.set(anew, true)
            host.announce(session)
            session.set(anew, false)
          }
        })
      },
    })
  },
})

const withHash = (presence: Element, hash: string): Element =>
  presence.without((child) => child.is('x', UPDATE)).append(el('x', { xmlns: UPDATE }, el('photo', {}, hash)))
