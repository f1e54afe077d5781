// RFC 7395: where chat clients in browsers connect

import { MESSAGE_SEPARATOR } from '@aviso/xmpp'
import * as v from 'valibot'
import { defineModule } from '../../kernel/module.ts'
import { duration } from '../../kernel/units.ts'
import { endpoints } from '../../net/contracts.ts'
import { Web, WebError } from '../../net/web/contracts.ts'
import { acceptWebSocket, WebSocket } from '../../net/web/websocket.ts'
import { ClientConnection, clientSettings, Terms } from './client-connection.ts'
import { webConnections } from './web-connections.ts'
import { requireHttps, webPath } from './web-settings.ts'

/** How long a client may take to answer that we close. Milliseconds. */
const CLOSE_TIMEOUT = 5000

export const websocket = defineModule({
  family: endpoints,
  name: 'websocket',
  summary: 'Chat clients in browsers (XMPP over WebSocket), served by `http`.',
  config: v.strictObject({
    path: webPath('/xmpp-websocket'),
    'require-tls': requireHttps,
    ping: v.pipe(
      duration('60s'),
      v.minValue(1000),
      v.description('how long a client may be silent before it is asked whether it is still there'),
    ),
    ...clientSettings,
  }),

  create(config, scope) {
    const terms = new Terms(config, scope)
    scope.use(webConnections).open(scope, 'websocket', config.path)
    scope.use(Web).route(scope, {
      path: config.path,
      crossOrigin: 'trusted',
      upgrade(request) {
        if (config['require-tls'] && !request.secure) throw new WebError(403, 'Use https, or wss.')
        // RFC 6455 §10.2
        if (!request.trustedOrigin) throw new WebError(403, 'Pages of that site may not chat here.')
        return {
          headers: acceptWebSocket(request, 'xmpp'),
          serve(connection, head) {
            const socket = new WebSocket(connection.socket, head, {
              clock: scope.clock,
              separator: MESSAGE_SEPARATOR,
              maxMessage: config['max-stanza'],
              ping: config.ping,
              closeTimeout: CLOSE_TIMEOUT,
            })
            return new ClientConnection(terms, { connection, socket, secure: request.secure, messages: true })
          },
        }
      },
    })
    return { bound: [] }
  },
})
