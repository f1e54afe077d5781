// Logins with access tokens of another server (RFC 7628), which is asked about them (RFC 7662) or has signed them (RFC 9068).

import assert from 'node:assert/strict'

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { clientMechanism, type MechanismName } from '@aviso/sasl'
import type * as v from 'valibot'
import { authConfig } from '../../src/accounts/config.ts'
import type { LoginContext } from '../../src/accounts/contracts.ts'
import { validate } from '../../src/kernel/config/validate.ts'
import { annasHouse, cheap, context, type House } from './house.ts'
import { IdentityProvider, makeKey, signed } from './identity-provider.ts'

type Oauth = NonNullable<v.InferInput<typeof authConfig>['oauth']>

const open = (t: TestContext, oauth: Oauth): Promise<House> =>
  annasHouse(t, { ...cheap, failures: { 'first-delay': '0s', 'longest-delay': '0s', ban: 1000 }, oauth })

/** How a login ends, and the reason that the client was told before. The clock stands still. */
async function attempt(
  house: House,
  token: string,
  more: Partial<LoginContext> & { readonly mechanism?: MechanismName; readonly authcid?: string } = {},
): Promise<string> {
  const { mechanism = 'OAUTHBEARER', authcid, ...around } = more
  const server = house.accounts.begin(mechanism, context(around))
  const client = clientMechanism([mechanism], { token, secure: true, ...(authcid !== undefined && { authcid }) })
  if (server === undefined || client === undefined) return 'not offered'
  let told = ''
  let step = await server.start(await client.start())
  while (step.kind === 'challenge') {
    told = Buffer.from(step.data).toString()
    step = await server.next(await client.next(step.data))
  }
  return step.kind === 'success' ? step.identity.authcid : `${step.condition} ${told}`.trim()
}

const introspection = (provider: IdentityProvider, more: Partial<Oauth> = {}): Oauth => ({
  introspection: { url: `${provider.url}/introspect`, 'client-id': 'aviso', 'client-secret': 's+s' },
  ...more,
})

test('a token that the other server knows logs in, by each mechanism and where it is taken', async (t) => {
  const provider = await IdentityProvider.start(t)
  const house = await open(t, introspection(provider, { endpoints: ['imap', 'c2s'] }))
  provider.tokens.set('good', { active: true, email: 'Anna@example.org', scope: 'openid mail' })
  assert.equal(await attempt(house, 'good'), 'anna@example.org')
  assert.equal(await attempt(house, 'good', { authcid: 'anna@example.org' }), 'anna@example.org')
  assert.equal(await attempt(house, 'good', { mechanism: 'XOAUTH2', authcid: 'anna' }), 'anna@example.org')
  assert.match(await attempt(house, 'good', { authcid: 'ben@example.org' }), /^invalid-authzid/)
  const offered = (protocol: string, secure = true): readonly string[] =>
    house.accounts.mechanisms(context({ protocol, secure })).filter((name) => name.includes('OAUTH'))
  assert.deepEqual(offered('imap'), ['OAUTHBEARER', 'XOAUTH2'])
  assert.deepEqual(offered('c2s'), ['OAUTHBEARER'])
  assert.deepEqual(offered('submission'), [])
  assert.deepEqual(offered('imap', false), [], 'never in clear')
  assert.equal(await attempt(house, 'good', { protocol: 'submission' }), 'not offered')
  const [line] = house.logins()
  assert.deepEqual(
    [line?.['mechanism'], line?.['outcome'], line?.['address']],
    ['OAUTHBEARER', 'success', 'anna@example.org'],
  )
})

test('without the setting no token is taken', async (t) => {
  const house = await annasHouse(t)
  assert.equal(await attempt(house, 'good'), 'not offered')
})

