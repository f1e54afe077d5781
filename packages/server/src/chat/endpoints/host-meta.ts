// XEP-0156, RFC 6415: where clients of a domain find its WebSocket and BOSH

import { escapeAttribute, prepareDomain } from '@aviso/xmpp'
import * as v from 'valibot'
import { defineModule } from '../../kernel/module.ts'
import { endpoints } from '../../net/contracts.ts'
import { Web, WebError, type WebReply } from '../../net/web/contracts.ts'
import { Chat } from '../core/contracts.ts'
import { webConnections } from './web-connections.ts'

interface Link {
  readonly rel: string
  readonly href: string
}

const XRD = 'http://docs.oasis-open.org/ns/xri/xrd-1.0'

export const hostMeta = defineModule({
  family: endpoints,
  name: 'host-meta',
  summary: 'Tells chat clients where WebSocket and BOSH of a domain are: /.well-known/host-meta, in XML and JSON.',
  config: v.strictObject({}),

  create(_config, scope) {
    const web = scope.use(Web)
    const chat = scope.use(Chat)
    const connections = scope.use(webConnections)
    const links = (host: string): readonly Link[] => {
      if (!isOurs(host, chat)) throw new WebError(404, 'There is no chat at this domain.')
      return connections.links(host)
    }
    const told = (type: string, body: string): WebReply => ({
      headers: { 'content-type': type, 'cache-control': 'public, max-age=3600' },
      body,
    })
    web.route(scope, {
      method: 'GET',
      path: '/.well-known/host-meta',
      crossOrigin: 'any',
      handle: ({ host }) => told('application/xrd+xml; charset=utf-8', xrd(links(host))),
    })
    web.route(scope, {
      method: 'GET',
      path: '/.well-known/host-meta.json',
      crossOrigin: 'any',
      handle: ({ host }) => told('application/json', JSON.stringify({ links: links(host) })),
    })
    return { bound: [] }
  },
})

function isOurs(host: string, chat: Chat): boolean {
  try {
    return chat.isLocal(host) || chat.isLocal(prepareDomain(host))
  } catch {
    return false
  }
}

const xrd = (links: readonly Link[]): string =>
  `<?xml version='1.0' encoding='utf-8'?>\n<XRD xmlns='${XRD}'>\n${links
    .map(({ rel, href }) => `  <Link rel='${escapeAttribute(rel)}' href='${escapeAttribute(href)}'/>\n`)
    .join('')}</XRD>\n`
