// XEP-0156: the ways to chat over HTTP that are open, for those that tell of them; and where our pages find files.

import { type Scope, serviceKey } from '../../kernel/scope.ts'
import type { Web } from '../../net/web/contracts.ts'

/** `websocket`, `xbosh`. */
export type WebConnectionKind = 'websocket' | 'xbosh'

export class WebConnections {
  readonly #web: Web
  readonly #paths = new Map<WebConnectionKind, string>()
  readonly #files = new Set<(domain: string) => string>()

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

  /** Uploaded files have addresses of another site: `address` tells where those of a domain are. */
  filesAt(scope: Scope, address: (domain: string) => string): void {
    this.#files.add(address)
    scope.defer(() => void this.#files.delete(address))
  }

  /** The sites that our pages fetch the files of a domain from, by their origins. */
  sites(domain: string): readonly string[] {
    const own = this.#web.url(domain)
    const others = Array.from(this.#files, (address) => new URL(address(domain)).origin)
    return [...new Set(own === undefined ? others : [own, ...others])]
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