test('a token that is not good: the client is told by RFC 7628 §3.2.2', async (t) => {
  const provider = await IdentityProvider.start(t)
  const house = await open(
    t,
    introspection(provider, {
      scope: ['mail'],
      issuer: 'https://id.example',
      audience: ['aviso'],
      'openid-configuration': 'https://id.example/.well-known/openid-configuration',
    }),
  )
  const now = Math.floor(house.clock.now() / 1000)
  const good = { active: true, email: 'anna@example.org', scope: 'mail chat', iss: 'https://id.example', aud: 'aviso' }
  provider.tokens.set('good', good)
  provider.tokens.set('good-too', { ...good, aud: ['other', 'aviso'], exp: now + 10, nbf: now - 10 })
  assert.equal(await attempt(house, 'good'), 'anna@example.org')
  assert.equal(await attempt(house, 'good-too'), 'anna@example.org')
  const bad = {
    scope: { scope: 'chat mailx' },
    'no-scope': { scope: undefined },
    issuer: { iss: 'https://evil.example' },
    audience: { aud: 'other' },
    'no-audience': { aud: undefined },
    expired: { exp: now - 61 },
    early: { nbf: now + 61 },
    nobody: { email: 'dora@example.org' },
    nameless: { email: undefined },
    numbered: { email: 7 },
    unverified: { email_verified: false },
  }
  for (const [token, what] of Object.entries(bad)) provider.tokens.set(token, { ...good, ...what })
  for (const token of [...Object.keys(bad), 'unknown']) {
    const end = await attempt(house, token)
    const [condition = '', told = ''] = [end.slice(0, end.indexOf(' ')), end.slice(end.indexOf(' ') + 1)]
    assert.equal(condition, token === 'expired' ? 'credentials-expired' : 'not-authorized', token)
    assert.deepEqual(JSON.parse(told), {
      status: token.endsWith('scope') ? 'insufficient_scope' : 'invalid_token',
      schemes: 'bearer',
      scope: 'mail',
      'openid-configuration': 'https://id.example/.well-known/openid-configuration',
    })
  }
})

test('an answer is believed for a while, and never for longer than the token lives', async (t) => {
  const provider = await IdentityProvider.start(t)
  const house = await open(t, introspection(provider))
  const now = Math.floor(house.clock.now() / 1000)
  provider.tokens.set('long', { active: true, email: 'anna@example.org' })
  provider.tokens.set('short', { active: true, email: 'anna@example.org', exp: now + 10 })
  for (const token of ['long', 'long', 'short', 'short']) await attempt(house, token)
  assert.equal(provider.asked.length, 2)
  provider.tokens.clear()
  house.clock.turn(11_000)
  assert.equal(await attempt(house, 'long'), 'anna@example.org')
  assert.match(await attempt(house, 'short'), /^not-authorized/)
  house.clock.turn(50_000)
  assert.match(await attempt(house, 'long'), /^not-authorized/)
  // A refusal is not remembered.
  provider.tokens.set('long', { active: true, email: 'anna@example.org' })
  assert.equal(await attempt(house, 'long'), 'anna@example.org')
  await house.admin.disableAccount('anna@example.org')
  assert.equal(await attempt(house, 'long'), 'account-disabled', 'what is remembered opens no closed account')
})

