// GET /metrics (OpenMetrics) and GET /healthz, over plain HTTP.

import { createServer } from 'node:http'
import * as v from 'valibot'
import { defineModule } from '../kernel/module.ts'
import { serviceKey } from '../kernel/scope.ts'
import { AddressSet, listenAddress, networkRange } from './addresses.ts'
import { Network, endpoints, type Endpoint } from './contracts.ts'

const IDLE_MS = 60_000

const watching = serviceKey<void>('process-metrics')

export const metricsEndpoint = defineModule({
  family: endpoints,
  name: 'metrics',
  summary: 'Tells a monitoring system how the server is: GET /metrics (OpenMetrics) and GET /healthz.',
  config: v.strictObject({
    listen: v.optional(listenAddress, '127.0.0.1:9464'),
    allow: v.optional(v.pipe(v.array(networkRange), v.description('who may ask')), ['127.0.0.0/8', '::1']),
  }),

  async create(config, scope): Promise<Endpoint> {
    const allowed = new AddressSet(config.allow)
    // Watching costs a little all the time: only where somebody may ask.
    await scope.keep(watching, (kept) => kept.defer(kept.metrics.watchProcess()))
    const http = createServer({ keepAliveTimeout: IDLE_MS, maxHeaderSize: 8192 }, (request, response) => {
      const say = (status: number, text: string, type = 'text/plain; charset=utf-8'): void => {
        response.writeHead(status, { 'content-type': type, 'content-length': Buffer.byteLength(text) })
        response.end(request.method === 'HEAD' ? undefined : text)
      }
      if (request.method !== 'GET' && request.method !== 'HEAD') return say(405, 'only GET is answered here\n')
      if (request.url === '/healthz') return say(200, 'ok\n')
      if (request.url !== '/metrics') return say(404, 'ask for /metrics or /healthz\n')
      scope.metrics.text().then(
        (text) => say(200, text, scope.metrics.contentType),
        (error: unknown) => {
          scope.log.error({ err: error }, 'metrics could not be collected')
          say(500, 'metrics could not be collected\n')
        },
      )
    })
    http.timeout = IDLE_MS

    const bound = await scope.use(Network).listen(scope, {
      protocol: 'metrics',
      address: config.listen,
      tls: 'none',
      serve({ socket, remoteAddress }) {
        // A unix peer has no address; the socket file's rights say who may connect.
        if (remoteAddress !== '' && !allowed.has(remoteAddress)) socket.destroy()
        else http.emit('connection', socket)
        return { shutdown: async () => void socket.destroySoon() }
      },
    })
    return { bound: [bound] }
  },
})
