// XEP-0065: SOCKS5 Bytestreams, the proxy between two clients that do not reach each other

import { el, Jid, StanzaError } from '@aviso/xmpp'
import type { Socket } from 'node:net'
import * as v from 'valibot'
import { defineModule } from '../../kernel/module.ts'
import type { Scope } from '../../kernel/scope.ts'
import { duration } from '../../kernel/units.ts'
import { listenAddress } from '../../net/addresses.ts'
import { type Bound, type Connection, endpoints, Network, type Session } from '../../net/contracts.ts'
import { proxyProtocol } from '../../net/proxy-protocol.ts'
import { MeetingPlace, meetingPlace, streamName } from '../bytestreams/meeting.ts'
import { Handshake, reply } from '../bytestreams/socks5.ts'
import { Chat, type IqRequest } from '../core/contracts.ts'
import { openService, openServices, serviceDomain, type ServicePlace } from '../core/service.ts'
import { sizeOrNone } from '../files/config.ts'

const BYTESTREAMS = 'http://jabber.org/protocol/bytestreams'

/** How long a client may take to say which bytestream it wants. */
const HANDSHAKE_MS = 15_000
const MAX_SID = 256

const count = v.pipe(v.number(), v.integer(), v.minValue(1))

const config = v.strictObject({
  listen: v.optional(v.pipe(v.array(listenAddress), v.description('addresses where clients connect')), ['[::]:5000']),
  'proxy-protocol': proxyProtocol,
  domain: serviceDomain('proxy.{domain}', 'where clients ask for the proxy'),
  name: v.optional(v.pipe(v.string(), v.description('how clients show it')), 'File transfer relay'),
  host: v.optional(
    v.pipe(
      v.string(),
      v.regex(/^[A-Za-z0-9.:-]{1,253}$/, 'expected a host name or an address'),
      v.description('the name or address where clients connect; the domain of the proxy if not set'),
    ),
  ),
  port: v.optional(
    v.pipe(
      count,
      v.maxValue(65_535),
      v.description('the port where clients connect; the one that it listens on if not set'),
    ),
  ),
  bandwidth: v.optional(v.pipe(sizeOrNone, v.description('octets a second of one transfer; or `none`')), '4MiB'),
  'transfers-per-account': v.optional(
    v.pipe(count, v.description('how many transfers one account may have begun at the same time')),
    10,
  ),
  'max-waiting': v.optional(
    v.pipe(count, v.description('how many connections may wait for the other end of their transfer')),
    500,
  ),
  wait: v.pipe(duration('2m'), v.description('how long a connection may wait for the other end of its transfer')),
})
type Settings = v.InferOutput<typeof config>

export const proxy65 = defineModule({
  family: endpoints,
  name: 'proxy65',
  summary: 'Passes on files between chat clients that do not reach each other (SOCKS5 bytestreams).',
  config,

  async create(settings, scope) {
    const network = scope.use(Network)
    const place = await scope.keep(meetingPlace, (kept) => new MeetingPlace(kept))
    const bound: Bound[] = []
    for (const address of settings.listen)
      bound.push(
        await network.listen(scope, {
          protocol: 'proxy65',
          address,
          tls: 'none',
          proxies: settings['proxy-protocol'],
          serve: (connection) => serve(connection, settings, place, scope),
        }),
      )
    const port = settings.port ?? bound[0]?.port ?? 0
    await openServices(scope, settings.domain, (where, inner) => openProxy(inner, where, settings, place, port))
    return { bound }
  },
})

/** Makes the handshake, and lets the connection wait. */
function serve({ socket, log }: Connection, settings: Settings, place: MeetingPlace, scope: Scope): Session {
  const handshake = new Handshake()
  const timer = scope.timeout(HANDSHAKE_MS, () => void socket.destroy())
  const refuse = (octets: Buffer | undefined): void => {
    if (octets !== undefined) socket.write(octets)
    socket.destroySoon()
  }
  const read = (octets: Buffer): void => {
    handshake.feed(octets)
    for (;;) {
      const step = handshake.next()
      if (step.kind === 'more') return
      if (step.kind === 'answer') {
        socket.write(step.octets)
        continue
      }
      timer.cancel()
      socket.off('data', read)
      if (step.kind === 'end') return refuse(step.octets)
      const { name } = step
      if (!/^[0-9a-f]{40}$/i.test(name)) return refuse(reply('not-allowed', name))
      if (place.waiting >= settings['max-waiting']) return refuse(reply('general-failure', name))
      if (!place.wait(name.toLowerCase(), socket as Socket, settings.wait)) return refuse(reply('not-allowed', name))
      log.debug({ stream: name }, 'waits for the other end')
      socket.write(reply('succeeded', name))
      return
    }
  }
  socket.on('data', read)
  socket.on('close', () => timer.cancel())
  return { shutdown: async () => void socket.destroy() }
}

function openProxy(scope: Scope, where: ServicePlace, settings: Settings, place: MeetingPlace, port: number): void {
  const host = scope.use(Chat).host(scope)
  const limits = { bandwidth: settings.bandwidth, perAccount: settings['transfers-per-account'] }
  const service = openService(scope, {
    ...where,
    name: settings.name,
    identities: [{ category: 'proxy', type: 'bytestreams' }],
    message() {
      throw StanzaError.of('service-unavailable')
    },
    presence: () => {},
  })
  /** The account that asks: the proxy is for ours. */
  const asker = ({ origin }: IqRequest): string => {
    const account = origin.session?.account.account
    if (account === undefined || !host.covers(account.domain)) throw StanzaError.of('forbidden')
    return account.address
  }
  service.disco.feature(BYTESTREAMS, ['service'])
  service.iq.get(BYTESTREAMS, 'query', ['service'], (iq) => {
    asker(iq)
    const streamhost = el('streamhost', { jid: where.domain, host: settings.host ?? where.domain, port })
    return iq.result(el('query', { xmlns: BYTESTREAMS }, streamhost))
  })
  service.iq.set(BYTESTREAMS, 'query', ['service'], (iq) => {
    const account = asker(iq)
    const sid = iq.payload.get('sid') ?? ''
    const target = Jid.tryParse(iq.payload.childText('activate', BYTESTREAMS) ?? '')
    if (sid === '' || sid.length > MAX_SID || target === undefined)
      throw StanzaError.of('bad-request', 'a bytestream has a sid and a target')
    const outcome = place.join(streamName(sid, iq.from.toString(), target.toString()), account, limits)
    switch (outcome) {
      case 'joined':
        return iq.result()
      case 'nobody':
        throw StanzaError.of('item-not-found', 'nobody is connected to this bytestream')
      case 'one':
        throw StanzaError.of('not-allowed', 'only one of the two is connected')
      case 'full':
        throw StanzaError.of('resource-constraint', 'you have as many transfers as you may')
    }
  })
}