test('whatever the other server does, it is neither yes nor no unless it says so', async (t) => {
  const provider = await IdentityProvider.start(t)
  const house = await open(t, introspection(provider))
  provider.tokens.set('good', { active: true, email: 'anna@example.org' })
  const answers: [
    string,
    (body: { end(text: string): void; writeHead(status: number, headers?: object): void }) => void,
  ][] = [
    ['an error', (response) => (response.writeHead(500), response.end('{"active":true,"email":"anna@example.org"}'))],
    ['we may not ask', (response) => (response.writeHead(401), response.end('{}'))],
    ['no JSON', (response) => response.end('<html>')],
    ['no answer in it', (response) => response.end('{"email":"anna@example.org"}')],
    ['a truth of another kind', (response) => response.end('{"active":"true","email":"anna@example.org"}')],
    ['claims of another kind', (response) => response.end('{"active":true,"email":"anna@example.org","exp":"soon"}')],
    ['a list', (response) => response.end('[true]')],
    ['too much', (response) => response.end(`{"active":true,"email":"anna@example.org","x":"${'x'.repeat(70_000)}"}`)],
    ['somewhere else', (response) => (response.writeHead(302, { location: '/introspect' }), response.end(''))],
  ]
  for (const [what, answer] of answers) {
    provider.instead = (_request, response) => answer(response)
    assert.equal(await attempt(house, 'good'), 'temporary-auth-failure', what)
  }
  // Silence, until the clock has turned.
  let asked: () => void = () => {}
  const arrived = new Promise<void>((resolve) => (asked = resolve))
  provider.instead = () => asked()
  const silent = attempt(house, 'good')
  await arrived
  house.clock.turn(5000)
  assert.equal(await silent, 'temporary-auth-failure')
  provider.instead = undefined
  assert.equal(await attempt(house, 'good'), 'anna@example.org')
  const outcomes = house.logins().map((line) => line['outcome'])
  assert.deepEqual([...new Set(outcomes)], ['fault', 'success'], 'none of it counts as a guess')
})

const ISSUER = 'https://id.example'
const jwt = (provider: IdentityProvider, more: Partial<Oauth> = {}): Oauth => ({
  jwt: { keys: `${provider.url}/keys` },
  issuer: ISSUER,
  audience: ['aviso'],
  ...more,
})

