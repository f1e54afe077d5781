// The Sender Rewriting Scheme: there and back again.

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { MailAddress, parseMailAddress } from '@aviso/mime'
import * as fc from 'fast-check'
import { Srs } from '../../../src/mail/authentication/srs.ts'

const DAY = 86_400_000
const NOW = Date.UTC(2026, 0, 1)
const secret = (text: string): Buffer => Buffer.from(text.padEnd(32, '.'))
const us = new Srs({ domain: 'example.org', secrets: [secret('ours')] })
const them = new Srs({ domain: 'forward.example', secrets: [secret('theirs')] })
const address = (text: string): MailAddress => {
  const parsed = parseMailAddress(text)
  assert.ok(parsed, text)
  return parsed
}
const forward = (srs: Srs, sender: string, now = NOW): MailAddress => {
  const forwarded = srs.forward(address(sender), now)
  assert.ok(forwarded)
  return forwarded
}
const back = (srs: Srs, to: MailAddress, now = NOW): string => {
  const found = srs.reverse(to, now)
  return found.kind === 'address' ? found.address.toString() : found.kind
}

describe('a reverse-path of ours', () => {
  test('leads back to the sender', () => {
    const ours = forward(us, 'bo@example.net')
    assert.match(ours.toString(), /^SRS0=[A-Z2-7]{8}=[A-Z2-7]{2}=example\.net=bo@example\.org$/)
    assert.equal(back(us, ours), 'bo@example.net')
  })

  test('whatever characters the sender has, and whatever case it lost on the way', () => {
    fc.assert(
      fc.property(fc.stringMatching(/^[a-z0-9=+-]([a-z0-9=+._-]{0,10}[a-z0-9=+-])?$/), fc.domain(), (local, domain) => {
        const sender = MailAddress.of(local, domain)
        if (sender === undefined || sender.toString().includes('"')) return
        const ours = us.forward(sender, NOW)
        if (ours === undefined) return
        assert.equal(back(us, ours), sender.toString())
        const lower = MailAddress.of(ours.local.toLowerCase(), ours.domain)
        assert.ok(lower)
        assert.equal(back(us, lower), sender.toString().toLowerCase())
      }),
    )
  })

  test('a sender of our own domain stays', () => {
    assert.equal(forward(us, 'anna@example.org').toString(), 'anna@example.org')
  })

  test('one that would be too long for an address cannot be made', () => {
    assert.equal(us.forward(address(`${'x'.repeat(40)}@a.rather.long.domain.example`), NOW), undefined)
  })

  test('is good for three weeks', () => {
    const ours = forward(us, 'bo@example.net')
    assert.equal(back(us, ours, NOW + 21 * DAY), 'bo@example.net')
    assert.equal(back(us, ours, NOW + 22 * DAY), 'expired')
    assert.equal(back(us, ours, NOW + 900 * DAY), 'expired')
    assert.equal(back(us, ours, NOW - DAY), 'bo@example.net', 'another clock')
    assert.equal(back(us, ours, NOW - 3 * DAY), 'expired')
  })

  test('nobody else can make one', () => {
    const ours = forward(us, 'bo@example.net').local
    for (const local of [
      ours.replace('example.net', 'victim.example'),
      ours.replace('=bo', '=eve'),
      ours.replace(/=[A-Z2-7]{2}=/, '=AA='),
      'SRS0=AAAAAAAA=AA=example.net=bo',
      'SRS0=',
      'SRS0==',
      'SRS0',
      'SRS1=AAAAAAAA=forward.example==x',
    ]) {
      const made = MailAddress.of(local, 'example.org')
      assert.ok(made)
      assert.equal(back(us, made), local === 'SRS0' ? 'foreign' : 'forged', local)
    }
    const theirs = MailAddress.of(forward(them, 'bo@example.net').local, 'example.org')
    assert.ok(theirs)
    assert.equal(back(us, theirs), 'forged')
  })

  test('of another domain, or no such form, is none of ours', () => {
    assert.equal(back(us, forward(them, 'bo@example.net')), 'foreign')
    assert.equal(back(us, address('anna@example.org')), 'foreign')
  })

  test('a secret can be changed: the old one is still believed', () => {
    const next = new Srs({ domain: 'example.org', secrets: [secret('new'), secret('ours')] })
    assert.equal(back(next, forward(us, 'bo@example.net')), 'bo@example.net')
    assert.equal(back(us, forward(next, 'bo@example.net')), 'forged')
  })
})

describe('what was forwarded before', () => {
  test('goes back by way of the first forwarder only, however many there are', () => {
    const first = forward(them, 'bo@example.net')
    const second = forward(us, first.toString())
    assert.match(second.local, /^SRS1=[A-Z2-7]{8}=forward\.example==/)
    const third = new Srs({ domain: 'third.example', secrets: [secret('third')] })
    const last = forward(third, second.toString())
    assert.match(last.local, /^SRS1=[A-Z2-7]{8}=forward\.example==/)
    assert.ok(last.local.length <= 64)
    const returned = third.reverse(last, NOW)
    assert.equal(returned.kind === 'address' && returned.address.toString(), first.toString())
    assert.equal(back(them, first), 'bo@example.net')
  })

  test('an address that only looks like it is forwarded like any other', () => {
    assert.equal(back(us, forward(us, 'SRS1=x@example.net')), 'SRS1=x@example.net')
  })
})

test('a secret that can be guessed, a domain that is none', () => {
  assert.throws(() => new Srs({ domain: 'example.org', secrets: [] }), RangeError)
  assert.throws(() => new Srs({ domain: 'example.org', secrets: [Buffer.from('short')] }), RangeError)
  assert.throws(() => new Srs({ domain: 'no domain', secrets: [secret('x')] }), RangeError)
})
