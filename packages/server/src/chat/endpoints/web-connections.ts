// XEP-0156: the ways to chat over HTTP that are open, for those that tell of them.

import { type Scope, serviceKey } from '../../kernel/scope.ts'
import type { Web } from '../../net/web/contracts.ts'

/** `websocket`, `xbosh`. */
export type WebConnectionKind = 'websocket' | 'xbosh'

export class WebConnections {
  readonly #web: Web
  readonly #paths = new Map<WebConnectionKind, string>()

  constructor(web: Web) {
    this.#web = web
  }

  /** Open until `scope` closes. */
  open(scope: Scope, kind: WebConnectionKind, path: string): void {
    this.#paths.set(kind, path)
    scope.defer(() => void this.#paths.delete(kind))
  }

  /** Undefined: it is not open. */
  path(kind: WebConnectionKind): string | undefined {
    return this.#paths.get(kind)
  }

  /** The address for clients of a domain; undefined where there is none. */
  address(kind: WebConnectionKind, host: string): string | undefined {
    const path = this.#paths.get(kind)
    const url = this.#web.url(host)
    if (path === undefined || url === undefined) return undefined
    return (kind === 'websocket' ? url.replace(/^http/, 'ws') : url) + path
  }

  /** XEP-0156 §2. */
  links(host: string): { readonly rel: string; readonly href: string }[] {
    return [...this.#paths.keys()].flatMap((kind) => {
      const href = this.address(kind, host)
      return href === undefined ? [] : { rel: `urn:xmpp:alt-connections:${kind}`, href }
    })
  }
}

export const webConnections = serviceKey<WebConnections>('chat-web-connections')