test('a signed token: each signature that counts, and none that does not', async (t) => {
  const provider = await IdentityProvider.start(t)
  const house = await open(t, jwt(provider))
  const keys = [makeKey('r', 'RS256'), makeKey('e', 'ES256'), makeKey('d', 'EdDSA')]
  const weak = makeKey('weak', 'RS256', 1024)
  const pss = makeKey('p', 'PS256')
  const foreign = makeKey('r', 'RS256')
  provider.keys = [...keys, weak, pss]
  const claims = {
    iss: ISSUER,
    aud: 'aviso',
    email: 'anna@example.org',
    exp: Math.floor(house.clock.now() / 1000) + 100,
  }
  for (const key of keys) {
    assert.equal(await attempt(house, signed(key, claims)), 'anna@example.org', key.algorithm)
    assert.equal(await attempt(house, signed(key, { ...claims, x: 1 }, { kid: undefined })), 'anna@example.org')
  }
  assert.equal(provider.asked.length, 1, 'the keys are fetched once')
  const [rsa, ec] = keys
  assert.ok(rsa && ec)
  const good = signed(rsa, claims)
  const [head = '', body = '', signature = ''] = good.split('.')
  const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url')
  const bad = {
    'another key': signed(foreign, claims),
    'a weak key': signed(weak, claims),
    'an algorithm that is not wanted': signed(pss, claims),
    none: `${part({ alg: 'none' })}.${body}.`,
    'none, with a signature': `${part({ alg: 'none', kid: 'r' })}.${body}.${signature}`,
    'symmetric, with the public key': `${part({ alg: 'HS256', kid: 'r' })}.${body}.${signature}`,
    'the key of another algorithm': signed({ ...rsa, id: 'e' }, claims),
    'other claims': `${head}.${part({ ...claims, email: 'ben@example.org' })}.${signature}`,
    'no signature': `${head}.${body}.`,
    'a part too many': `${good}.x`,
    'no parts': 'abcdef',
    critical: signed(rsa, claims, { crit: ['x'] }),
    'another kind': signed(rsa, claims, { typ: 'logout+jwt' }),
    'another issuer': signed(rsa, { ...claims, iss: 'https://evil.example' }),
    'no issuer': signed(rsa, { ...claims, iss: undefined }),
    'another audience': signed(rsa, { ...claims, aud: ['x'] }),
    'no audience': signed(rsa, { ...claims, aud: undefined }),
    'no end': signed(rsa, { ...claims, exp: undefined }),
    'an end that is no number': signed(rsa, { ...claims, exp: 'never' }),
    'no claims': `${head}.${part([])}.${signature}`,
    'an unknown key': signed({ ...rsa, id: 'zzz' }, claims),
  }
  for (const [what, token] of Object.entries(bad))
    assert.match(await attempt(house, token), /^not-authorized \{"status":"invalid_token"/, what)
  assert.match(await attempt(house, signed(rsa, { ...claims, exp: claims.exp - 200 })), /^credentials-expired/)
})

test('keys change: a new one is found when it is named, an old one goes when the keys are old', async (t) => {
  const provider = await IdentityProvider.start(t)
  const house = await open(t, jwt(provider, { remembered: '0s' }))
  const [one, two] = [makeKey('one', 'ES256'), makeKey('two', 'ES256')]
  const claims = { iss: ISSUER, aud: 'aviso', email: 'anna@example.org', exp: house.clock.now() / 1000 + 100_000 }
  provider.keys = [one]
  assert.equal(await attempt(house, signed(one, claims)), 'anna@example.org')
  provider.keys = [two]
  assert.match(await attempt(house, signed(two, claims)), /^not-authorized/, 'not at once: anybody can name keys')
  house.clock.turn(60_000)
  assert.equal(await attempt(house, signed(two, claims)), 'anna@example.org')
  assert.match(await attempt(house, signed(one, claims)), /^not-authorized/)
  assert.equal(provider.asked.length, 2)
  house.clock.turn(3_600_000)
  provider.instead = (_request, response) => response.writeHead(503).end()
  assert.equal(await attempt(house, signed(two, claims)), 'temporary-auth-failure')
  provider.instead = undefined
  assert.equal(await attempt(house, signed(two, claims)), 'anna@example.org')
})

test('keys from a file; a name without a domain is of the first one, whatever the client says', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'aviso-oauth-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  const key = makeKey('k', 'EdDSA')
  writeFileSync(join(folder, 'keys.json'), JSON.stringify({ keys: [key.jwk] }))
  const house = await open(t, {
    jwt: { keys: join(folder, 'keys.json') },
    issuer: ISSUER,
    audience: ['aviso'],
    account: 'preferred_username',
  })
  await house.admin.addDomain('example.net')
  await house.admin.createAccount({ address: 'anna@example.net', password: 'another anna' })
  const claims = { iss: ISSUER, aud: 'aviso', preferred_username: 'anna', exp: house.clock.now() / 1000 + 100 }
  const token = signed(key, claims)
  assert.equal(await attempt(house, token, { protocol: 'c2s', domain: 'example.net' }), 'anna@example.org')
  const other = signed(key, { ...claims, preferred_username: 'anna@example.net' })
  assert.equal(await attempt(house, other, { protocol: 'c2s', domain: 'example.net' }), 'anna@example.net')
})

test('settings that would not be safe, or make no sense', () => {
  const problems = (oauth: object): string =>
    (validate(authConfig, { oauth }).problems ?? []).map(({ path, message }) => `${path.join('.')}: ${message}`).join()
  const asking = { url: 'https://id.example/introspect', 'client-id': 'a', 'client-secret': 'b' }
  assert.equal(problems({ introspection: asking }), '')
  assert.match(problems({}), /either introspection or jwt/)
  assert.match(problems({ introspection: asking, jwt: { keys: 'x' }, issuer: 'i', audience: ['a'] }), /either/)
  assert.match(problems({ jwt: { keys: 'keys.json' }, issuer: 'i' }), /jwt needs issuer and audience/)
  assert.match(problems({ introspection: { ...asking, url: 'http://id.example/introspect' } }), /with https/)
  assert.match(problems({ introspection: { ...asking, url: 'http://127.0.0.1.evil.example/' } }), /with https/)
  assert.equal(problems({ introspection: { ...asking, url: 'http://127.0.0.1:8080/' } }), '')
  assert.match(problems({ jwt: { keys: 'http://id.example/keys' }, issuer: 'i', audience: ['a'] }), /with https/)
})
