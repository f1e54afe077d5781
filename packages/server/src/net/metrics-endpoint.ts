// GET /metrics (OpenMetrics) and GET /healthz: routes of the web, and on an address of their own.

import { createHash, timingSafeEqual } from 'node:crypto'
import * as v from 'valibot'
import { defineModule } from '../kernel/module.ts'
import { type Scope, serviceKey } from '../kernel/scope.ts'
import { AddressSet, listenAddress, networkRange } from './addresses.ts'
import { endpoints, type Endpoint, Network } from './contracts.ts'
import { Web, WebError, type WebReply, type WebRequest } from './web/contracts.ts'
import { Routes } from './web/routes.ts'
import { HttpServer } from './web/server.ts'
import { requestOpening } from './web/target.ts'

const watching = serviceKey<void>('process-metrics')

/** What the address of their own is served with: nobody stands in front of it. */
const OWN = {
  'trusted-proxies': [],
  origins: [],
  'max-header': 8192,
  'header-timeout': 20_000,
  'idle-timeout': 60_000,
  'stall-timeout': 30_000,
}

export const metricsEndpoint = defineModule({
  family: endpoints,
  name: 'metrics',
  summary:
    'Tells a monitoring system how the server is: GET /metrics (OpenMetrics) and GET /healthz, on an address of their own and, with a token, served by `http`.',
  config: v.strictObject({
    listen: v.optional(
      v.pipe(
        v.union([v.literal('none'), listenAddress]),
        v.description('an address of their own, in the clear; `none`: only `http` serves them'),
      ),
      '127.0.0.1:9464',
    ),
    allow: v.optional(v.pipe(v.array(networkRange), v.description('who may ask there without a token')), [
      '127.0.0.0/8',
      '::1',
    ]),
    token: v.optional(
      v.pipe(
        v.string(),
        v.regex(/^[\w.~+/-]{16,}=*$/, 'expected at least 16 letters, digits or any of -._~+/'),
        v.description(
          'who shows it (Authorization: Bearer) may ask from everywhere; without it `http` does not serve /metrics. Best as ${file:/path}',
        ),
      ),
    ),
  }),

  async create(config, scope): Promise<Endpoint> {
    // Watching costs a little all the time: only where somebody may ask.
    await scope.keep(watching, (kept) => kept.defer(kept.metrics.watchProcess()))
    const allowed = new AddressSet(config.allow)
    const isToken = config.token === undefined ? () => false : sameAs(config.token)
    const tell = async (request: WebRequest, mayAsk: boolean): Promise<WebReply> => {
      if (!mayAsk && !isToken(bearer(request)))
        throw new WebError(401, 'This is for those who show the token.', { 'www-authenticate': 'Bearer' })
      const { metrics } = scope
      return {
        headers: { 'content-type': metrics.contentType, 'cache-control': 'no-store' },
        body: await metrics.text(),
      }
    }
    const web = scope.find(Web)
    if (web !== undefined) open(scope, web, config.token === undefined ? undefined : (request) => tell(request, false))
    if (config.listen === 'none') return { bound: [] }

    const routes = new Routes()
    // A unix peer has no address; the socket file's rights say who may connect.
    open(scope, routes, (request) => tell(request, request.remoteAddress === '' || allowed.has(request.remoteAddress)))
    const server = new HttpServer(OWN, scope, routes)
    const bound = await scope.use(Network).listen(scope, {
      protocol: 'metrics',
      address: config.listen,
      tls: 'none',
      opening: requestOpening,
      serve: (connection) => server.take(connection),
    })
    return { bound: [bound] }
  },
})

/** Answers until `scope` closes. */
function open(
  scope: Scope,
  web: Pick<Web, 'route'>,
  tell: ((request: WebRequest) => Promise<WebReply>) | undefined,
): void {
  const well = { headers: { 'content-type': 'text/plain; charset=utf-8', 'cache-control': 'no-store' }, body: 'ok\n' }
  web.route(scope, { method: 'GET', path: '/healthz', handle: () => well })
  if (tell !== undefined) web.route(scope, { method: 'GET', path: '/metrics', handle: tell })
}

const bearer = ({ headers }: WebRequest): string => /^Bearer +(\S+)$/i.exec(headers.authorization ?? '')?.[1] ?? ''

/** Compares without telling by its time how much was right. */
function sameAs(secret: string): (text: string) => boolean {
  const hash = (text: string): Buffer => createHash('sha256').update(text).digest()
  const right = hash(secret)
  return (text) => timingSafeEqual(hash(text), right)
}
