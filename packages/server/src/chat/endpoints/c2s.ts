// RFC 6120, XEP-0368: where chat clients connect

import * as v from 'valibot'
import { defineModule } from '../../kernel/module.ts'
import { duration } from '../../kernel/units.ts'
import { listenAddress } from '../../net/addresses.ts'
import {
  type Bound,
  type ChannelBindings,
  type Connection,
  endpoints,
  Network,
  type Session as NetSession,
  type TlsFacts,
} from '../../net/contracts.ts'
import { proxyProtocol } from '../../net/proxy-protocol.ts'
import { streamOpening } from './opening.ts'
import { type Carrier, ClientConnection, clientSettings, Terms } from './client-connection.ts'

const config = v.strictObject({
  listen: v.optional(
    v.pipe(v.array(listenAddress), v.description('addresses where clients connect in the clear and then start TLS')),
    ['[::]:5222'],
  ),
  'listen-tls': v.optional(
    v.pipe(v.array(listenAddress), v.description('addresses where clients begin with TLS (XEP-0368)')),
    ['[::]:5223'],
  ),
  'proxy-protocol': proxyProtocol,
  'require-tls': v.optional(
    v.pipe(
      v.boolean(),
      v.description('false lets clients stay in the clear, where accounts.cleartext lets them log in: for tests'),
    ),
    true,
  ),
  ...clientSettings,
  'tcp-keepalive': v.pipe(
    duration('2m'),
    v.description('how long a connection may be silent before the network is asked whether the client is still there'),
  ),
})

/** A stream over a socket of its own, with TLS from the start or later. */
class SocketCarrier implements Carrier {
  readonly connection: Connection
  readonly socket: Connection['socket']
  readonly secure: boolean
  readonly starttls: Carrier['starttls']

  constructor(connection: Connection, required: boolean) {
    this.connection = connection
    this.socket = connection.socket
    this.secure = connection.tls !== undefined
    this.starttls = this.secure ? undefined : { required, start: () => connection.startTls() }
  }

  channelBinding(): ChannelBindings | undefined {
    return this.connection.tls?.channelBinding
  }

  certificate(): TlsFacts['clientCertificate'] {
    return this.connection.tls?.clientCertificate
  }
}

export const c2s = defineModule({
  family: endpoints,
  name: 'c2s',
  summary: 'Chat clients (XMPP).',
  config,

  async create(config, scope) {
    const network = scope.use(Network)
    const terms = new Terms(config, scope)
    const proxies = config['proxy-protocol']
    const serve = (connection: Connection): NetSession => {
      const { socket } = connection
      socket.setNoDelay(true)
      socket.setKeepAlive(true, config['tcp-keepalive'])
      return new ClientConnection(terms, new SocketCarrier(connection, config['require-tls']))
    }
    const clientCertificates = terms.accounts.clientCertificates('c2s')
    const opening = streamOpening('clients')
    const bound: Bound[] = []
    for (const address of config.listen)
      bound.push(
        await network.listen(scope, {
          protocol: 'c2s',
          address,
          tls: 'starttls',
          opening,
          clientCertificates,
          proxies,
          serve,
        }),
      )
    for (const address of config['listen-tls'])
      bound.push(
        await network.listen(scope, {
          protocol: 'c2s',
          address,
          tls: 'implicit',
          alpn: ['xmpp-client'],
          clientCertificates,
          opening,
          proxies,
          serve,
        }),
      )
    return { bound }
  },
})
