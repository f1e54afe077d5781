// Routes over plain HTTP on loopback, as far as the tests of chat ask for them.

import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import type { Log } from '../../src/kernel/log.ts'
import type { Scope } from '../../src/kernel/scope.ts'
import { type Web, WebError, type WebReply, type WebRequest, type WebRoute } from '../../src/net/web/contracts.ts'
import { testScope } from '../fixtures/scope.ts'

export class LittleWeb implements Web {
  readonly #routes = new Set<Extract<WebRoute, { method: unknown }>>()
  readonly #server = createServer((request, response) => void this.#serve(request, response))
  readonly #log: Log = testScope().log

  async listen(): Promise<number> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve))
    const address = this.#server.address()
    return typeof address === 'object' && address !== null ? address.port : 0
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections()
    await new Promise((resolve) => this.#server.close(resolve))
  }

  route(scope: Scope, route: WebRoute): void {
    if ('upgrade' in route) return
    this.#routes.add(route)
    scope.defer(() => void this.#routes.delete(route))
  }

  url(host: string): string {
    return `https://${host}:5281`
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    try {
      await send(response, request.method === 'HEAD', await this.#answer(request, response))
    } catch (error) {
      const refusal = error instanceof WebError ? error : new WebError(500, String(error))
      if (response.headersSent || response.destroyed) response.destroy()
      else
        response
          .writeHead(refusal.status, { ...refusal.headers, connection: 'close' })
          .end(request.method === 'HEAD' ? undefined : refusal.message)
    }
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<WebReply> {
    const url = new URL(request.url ?? '/', 'http://example.org')
    const head = request.method === 'HEAD'
    for (const route of this.#routes) {
      if (route.method !== (head ? 'GET' : request.method) || !url.pathname.startsWith(route.path)) continue
      const gone = new AbortController()
      response.once('close', () => void (response.writableFinished || gone.abort()))
      const length = request.headers['content-length']
      const asked: WebRequest = {
        log: this.#log,
        method: route.method,
        head,
        host: 'example.org',
        authority: 'example.org',
        path: url.pathname,
        rest: decodeURIComponent(url.pathname.slice(route.path.length)),
        query: url.searchParams,
        headers: request.headers,
        secure: true,
        remoteAddress: '127.0.0.1',
        origin: undefined,
        trustedOrigin: true,
        length: request.headers['transfer-encoding'] === undefined ? Number(length ?? 0) : undefined,
        body: () => request,
        octets: () => Promise.reject(new Error('not asked')),
        gone: gone.signal,
        hurry: gone.signal,
      }
      return await route.handle(asked)
    }
    throw new WebError(404, 'nothing is here')
  }
}

async function send(response: ServerResponse, head: boolean, { status = 200, headers = {}, body }: WebReply) {
  response.statusCode = status
  for (const [name, value] of Object.entries(headers)) response.setHeader(name, value)
  if (body instanceof Readable && !head) return pipeline(body, response)
  if (body instanceof Readable) body.destroy()
  response.end(head || body instanceof Readable ? undefined : body)
}
