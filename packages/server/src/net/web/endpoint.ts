// RFC 9112: where browsers and other clients of HTTP connect

import * as v from 'valibot'
import { defineModule } from '../../kernel/module.ts'
import { duration, size } from '../../kernel/units.ts'
import { listenAddress, networkRange } from '../addresses.ts'
import { type Bound, type Connection, endpoints, Network, type Session } from '../contracts.ts'
import { proxyProtocol } from '../proxy-protocol.ts'
import { WebRoutes } from './routes.ts'
import { HttpServer, isOrigin } from './server.ts'
import { requestOpening } from './target.ts'

const origin = v.pipe(
  v.string(),
  v.check(
    (text) => text === '*' || isOrigin(text),
    (issue) => `expected an origin such as https://chat.example.org, or '*' for all, but found '${issue.input}'`,
  ),
)

const config = v.strictObject({
  listen: v.optional(
    v.pipe(v.array(listenAddress), v.description('addresses where HTTP is spoken in the clear: for a proxy in front')),
    ['127.0.0.1:5280'],
  ),
  'listen-tls': v.optional(
    v.pipe(
      v.array(listenAddress),
      v.description('addresses where HTTPS is spoken; [::]:443 where no other program has it'),
    ),
    ['[::]:5281'],
  ),
  'proxy-protocol': proxyProtocol,
  'trusted-proxies': v.optional(
    v.pipe(
      v.array(v.union([v.literal('unix'), networkRange], 'expected an address, a network, or unix')),
      v.description(
        'proxies (unix: whoever connects to a unix socket) that are believed what they say of the client: Forwarded, or X-Forwarded-For, -Proto and -Host',
      ),
    ),
    ['127.0.0.0/8', '::1', 'unix'],
  ),
  url: v.optional(
    v.pipe(
      v.string(),
      v.check(
        (text) => /^https?:\/\/[^/?#]+$/.test(text) && URL.canParse(text.replace('{host}', 'host')),
        'expected an address such as https://chat.example.org or https://{host}',
      ),
      v.description(
        'how clients get here, where that is not the first address above: through a proxy, say. {host} stands for the domain or the host that is meant',
      ),
    ),
  ),
  origins: v.optional(
    v.pipe(
      v.array(origin),
      v.description(
        'web pages of other sites that may chat here, by their origin (https://chat.example.org); * for all',
      ),
    ),
    [],
  ),
  'max-header': v.pipe(size('16KiB'), v.minValue(1024), v.description('the biggest header of a request')),
  'header-timeout': v.pipe(duration('20s'), v.description('how long the header of a request may take')),
  'idle-timeout': v.pipe(duration('60s'), v.description('how long a connection may wait for its next request')),
  'stall-timeout': v.pipe(
    duration('30s'),
    v.description('how long a request or a reply may go on with less than 512 octets a second'),
  ),
})
export const http = defineModule({
  family: endpoints,
  name: 'http',
  summary: 'The web: chat for browsers (WebSocket, BOSH), where clients find them, and the page /chat/.',
  config,

  async create(config, scope) {
    const network = scope.use(Network)
    const routes = scope.use(WebRoutes)
    const server = new HttpServer(config, scope, routes)
    const bound: Bound[] = []
    const serve = (connection: Connection): Session => server.take(connection)
    const proxies = config['proxy-protocol']
    for (const [addresses, tls] of [
      [config['listen-tls'], 'implicit'],
      [config.listen, 'none'],
    ] as const)
      for (const address of addresses) {
        const alpn = tls === 'implicit' ? { alpn: ['http/1.1'] } : {}
        bound.push(
          await network.listen(scope, {
            protocol: 'http',
            address,
            tls,
            ...alpn,
            opening: requestOpening,
            proxies,
            serve,
          }),
        )
      }
    const first = bound[0]
    const url = config.url ?? (first && defaultUrl(first))
    if (url !== undefined) routes.reached(scope, (host) => url.replace('{host}', host))
    return { bound }
  },
})

/** `https://{host}:5281`. */
function defaultUrl({ tls, port }: Bound): string | undefined {
  if (port === 0) return undefined
  const [scheme, usual] = tls === 'implicit' ? (['https', 443] as const) : (['http', 80] as const)
  return `${scheme}://{host}${port === usual ? '' : `:${port}`}`
}
