// The web as the rooms see it: routes that are served wherever the endpoint `http` listens.

import type { IncomingHttpHeaders } from 'node:http'
import type { Readable } from 'node:stream'
import type { Log } from '../../kernel/log.ts'
import { type Scope, serviceKey } from '../../kernel/scope.ts'
import type { Connection, Session } from '../contracts.ts'

export type WebMethod = 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'

/** What is asked for. */
export interface WebRequest {
  /** As log lines about this request carry it, with those of its connection. */
  readonly log: Log
  /** HEAD comes as GET: the body of the reply is left out for it. */
  readonly method: WebMethod
  /** True for a HEAD request: a handler may spare itself the body. */
  readonly head: boolean
  /** The host that was asked, without port, in lower case and with A-labels; a literal address in brackets where it is IPv6. */
  readonly host: string
  /** As in the `Host` header, with its port. */
  readonly authority: string
  /** The whole path, normalised (no `.` or `..`), percent-encoded. */
  readonly path: string
  /** What follows the route's prefix, percent-decoded; '' for a route with a path. It may hold anything but NUL: never make a file name of it. */
  readonly rest: string
  readonly query: URLSearchParams
  readonly headers: IncomingHttpHeaders
  /** The client came over TLS, to us or to a proxy that we trust. */
  readonly secure: boolean
  /** The client's own address, where a proxy that we trust tells it. */
  readonly remoteAddress: string
  /** The `Origin` of the web page that asks (RFC 6454); undefined where no page does. */
  readonly origin: string | undefined
  /** True where no foreign web page asks: none does, or one of ours, or one that the setting `origins` names. */
  readonly trustedOrigin: boolean
  /** Octets of the body as the client announces them; undefined where it does not say, 0 where there is none. */
  readonly length: number | undefined
  /** The body, with back-pressure. Ends with an error where more comes than the route takes, or the client goes away. */
  body(): Readable
  /** The whole body. Rejects with a WebError where it has more than `limit` octets. */
  octets(limit: number): Promise<Buffer>
  /** Aborted when the client has gone away before the reply was sent whole. */
  readonly gone: AbortSignal
  /** Aborted when the reply is wanted soon: the server stops, or has a newer config. */
  readonly hurry: AbortSignal
}

/** What is answered. */
export interface WebReply {
  /** 200 if not set. */
  readonly status?: number
  readonly headers?: Readonly<Record<string, string | readonly string[]>>
  /** A stream is read at the pace of the client, and destroyed when the client goes away. */
  readonly body?: string | Uint8Array | Readable | undefined
}

/** Answers a request. A thrown WebError becomes its reply; anything else that is thrown is logged, and answered with 500. */
export type WebHandler = (request: WebRequest) => WebReply | Promise<WebReply>

/** The client is to speak another protocol from here on (RFC 9110 §7.8). */
export interface WebUpgrade {
  /** Of the response `101 Switching Protocols`. */
  readonly headers: Readonly<Record<string, string>>
  /** Serves what was a connection of HTTP; `remoteAddress` is the client's own. `head`: octets that came already. */
  serve(connection: Connection, head: Buffer): Session
}

/** As WebHandler, for a request with the header `Upgrade: websocket`. A WebReply refuses it. */
export type WebUpgradeHandler = (request: WebRequest) => WebUpgrade | WebReply | Promise<WebUpgrade | WebReply>

/**
 * Who may read the replies from web pages elsewhere (CORS): `any`: every page, for what is public; `trusted`: our own pages and those that the setting `origins` names. No reply ever depends on
 * cookies, and none are asked for.
 */
export type CrossOrigin = 'any' | 'trusted'

/** One place that is answered. */
export type WebRoute = {
  /** `/http-bind`, or a whole subtree: `/upload/` and everything below. */
  readonly path: string
  /** For this host alone (A-labels, lower case); it comes before a route for all hosts. */
  readonly domain?: string | undefined
  /** Default: no page elsewhere may. */
  readonly crossOrigin?: CrossOrigin | undefined
} & (
  | {
      readonly method: WebMethod
      /** Octets of a request's body; 0 if not set. */
      readonly maxBody?: number
      readonly handle: WebHandler
    }
  | { readonly upgrade: WebUpgradeHandler }
)

/** What is served over HTTP, of one generation of the configuration. */
export interface Web {
  /**
   * Answers requests for a path until `scope` closes, on all listeners of the endpoint `http`. A path without a slash at its end is that path alone, one with it is the whole subtree; the longest one wins.
   * Throws when the same method of the same path is taken already.
   */
  route(scope: Scope, route: WebRoute): void
  /** How clients reach a host of ours: `https://example.org:5281`, without a slash at the end. Undefined where HTTP is not served. Ask when a link is made, not before. */
  url(host: string): string | undefined
}

export const Web = serviceKey<Web>('web')

/** A refusal: the status and a sentence for the client. */
export class WebError extends Error {
  override readonly name = 'WebError'
  readonly status: number
  readonly headers: Readonly<Record<string, string>>

  constructor(status: number, message: string, headers: Readonly<Record<string, string>> = {}) {
    super(message)
    this.status = status
    this.headers = headers
  }
}
