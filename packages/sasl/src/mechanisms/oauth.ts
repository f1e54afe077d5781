// RFC 7628: OAUTHBEARER, and XOAUTH2, its predecessor by Google that mail clients know.

import { type Authorize, authorized } from '../authorization.ts'
import { type ClientMechanism, type RefusalCondition, SaslFailure, type ServerMechanism } from '../contract.ts'
import { EMPTY, serverExchange } from '../exchange.ts'
import { decodeText, prepareName } from '../prepare.ts'
import { refusal } from './password.ts'
import { decodeSaslname, encodeSaslname } from './saslname.ts'

/** What a client says beside its token. Host and port are where it believes to be; undefined when it does not say. */
export interface TokenRequest {
  readonly token: string
  /** Whom it wants to be; '' when it leaves that to the token. */
  readonly authzid: string
  readonly host: string | undefined
  readonly port: number | undefined
}

export type TokenVerdict =
  | { readonly kind: 'accepted'; readonly authcid: string }
  | {
      readonly kind: 'refused'
      /** Default not-authorized. */
      readonly condition?: RefusalCondition
      /** RFC 6750 §3.1. Default invalid_token. */
      readonly status?: 'invalid_request' | 'invalid_token' | 'insufficient_scope'
      /** Scopes that a token would need. */
      readonly scope?: string
      /** URL where a client learns how to get a token (RFC 7628 §3.2.2). */
      readonly openidConfiguration?: string
    }

/** Checks an access token. A rejection means that it cannot be told now. */
export type VerifyToken = (request: TokenRequest) => Promise<TokenVerdict>

/** RFC 6750 §2.1. */
const BEARER = /^bearer +([A-Za-z0-9\-._~+/]+=*)$/i

export function oauthServer(
  name: 'OAUTHBEARER' | 'XOAUTH2',
  verify: VerifyToken,
  authorize: Authorize | undefined,
): ServerMechanism {
  return serverExchange(name, async function* (initial, attempt) {
    const message = decodeText(initial ?? (yield EMPTY))
    const request = name === 'OAUTHBEARER' ? parseOauthBearer(message) : parseXoauth2(message)
    if (request.authzid !== '') attempt.authcid = request.authzid
    const verdict = await verify(request)
    if (verdict.kind === 'accepted') {
      attempt.authcid = verdict.authcid
      return { identity: await authorized(verdict.authcid, request.authzid, authorize) }
    }
    // RFC 7628 §3.2.2: the reason goes out as a challenge, and whatever comes back, the attempt has failed.
    yield Buffer.from(
      JSON.stringify({
        status: verdict.status ?? 'invalid_token',
        schemes: 'bearer',
        ...(verdict.scope !== undefined && { scope: verdict.scope }),
        ...(verdict.openidConfiguration !== undefined && { 'openid-configuration': verdict.openidConfiguration }),
      }),
    )
    throw verdict.condition && verdict.condition !== 'not-authorized'
      ? refusal(verdict.condition)
      : new SaslFailure('not-authorized', 'The token was not accepted.')
  })
}

function parseOauthBearer(message: string): TokenRequest {
  const header = /^[ny],(?:a=([^,]*))?,\x01/.exec(message)
  if (!header) throw new SaslFailure('malformed-request', 'The message has no GS2 header.')
  const pairs = keyValues(message.slice(header[0].length))
  const port = pairs.get('port')
  return {
    token: bearerToken(pairs.get('auth')),
    authzid: header[1] ? prepareName(decodeSaslname(header[1])) : '',
    host: pairs.get('host'),
    port: port !== undefined && /^\d{1,5}$/.test(port) ? Number(port) : undefined,
  }
}

function parseXoauth2(message: string): TokenRequest {
  const pairs = keyValues(message)
  const user = pairs.get('user')
  return {
    token: bearerToken(pairs.get('auth')),
    authzid: user ? prepareName(user) : '',
    host: undefined,
    port: undefined,
  }
}

/** `key=value` pairs, each ended by ^A, and one ^A more. */
function keyValues(text: string): Map<string, string> {
  if (!text.endsWith('\x01\x01')) throw new SaslFailure('malformed-request', 'The message is cut short.')
  const pairs = new Map<string, string>()
  for (const pair of text.slice(0, -2).split('\x01', 100)) {
    const equals = pair.indexOf('=')
    if (equals < 1) throw new SaslFailure('malformed-request', 'A field has no name.')
    const key = pair.slice(0, equals).toLowerCase()
    if (pairs.has(key)) throw new SaslFailure('malformed-request', 'A field is there twice.')
    pairs.set(key, pair.slice(equals + 1))
  }
  return pairs
}

function bearerToken(auth: string | undefined): string {
  const token = BEARER.exec(auth?.trim() ?? '')?.[1]
  if (token === undefined) throw new SaslFailure('malformed-request', 'There is no bearer token.')
  return token
}

/** `host` and `port` are of the server that the client has connected to. */
export function oauthBearerClient(options: {
  readonly token: string
  readonly authzid?: string | undefined
  readonly host?: string | undefined
  readonly port?: number | undefined
}): ClientMechanism {
  const { token, authzid, host, port } = options
  return tokenClient('OAUTHBEARER', token, '\x01', () => {
    const user = authzid === undefined || authzid === '' ? '' : `a=${encodeSaslname(authzid)}`
    const where = (host === undefined ? '' : `host=${host}\x01`) + (port === undefined ? '' : `port=${port}\x01`)
    return `n,${user},\x01${where}`
  })
}

/** XOAUTH2, Google's and Microsoft's form of it from before RFC 7628: the same token in another envelope. */
export const xoauth2Client = (user: string, token: string): ClientMechanism =>
  tokenClient('XOAUTH2', token, '', () => {
    // It would end its field.
    if (user.includes('\x01')) throw new SaslFailure('malformed-request', 'The name has characters that no name has.')
    return `user=${user}\x01`
  })

/** The exchange of both: `opening` and the token, and where the server challenges, `farewell` for its reason why not. */
function tokenClient(
  name: 'OAUTHBEARER' | 'XOAUTH2',
  token: string,
  farewell: string,
  opening: () => string,
): ClientMechanism {
  let error: string | undefined
  return {
    name,
    async start() {
      if (!BEARER.test(`Bearer ${token}`))
        throw new SaslFailure('malformed-request', 'The token has characters that no token has.')
      return Buffer.from(`${opening()}auth=Bearer ${token}\x01\x01`)
    },
    async next(challenge) {
      if (error !== undefined) throw new SaslFailure('not-authorized', `The server did not accept the token: ${error}`)
      error = decodeText(challenge).slice(0, 1000)
      return Buffer.from(farewell)
    },
    async success() {
      if (error !== undefined) throw new SaslFailure('malformed-request', 'The server reports success after an error.')
    },
  }
}
