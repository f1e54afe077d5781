// XEP-0124, XEP-0206: where chat clients connect that have nothing but requests over HTTP

import * as v from 'valibot'
import { defineModule } from '../../../kernel/module.ts'
import { randomWord } from '../../../kernel/random.ts'
import { type Scope, serviceKey } from '../../../kernel/scope.ts'
import { duration } from '../../../kernel/units.ts'
import { addressGroup } from '../../../net/addresses.ts'
import { endpoints, Network, type Session as NetSession } from '../../../net/contracts.ts'
import { Web, WebError, type WebReply, type WebRequest } from '../../../net/web/contracts.ts'
import { ClientConnection, clientSettings, Terms } from '../client-connection.ts'
import { webConnections } from '../web-connections.ts'
import { requireHttps, webPath } from '../web-settings.ts'
import { BoshError, type BoshRequest, readBody } from './body.ts'
import { type BoshAnswer, BoshSession, refusal } from './session.ts'

const count = v.pipe(v.number(), v.integer(), v.minValue(1))

const config = v.strictObject({
  path: webPath('/http-bind'),
  'require-tls': requireHttps,
  'max-wait': v.pipe(
    duration('120s'),
    v.description('the longest time for which a request is kept waiting; clients ask for less'),
  ),
  'max-inactivity': v.pipe(
    duration('60s'),
    v.minValue(1000, 'expected at least one second'),
    v.description('how long a client may be without a request before it counts as gone'),
  ),
  'max-pause': v.pipe(duration('120s'), v.description('the same for a client that says that it will be away')),
  'min-polling': v.pipe(duration('5s'), v.description('the shortest time between two requests that bring nothing')),
  'max-sessions': v.optional(v.pipe(count, v.description('sessions at the same time')), 5000),
  'sessions-per-address': v.optional(
    v.pipe(count, v.description('sessions of one IPv4 address, or one IPv6 /64, at the same time')),
    100,
  ),
  ...clientSettings,
})
type Config = v.InferOutput<typeof config>

export const bosh = defineModule({
  family: endpoints,
  name: 'bosh',
  summary: 'Chat clients that can do no more than ask over HTTP (BOSH), served by `http`.',
  config,

  async create(config, scope) {
    const sessions = await scope.keep(boshSessions, () => new Sessions())
    const door = new BoshDoor(config, scope, sessions)
    scope.use(webConnections).open(scope, 'xbosh', config.path)
    scope.use(Web).route(scope, {
      method: 'POST',
      path: config.path,
      crossOrigin: 'trusted',
      maxBody: maxBodyOf(config),
      handle: (request) => door.answer(request),
    })
    return { bound: [] }
  },
})

/** A request may bring several stanzas. */
const maxBodyOf = (config: Config): number => config['max-stanza'] * 2

/** The sessions of all generations of the config: a client does not see a reload. */
class Sessions {
  readonly #byId = new Map<string, BoshSession>()
  readonly #byAddress = new Map<string, number>()

  get size(): number {
    return this.#byId.size
  }

  get(sid: string): BoshSession | undefined {
    return this.#byId.get(sid)
  }

  of(group: string): number {
    return this.#byAddress.get(group) ?? 0
  }

  add(session: BoshSession, group: string): void {
    this.#byId.set(session.sid, session)
    this.#byAddress.set(group, this.of(group) + 1)
  }

  remove(session: BoshSession, group: string): void {
    if (!this.#byId.delete(session.sid)) return
    const left = this.of(group) - 1
    if (left > 0) this.#byAddress.set(group, left)
    else this.#byAddress.delete(group)
  }
}

const boshSessions = serviceKey<Sessions>('bosh-sessions')

class BoshDoor {
  readonly #config: Config
  readonly #scope: Scope
  readonly #terms: Terms
  readonly #sessions: Sessions
  /** Those that began here. */
  readonly #own = new Set<NetSession>()

