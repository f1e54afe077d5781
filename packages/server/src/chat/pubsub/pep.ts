// XEP-0163: Personal Eventing Protocol; with it go the profiles that need nothing else: 0084, 0107, 0108, 0118, 0172, 0222, 0223, 0384, 0402, 0490

import { Jid, StanzaError } from '@aviso/xmpp'
import * as v from 'valibot'
import type { Account } from '../../accounts/contracts.ts'
import { serviceKey } from '../../kernel/scope.ts'
import { chatFeature, type IqRequest } from '../core/contracts.ts'
import { stateOf } from '../core/roster.ts'
import type { Session } from '../core/session.ts'
import { TO } from '../core/subscriptions.ts'
import type { AccountPlace } from './account-place.ts'
import { claimOf } from './claims.ts'
import { infoOfNode, itemsOfNode, listOfNodes } from './discovery.ts'
import { Interest, Interests, NOTHING, wants } from './interests.ts'
import { limitSettings, most, placeLimits } from './limits.ts'
import { Memory } from './memory.ts'
import { OWNER, PUBSUB } from './names.ts'
import { Personal } from './personal.ts'
import { NodeTranslation, PersonalEvents } from './personal-events.ts'
import { FEATURES, respond, wantedOf } from './requests.ts'
import { authorize, isAuthorization } from './subscribing.ts'
import { translated } from './translating.ts'

const PEP_FEATURES = [
  'auto-create',
  'auto-subscribe',
  'filtered-notifications',
  'presence-notifications',
  'presence-subscribe',
]

