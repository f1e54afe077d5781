// A stand-in for a server that makes tokens: keys, signed tokens, introspection, an answer that can be anything.

import { generateKeyPairSync, type KeyObject, sign } from 'node:crypto'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { TestContext } from 'node:test'

export interface Key {
  readonly id: string
  readonly algorithm: string
  readonly secret: KeyObject
  readonly jwk: object
}

export function makeKey(id: string, algorithm: 'RS256' | 'ES256' | 'EdDSA' | 'PS256', bits = 2048): Key {
  const pair =
    algorithm === 'ES256'
      ? generateKeyPairSync('ec', { namedCurve: 'P-256' })
      : algorithm === 'EdDSA'
        ? generateKeyPairSync('ed25519')
        : generateKeyPairSync('rsa', { modulusLength: bits })
  return {
    id,
    algorithm,
    secret: pair.privateKey,
    jwk: { ...pair.publicKey.export({ format: 'jwk' }), kid: id, use: 'sig' },
  }
}

const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url')

/** A signed token. `header`: what is otherwise in its header. */
export function signed(key: Key, claims: object, header: object = {}): string {
  const data = `${part({ alg: key.algorithm, kid: key.id, typ: 'at+jwt', ...header })}.${part(claims)}`
  const hash = key.algorithm === 'EdDSA' ? undefined : 'sha256'
  const signature = sign(hash, Buffer.from(data), {
    key: key.secret,
    ...(key.algorithm === 'ES256' && { dsaEncoding: 'ieee-p1363' as const }),
  })
  return `${data}.${signature.toString('base64url')}`
}

export class IdentityProvider {
  /** The keys that it shows. */
  keys: readonly Key[] = []
  /** What it says of tokens. */
  readonly tokens = new Map<string, object>()
  /** In place of an answer. */
  instead: ((request: IncomingMessage, response: ServerResponse) => void) | undefined
  /** What it was asked: path and body. */
  readonly asked: string[] = []
  readonly #server = createServer((request, response) => void this.#answer(request, response))

  static async start(t: TestContext): Promise<IdentityProvider> {
    const provider = new IdentityProvider()
    await new Promise<void>((resolve) => provider.#server.listen(0, '127.0.0.1', resolve))
    t.after(() => {
      provider.#server.closeAllConnections()
      provider.#server.close()
    })
    return provider
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    let body = ''
    for await (const piece of request) body += String(piece)
    this.asked.push(`${request.url} ${body}`)
    if (this.instead !== undefined) return this.instead(request, response)
    response.setHeader('content-type', 'application/json')
    if (request.url === '/keys') return void response.end(JSON.stringify({ keys: this.keys.map(({ jwk }) => jwk) }))
    const expected = `Basic ${Buffer.from('aviso:s%2Bs').toString('base64')}`
    if (request.headers.authorization !== expected) return void response.writeHead(401).end('{}')
    const known = this.tokens.get(new URLSearchParams(body).get('token') ?? '')
    response.end(JSON.stringify(known ?? { active: false }))
  }
}