  constructor(config: Config, scope: Scope, sessions: Sessions) {
    this.#config = config
    this.#scope = scope
    this.#terms = new Terms(config, scope)
    this.#sessions = sessions
    scope.defer(async () => void (await Promise.all(Array.from(this.#own, (session) => session.shutdown()))))
  }

  async answer(request: WebRequest): Promise<WebReply> {
    if (this.#config['require-tls'] && !request.secure) throw new WebError(403, 'Use https.')
    // What a browser lets pages of other sites send without asking.
    if (!request.trustedOrigin) throw new WebError(403, 'Pages of that site may not chat here.')
    const octets = await request.octets(maxBodyOf(this.#config))
    let wish: BoshRequest
    try {
      wish = readBody(octets, this.#terms.readerLimits)
    } catch (error) {
      if (error instanceof BoshError) return reply(refusal(error.condition), undefined)
      throw error
    }
    return reply(await this.#receive(wish, request), wish.content)
  }

  #receive(wish: BoshRequest, request: WebRequest): BoshAnswer | Promise<BoshAnswer> {
    if (wish.sid === undefined) return this.#begin(wish, request)
    const session = this.#sessions.get(wish.sid)
    return session === undefined ? refusal('item-not-found') : session.receive(wish, request)
  }

  #begin(wish: BoshRequest, request: WebRequest): BoshAnswer | Promise<BoshAnswer> {
    const legacy = wish.ver === undefined
    const group = addressGroup(request.remoteAddress)
    const { 'max-sessions': most, 'sessions-per-address': mostOfOne } = this.#config
    if (this.#sessions.size >= most || this.#sessions.of(group) >= mostOfOne) return refusal('policy-violation', legacy)
    try {
      return this.#open(wish, request, group).receive(wish, request)
    } catch (error) {
      if (error instanceof BoshError) return refusal(error.condition, legacy)
      throw error
    }
  }

  #open(wish: BoshRequest, request: WebRequest, group: string): BoshSession {
    const { clock, random } = this.#scope
    const config = this.#config
    const terms = {
      clock,
      inactivity: config['max-inactivity'],
      polling: config['min-polling'],
      maxWait: config['max-wait'],
      maxPause: config['max-pause'],
    }
    const id = randomWord(random, CONNECTION_ID_LENGTH)
    const log = this.#scope.log.child({ session: id })
    const over = (): void => {
      this.#sessions.remove(session, group)
      this.#own.delete(carried)
      release()
    }
    const session = new BoshSession(randomWord(random, SID_LENGTH), wish, terms, over)
    const client = new ClientConnection(this.#terms, {
      connection: { id, remoteAddress: request.remoteAddress, log },
      socket: session.pipe,
      secure: request.secure,
      messages: true,
    })
    const carried: NetSession = {
      shutdown() {
        const done = client.shutdown()
        // Nobody can be told: no request comes any more.
        if (session.deserted) session.pipe.destroy()
        return done
      },
    }
    const release = this.#scope.use(Network).adopt(carried)
    this.#own.add(carried)
    this.#sessions.add(session, group)
    return session
  }
}

const CONNECTION_ID_LENGTH = 10
/** Characters of five bits each. */
const SID_LENGTH = 40

const XML = 'text/xml; charset=utf-8'

/** What some clients can only read their answers as (XEP-0124 §7.1). Nothing that a browser would make a page of. */
const TYPES: ReadonlySet<string> = new Set(['text/xml', 'application/xml', 'text/plain'])

function reply({ status, xml }: BoshAnswer, wanted: string | undefined): WebReply {
  const [type = ''] = wanted?.toLowerCase().split(';') ?? []
  return {
    status,
    headers: {
      'content-type': TYPES.has(type.trim()) ? `${type.trim()}; charset=utf-8` : XML,
      'cache-control': 'no-store',
      // A form of another site could make a browser show an answer: it must not be a page of ours, with scripts from somebody's message.
      'content-security-policy': "default-src 'none'; sandbox; frame-ancestors 'none'",
    },
    body: xml,
  }
}
