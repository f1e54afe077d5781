// RFC 7673: domains that say in the DNS which certificates their servers have.

import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import type { ZoneRecords } from '../../../src/net/dns/testing/index.ts'
import { type Certified, certify, tlsaData } from '../../fixtures/certificates.ts'
import { short } from '../house.ts'
import { AUTHORITY, certified, type HouseWish, Town } from './town.ts'

type Tlsa = NonNullable<ZoneRecords['TLSA']>[number]

interface Case {
  readonly certificate: Certified
  readonly tlsa?: readonly Tlsa[] | 'SERVFAIL'
  /** What DNSSEC covers; all of it, if not given. */
  readonly secure?: { readonly srv?: boolean; readonly address?: boolean; readonly tlsa?: boolean }
  readonly ours?: HouseWish['s2s']
}

/** Anna writes to Bert. Resolves with what she is told, or undefined when he gets it. */
async function write(t: TestContext, { certificate, tlsa, secure = {}, ours }: Case): Promise<string | undefined> {
  const town = new Town(t)
  const one = await town.open('one.example', { s2s: { ...ours } })
  const two = await town.open('two.example', { certificate })
  const srv = '_xmpp-server._tcp.two.example'
  town.zones[srv] = { ...town.zones[srv], secure: secure.srv ?? true }
  town.zones['xmpp.two.example'] = { A: ['127.0.0.1'], secure: secure.address ?? true }
  if (tlsa !== undefined)
    town.zones[`_${two.servers}._tcp.xmpp.two.example`] = {
      ...(tlsa === 'SERVFAIL' ? { fails: tlsa } : { TLSA: tlsa }),
      secure: secure.tlsa ?? true,
    }
  const anna = await one.arrive('anna')
  const bert = await two.arrive('bert')
  anna.send(`<message to='bert@two.example' type='chat'><body>hello</body></message>`)
  const told = await Promise.race([anna.next(), bert.next()])
  if (told.get('to') !== 'anna@one.example/r') {
    assert.equal(short(told), `message chat anna@one.example/r 'hello'`)
    return undefined
  }
  return told.child('error')?.childText('text', 'urn:ietf:params:xml:ns:xmpp-stanzas')
}

const record = (usage: number, certificate: Certified): Tlsa => [usage, 1, 1, tlsaData(certificate, 1, 1)]

const SELF = certify({ names: ['whatever.example'] })
const MISMATCH = /its certificate is none of those that its TLSA records name$/

test('usage 3: the certificate itself, whoever signed it, whatever its name and dates', async (t) => {
  const old = certify({ names: ['other.example'], until: new Date('2021-01-01') })
  assert.equal(await write(t, { certificate: SELF, tlsa: [record(3, SELF)] }), undefined)
  assert.equal(await write(t, { certificate: old, tlsa: [record(3, SELF), record(3, old)] }), undefined)
})

test('another certificate is refused, though an authority vouches for it, and though the config needs none', async (t) => {
  const certificate = certified('two.example')
  assert.match((await write(t, { certificate, tlsa: [record(3, SELF)] })) ?? '', MISMATCH)
  const ours = { 'insecure-domains': ['two.example'] }
  assert.match((await write(t, { certificate, tlsa: [record(3, SELF)], ours })) ?? '', MISMATCH)
})

test('usage 2: an authority of the domain, for the name of the server or of the domain', async (t) => {
  const own = certify({ names: ['Own authority'], authority: true })
  for (const [name, good] of [
    ['xmpp.two.example', true],
    ['two.example', true],
    ['three.example', false],
  ] as const) {
    const { chain, ...leaf } = certify({ names: [name], issuer: own })
    const certificate = { ...leaf, chain: chain + own.certificate.toString() }
    const told = await write(t, { certificate, tlsa: [record(2, own)] })
    if (good) assert.equal(told, undefined, name)
    else assert.match(told ?? '', MISMATCH)
  }
})

test('records that anybody may have put there are not believed', async (t) => {
  for (const secure of [{ srv: false }, { address: false }, { tlsa: false }]) {
    const told = await write(t, { certificate: SELF, tlsa: [record(3, SELF)], secure })
    assert.match(told ?? '', /its certificate is self-signed$/, JSON.stringify(secure))
  }
  const off = await write(t, { certificate: SELF, tlsa: [record(3, SELF)], ours: { dane: false } })
  assert.match(off ?? '', /its certificate is self-signed$/)
})

test('records of kinds that are not for us leave it to the authorities', async (t) => {
  const tlsa = [record(1, SELF), record(0, AUTHORITY)]
  assert.equal(await write(t, { certificate: certified('two.example'), tlsa }), undefined)
  assert.match((await write(t, { certificate: SELF, tlsa })) ?? '', /self-signed$/)
})

test('where the DNS does not say whether there are records, the server is not spoken with', async (t) => {
  const told = await write(t, { certificate: certified('two.example'), tlsa: 'SERVFAIL' })
  assert.equal(told, 'the DNS gives no answer for two.example')
})

test('a certificate for the server will do where DNSSEC says that it is the server of the domain', async (t) => {
  const certificate = certified('xmpp.two.example')
  assert.equal(await write(t, { certificate }), undefined)
  const told = await write(t, { certificate, secure: { srv: false } })
  assert.match(told ?? '', /its certificate is not for two\.example but for xmpp\.two\.example$/)
})
