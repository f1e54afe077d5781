// Which route answers a request.

import { type Scope, serviceKey } from '../../kernel/scope.ts'
import { Web, WebError, type WebMethod, type WebRoute } from './contracts.ts'

/** The routes of one path. */
export interface Place {
  /** Ends with a slash where it is a whole subtree. */
  readonly path: string
  readonly methods: Map<WebMethod, Extract<WebRoute, { method: WebMethod }>>
  upgrade: Extract<WebRoute, { upgrade: unknown }> | undefined
}

/** Methods in the order of the header `Allow`. */
export function allowed(place: Place): readonly string[] {
  const methods: string[] = [...place.methods.keys()]
  if (place.methods.has('GET') || place.upgrade !== undefined) methods.push('HEAD')
  if (place.upgrade !== undefined && !place.methods.has('GET')) methods.push('GET')
  return [...methods, 'OPTIONS'].sort()
}

/** The routes of one generation of the config, and where they are reached. */
export class Routes implements Web {
  /** By host; '' for all of them. Then by path. */
  readonly #hosts = new Map<string, Map<string, Place>>()
  #url: ((host: string) => string) | undefined

  route(scope: Scope, route: WebRoute): void {
    const { path, domain = '' } = route
    if (!path.startsWith('/')) throw new Error(`'${path}' is no path`)
    const places = this.#hosts.get(domain) ?? new Map<string, Place>()
    this.#hosts.set(domain, places)
    const place: Place = places.get(path) ?? { path, methods: new Map(), upgrade: undefined }
    places.set(path, place)
    if ('upgrade' in route) {
      if (place.upgrade !== undefined) throw new Error(`two modules answer upgrades of ${path}`)
      place.upgrade = route
    } else {
      if (place.methods.has(route.method)) throw new Error(`two modules answer ${route.method} ${path}`)
      place.methods.set(route.method, route)
    }
    scope.defer(() => {
      if ('upgrade' in route) place.upgrade = undefined
      else place.methods.delete(route.method)
      if (place.methods.size === 0 && place.upgrade === undefined) places.delete(path)
      if (places.size === 0) this.#hosts.delete(domain)
    })
  }

  url(host: string): string | undefined {
    return this.#url?.(host)
  }

  /** Told by the endpoint that serves: how a host is reached. The first one counts. */
  reached(scope: Scope, url: (host: string) => string): void {
    if (this.#url !== undefined) return
    this.#url = url
    scope.defer(() => void (this.#url = undefined))
  }

  /** The place for a path: the host's own before that of all hosts, the path itself before a subtree, the longest subtree first. */
  find(host: string, path: string): Place | undefined {
    return search(this.#hosts.get(host), path) ?? search(this.#hosts.get(''), path)
  }
}

function search(places: Map<string, Place> | undefined, path: string): Place | undefined {
  if (places === undefined) return undefined
  const exact = places.get(path)
  if (exact !== undefined) return exact
  for (let end = path.lastIndexOf('/'); end >= 0; end = end === 0 ? -1 : path.lastIndexOf('/', end - 1)) {
    const place = places.get(path.slice(0, end + 1))
    if (place !== undefined) return place
  }
  return undefined
}

/** What follows the place's prefix, decoded. @throws WebError 400 */
export function restOf(place: Place, path: string): string {
  if (!place.path.endsWith('/')) return ''
  try {
    const rest = decodeURIComponent(path.slice(place.path.length))
    if (!rest.includes('\0')) return rest
  } catch {
    // No UTF-8.
  }
  throw new WebError(400, 'The path is not well-formed.')
}

/** For the endpoint that serves them. */
export const WebRoutes = serviceKey<Routes>('web-routes')

/** Provides `Web` in `scope`. */
export function openWeb(scope: Scope): void {
  const routes = new Routes()
  scope.provide(WebRoutes, routes)
  scope.provide(Web, routes)
}