const MEMORY = serviceKey<Memory>('pep-memory')
export const pep = chatFeature({
  name: 'pep',
  summary:
    'Keeps what people publish of themselves, and tells their contacts: avatars, keys for encryption, moods, bookmarks.',
  config: v.strictObject({
    ...limitSettings({
      nodes: 500,
      nodesOf: 'how many nodes one account may have',
      octets: '64MiB',
      octetsOf: 'how big all items of one account may be together',
      members: 1000,
    }),
    'remembered-capabilities': most(10_000, 'of how many kinds of clients it is remembered what they want to hear of'),
    'remembered-contacts': most(
      10_000,
      'of how many contacts on other servers, and of how many accounts, it is remembered',
    ),
  }),

  async attach(host, config, scope) {
    const remembered = config['remembered-contacts']
    const memory = await scope.keep(
      MEMORY,
      () => new Memory({ capabilities: config['remembered-capabilities'], remotes: remembered, accounts: remembered }),
    )
    const personal = new Personal(host, scope, memory, placeLimits(config))
    const interests = new Interests(host, scope, memory.capabilities, config['remembered-capabilities'])
    host.offer(PersonalEvents, personal)

    host.disco.identity({ category: 'pubsub', type: 'pep' }, ['account'])
    host.disco.feature(PUBSUB, ['account'])
    for (const feature of [...FEATURES, ...PEP_FEATURES.map((name) => `${PUBSUB}#${name}`)])
      host.disco.feature(feature, ['account'])
    host.disco.accountNodes({
      list: (iq) => listOfNodes(placeFor(iq, personal), iq),
      node: (name) => ({
        info: (iq) => infoOfNode(placeFor(iq, personal), iq, name),
        items: (iq) => itemsOfNode(placeFor(iq, personal), iq, name),
      }),
    })

    for (const xmlns of [PUBSUB, OWNER])
      for (const type of ['get', 'set'] as const)
        host.iq[type](xmlns, 'pubsub', ['account'], async (iq) => {
          const place = placeFor(iq, personal)
          const element = wantedOf(iq.payload)
          if (xmlns === PUBSUB && iq.from.bareString === place.account.address) {
            const node = element.get('node')
            const translation = host.all(NodeTranslation, iq.to.domain).findLast((each) => each.node === node)
            const done = translation && (await translated(translation, place.account, place, element))
            if (done !== undefined) return iq.result(done.answer)
          }
          return iq.result(await respond(place, iq, type, scope.clock.now()))
        })

    // §8.6 of XEP-0060: an owner answers a request for a subscription.
    host.hooks.sending.on(({ stanza, origin, to }) => {
      const account = origin.session?.account
      if (stanza.name !== 'message' || account === undefined || to.toString() !== account.bare) return undefined
      return isAuthorization(stanza) ? authorize(personal.place(account.account), origin.jid, stanza) : undefined
    })

    /** Sends what an account that has sessions, or none, has published last. */
    const welcome = async (owner: string, viewer: Jid, wanted: ReadonlySet<string>): Promise<void> => {
      const domain = owner.slice(owner.lastIndexOf('@') + 1)
      const events = host.find(PersonalEvents, domain)
      if (events === undefined || !host.accounts.isLocal(domain)) return
      const account = host.sessions(owner)[0]?.account.account ?? (await host.accounts.byAddress(owner))
      if (account !== undefined) await events.welcome(account, viewer, wanted)
    }

    /** A client has come, or says something else of itself. */
    const came = async (session: Session, claimed: string, stanza: Parameters<typeof claimOf>[0]): Promise<void> => {
      const claim = claimOf(stanza)
      const before = session.get(wants)?.nodes ?? NOTHING
      session.set(wants, new Interest(claimed, before))
      const nodes = claim === undefined ? NOTHING : await interests.of(claim, session.jid, session.account.jid)
      if (session.over || session.get(wants)?.claimed !== claimed) return
      session.set(wants, new Interest(claimed, nodes))
      const fresh = new Set([...nodes].filter((node) => !before.has(node)))
      if (fresh.size === 0) return
      await personal.welcome(session.account.account, session.jid, fresh)
      for (const [contact, item] of session.account.roster?.items ?? []) {
        if (session.over) return
        if ((stateOf(item) & TO) === 0 || session.account.blocked?.blocks(contact) === true) continue
        await welcome(contact, session.jid, fresh)
      }
    }

    const logged = (work: Promise<void>): void =>
      void work.catch((error: unknown) => scope.log.warn({ err: error }, 'what was published last was not sent'))

    host.hooks.available.on(({ session, stanza, first }) => {
      const claim = claimOf(stanza)
      const claimed = claim === undefined ? '' : `${claim.hash ?? ''} ${claim.node}`
      if (first) session.set(wants, new Interest('', NOTHING))
      else if (session.get(wants)?.claimed === claimed) return
      if (claimed !== '' || !first) logged(came(session, claimed, stanza))
    })

    // A contact on another server has come, or gone.
    host.hooks.receiving.on(({ stanza, origin, account, session }) => {
      if (stanza.name !== 'presence' || origin.session !== undefined || session !== undefined) return undefined
      const { jid } = origin
      if (!jid.isFull) return undefined
      if (stanza.get('type') === 'unavailable') memory.remote(jid.bareString, jid.toString(), undefined)
      else if (stanza.get('type') === undefined) logged(cameElsewhere(account, jid, stanza))
      return undefined
    })
    const cameElsewhere = async (account: Account, jid: Jid, stanza: Parameters<typeof claimOf>[0]): Promise<void> => {
      const claim = claimOf(stanza)
      // Strangers are not asked anything: they would learn that there is somebody.
      if (claim === undefined || !(await host.maySeePresence(account, jid))) return
      const wanted = await interests.of(claim, jid, Jid.of(account.local, account.domain))
      memory.remote(jid.bareString, jid.toString(), wanted)
      await personal.welcome(account, jid, wanted)
    }

    // Somebody sees the account's presence who did not before.
    host.hooks.shown.on(({ account, to }) => {
      const contact = to.bareString
      for (const session of host.sessions(contact)) {
        const nodes = session.get(wants)?.nodes
        if (session.available && nodes !== undefined) logged(personal.welcome(account.account, session.jid, nodes))
      }
      for (const [full, wanted] of memory.remotes.peek(contact) ?? [])
        logged(personal.welcome(account.account, Jid.parse(full), wanted))
    })
  },
})

function placeFor({ account }: IqRequest, personal: Personal): AccountPlace {
  if (account === undefined) throw StanzaError.of('service-unavailable')
  return personal.place(account)
}
