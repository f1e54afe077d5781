// XEP-0163 §4.2, XEP-0115: what clients want to hear of. Clients are asked once for each set of capabilities, by the server itself, and believed where the hash bears them out.

import { el, type Element, type Jid, NS, StanzaError } from '@aviso/xmpp'
import * as v from 'valibot'
import { RecentMap } from '../../accounts/recent.ts'
import { randomWord } from '../../kernel/random.ts'
import type { Scope } from '../../kernel/scope.ts'
import type { Host } from '../core/contracts.ts'
import { sessionSlot } from '../core/session.ts'
import { capabilitiesStore } from './capabilities.store.ts'
import { type Claim, infoOf, wantedBy } from './claims.ts'

export type Wanted = ReadonlySet<string>
export const NOTHING: Wanted = new Set()

/** What a session's client has claimed to be, and wants to hear of. */
export class Interest {
  /** '' for nothing. */
  readonly claimed: string
  readonly nodes: Wanted

  constructor(claimed: string, nodes: Wanted) {
    this.claimed = claimed
    this.nodes = nodes
  }

  toJSON(): unknown {
    return { claimed: this.claimed, nodes: [...this.nodes] }
  }
}

/** Of each session; it outlives the server where the session does. */
export const wants = sessionSlot<Interest>(
  'pep',
  v.pipe(
    v.object({ claimed: v.string(), nodes: v.array(v.string()) }),
    v.transform(({ claimed, nodes }) => new Interest(claimed, new Set(nodes))),
  ),
)

const ANSWER_MS = 30_000
/** Questions that are open at the same time. */
const MAX_OPEN = 2000

/** What is known of capabilities; it outlives a generation. */
export class KnownCapabilities {
  readonly wanted: RecentMap<string, Wanted>

  constructor(most: number) {
    this.wanted = new RecentMap(most)
  }
}

export class Interests {
  readonly #host: Host
  readonly #scope: Scope
  readonly #known: KnownCapabilities
  readonly #most: number
  /** Questions that wait for their answer, by their ids. */
  readonly #open = new Map<string, { readonly from: string; settle(answer: Element | undefined): void }>()
  /** The same by the hash that they are about. */
  readonly #asking = new Map<string, Promise<Wanted | undefined>>()

  /** `most`: sets of capabilities that are remembered. */
  constructor(host: Host, scope: Scope, known: KnownCapabilities, most: number) {
    this.#host = host
    this.#scope = scope
    this.#known = known
    this.#most = most
    host.hooks.answered.on(({ stanza, origin }) => {
      const open = this.#open.get(stanza.get('id') ?? '')
      if (open !== undefined && open.from === origin.jid.toString()) open.settle(stanza)
    })
  }

  /** What the client `who` wants, by what it claims; `asker` is the bare JID of an account of ours in whose name it is asked. Nothing where it does not say. */
  async of(claim: Claim, who: Jid, asker: Jid): Promise<Wanted> {
    const { hash } = claim
    if (hash === undefined) return (await this.#ask(claim, who, asker))?.wanted ?? NOTHING
    const known = this.#known.wanted.get(hash)
    if (known !== undefined) return known
    const stored = await this.#host.store.core(capabilitiesStore).get({ hash })
    if (stored !== undefined) return this.#keep(hash, new Set(stored))
    // One client is asked for all that claim the same; where it does not tell, the next one is.
    for (let other = this.#asking.get(hash); other !== undefined; other = this.#asking.get(hash)) {
      const found = await other
      if (found !== undefined) return found
    }
    let own: Wanted | undefined
    const asking = this.#ask(claim, who, asker).then(async (answer) => {
      own = answer?.wanted
      if (answer?.holds !== true) return undefined
      this.#keep(hash, answer.wanted)
      await this.#host.store.core(capabilitiesStore).put({ hash, wanted: [...answer.wanted], most: this.#most })
      return answer.wanted
    })
    this.#asking.set(hash, asking)
    try {
      // What is not borne out is still that client's own word for itself.
      return (await asking) ?? own ?? NOTHING
    } finally {
      this.#asking.delete(hash)
    }
  }

  #keep(hash: string, wanted: Wanted): Wanted {
    this.#known.wanted.set(hash, wanted)
    return wanted
  }

  async #ask(
    claim: Claim,
    who: Jid,
    asker: Jid,
  ): Promise<{ readonly wanted: Wanted; readonly holds: boolean } | undefined> {
    const answer = await this.#answer(claim.node, who, asker)
    const query = answer?.get('type') === 'result' ? answer.firstElement : undefined
    const info = query && infoOf(query)
    return info && { wanted: new Set(wantedBy(info)), holds: claim.holds(info) }
  }

  #answer(node: string, who: Jid, asker: Jid): Promise<Element | undefined> {
    if (this.#open.size >= MAX_OPEN) return Promise.resolve(undefined)
    const id = randomWord(this.#scope.random, 16)
    const to = who.toString()
    const question = el(
      'iq',
      { type: 'get', from: asker.toString(), to, id },
      el('query', { xmlns: NS.discoInfo, node }),
    )
    return new Promise((resolve) => {
      const timer = this.#scope.clock.timeout(ANSWER_MS, () => settle(undefined))
      const settle = (answer: Element | undefined): void => {
        timer.cancel()
        this.#open.delete(id)
        resolve(answer)
      }
      this.#open.set(id, { from: to, settle })
      this.#host.route(question, { jid: asker, reply: settle }).catch((error: unknown) => {
        settle(undefined)
        if (!(error instanceof StanzaError)) this.#scope.log.warn({ err: error }, 'a client was not asked')
      })
    })
  }
}
