// RFC 6120, XEP-0368: where chat clients connect

import * as v from 'valibot'
import { defineModule } from '../../kernel/module.ts'
import { duration } from '../../kernel/units.ts'
import { listenAddress } from '../../net/addresses.ts'
import { type Bound, type Connection, endpoints, Network, type Session as NetSession } from '../../net/contracts.ts'
import { proxyProtocol } from '../../net/proxy-protocol.ts'
import { streamOpening } from './opening.ts'
import { ClientConnection, clientSettings, Terms } from './client-connection.ts'

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
      return new ClientConnection(terms, {
        connection,
        socket,
        secure: connection.tls !== undefined,
        starttls: { required: config['require-tls'], start: () => connection.startTls() },
        channelBinding: () => connection.tls?.channelBinding,
      })
    }
    const opening = streamOpening('clients')
    const bound: Bound[] = []
    for (const address of config.listen)
      bound.push(await network.listen(scope, { protocol: 'c2s', address, tls: 'starttls', opening, proxies, serve }))
    for (const address of config['listen-tls'])
      bound.push(
        await network.listen(scope, {
          protocol: 'c2s',
          address,
          tls: 'implicit',
          alpn: ['xmpp-client'],
          opening,
          proxies,
          serve,
        }),
      )
    return { bound }
  },
})
