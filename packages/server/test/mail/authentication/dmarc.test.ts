// DMARC: what the author's domain says, and whether it stands behind a message (RFC 9989).

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import * as fc from 'fast-check'
import { type DmarcQuestion, type DmarcResult, evaluateDmarc } from '../../../src/mail/authentication/dmarc/evaluate.ts'
import { parseDmarcRecord } from '../../../src/mail/authentication/dmarc/record.ts'
import { TreeWalk, walkedNames } from '../../../src/mail/authentication/dmarc/tree-walk.ts'
import { zoneResolver, type Zones } from '../../../src/net/dns/testing/index.ts'

const record = (text: string) => ({ TXT: [text] })

const evaluate = (zones: Zones, question: Partial<DmarcQuestion> = {}): Promise<DmarcResult> =>
  evaluateDmarc({
    from: ['Anna <anna@example.org>'],
    spf: undefined,
    dkim: [],
    resolver: zoneResolver(zones),
    ...question,
  })

const REJECT: Zones = { '_dmarc.example.org': record('v=DMARC1; p=reject') }
const signedBy = (...domains: readonly string[]) => domains.map((domain) => ({ status: 'pass', domain }))
const sentBy = (domain: string, status = 'pass') => ({ status, domain })

describe('records', () => {
  test('every tag', () => {
    const parsed = parseDmarcRecord(
      'v=DMARC1; p=reject; sp=quarantine; np=none; adkim=s; aspf=s; psd=n; t=y; fo=1:d:s; rua=mailto:a@example.org!10m, https://r.example/x ; ruf=mailto:b@example.org; ri=86400; pct=50',
    )
    assert.ok(parsed)
    const { text, ...rest } = parsed
    assert.match(text, /^v=DMARC1/)
    assert.deepEqual(rest, {
      policy: 'reject',
      subdomains: 'quarantine',
      nonexistent: 'none',
      broken: false,
      strictDkim: true,
      strictSpf: true,
      psd: 'n',
      testing: true,
      rua: ['mailto:a@example.org', 'https://r.example/x'],
      ruf: ['mailto:b@example.org'],
      failureOptions: ['1', 'd', 's'],
    })
  })

  for (const text of ['v=DMARC1', 'v = DMARC1 ; p = Reject', 'v=DMARC1;p=none;;;', 'v=DMARC1; nonsense; p=none'])
    test(`${text} is one`, () => assert.ok(parseDmarcRecord(text)))
  for (const text of [
    'v=dmarc1; p=none',
    'v=DMARC1x; p=none',
    'p=none; v=DMARC1',
    'v=DMARC2; p=none',
    '',
    'v=spf1 -all',
  ])
    test(`${text} is none`, () => assert.equal(parseDmarcRecord(text), undefined))

  test('whatever is published', () => {
    fc.assert(
      fc.property(fc.string({ maxLength: 200 }), (text) => {
        const parsed = parseDmarcRecord(`v=DMARC1;${text}`)
        for (const uri of [...(parsed?.rua ?? []), ...(parsed?.ruf ?? [])]) assert.match(uri, /^[\x21-\x7e]+$/)
      }),
    )
    assert.equal(parseDmarcRecord(`v=DMARC1; ${'a=b;'.repeat(100_000)}`), undefined)
  })
})

describe('the tree walk', () => {
  test('asks at most eight times, in the order of RFC 9989 §4.10', () => {
    assert.deepEqual(walkedNames('a.b.c.d.e.f.g.h.i.j.mail.example.com'), [
      'a.b.c.d.e.f.g.h.i.j.mail.example.com',
      'g.h.i.j.mail.example.com',
      'h.i.j.mail.example.com',
      'i.j.mail.example.com',
      'j.mail.example.com',
      'mail.example.com',
      'example.com',
      'com',
    ])
    assert.deepEqual(walkedNames('mail.example.com'), ['mail.example.com', 'example.com', 'com'])
    assert.equal(walkedNames('a.b.c.d.e.f.example.com').length, 8)
  })

  const organisation = (domain: string, zones: Zones) => new TreeWalk(zoneResolver(zones)).organisation(domain)
  test('the shortest name with a record is the organisation', async () => {
    const zones: Zones = { '_dmarc.mail.example.com': record('v=DMARC1'), '_dmarc.example.com': record('v=DMARC1') }
    assert.equal(await organisation('a.mail.example.com', zones), 'example.com')
  })
  test('unless a longer one says that it is one itself', async () => {
    const zones: Zones = {
      '_dmarc.mail.example.com': record('v=DMARC1; psd=n'),
      '_dmarc.example.com': record('v=DMARC1'),
    }
    assert.equal(await organisation('a.mail.example.com', zones), 'mail.example.com')
  })
  test('below a public suffix it is the name one label longer', async () => {
    const zones: Zones = { '_dmarc.com': record('v=DMARC1; psd=y') }
    assert.equal(await organisation('a.mail.example.com', zones), 'example.com')
    assert.equal(await organisation('com', zones), 'com')
  })
  test('without any record it is the name itself; several at one name are none', async () => {
    assert.equal(await organisation('a.example.com', {}), 'a.example.com')
    const zones: Zones = { '_dmarc.example.com': { TXT: ['v=DMARC1; p=none', 'v=DMARC1; p=reject'] } }
    assert.equal(await organisation('a.example.com', zones), 'a.example.com')
  })
})

describe('which policy', () => {
  const policy = async (zones: Zones, from: string) => {
    const { status, policy: found, policyDomain } = await evaluate(zones, { from: [from] })
    return `${status} ${found} ${policyDomain ?? '-'}`
  }
  const ORG: Zones = {
    '_dmarc.example.org': record('v=DMARC1; p=reject; sp=quarantine; np=none'),
    'there.example.org': { A: ['192.0.2.1'] },
  }
  test('its own', async () => assert.equal(await policy(ORG, 'a@example.org'), 'fail reject example.org'))
  test('of the organisation: sp', async () =>
    assert.equal(await policy(ORG, 'a@there.example.org'), 'fail quarantine example.org'))
  test('for a name that does not exist: np', async () =>
    assert.equal(await policy(ORG, 'a@nowhere.example.org'), 'fail none example.org'))
  test('sp of a record on a subdomain does not count there', async () =>
    assert.equal(
      await policy(
        { ...ORG, '_dmarc.there.example.org': record('v=DMARC1; p=none; sp=reject') },
        'a@there.example.org',
      ),
      'fail none there.example.org',
    ))
  test('of a public suffix, where nobody else has one', async () => {
    const zones: Zones = {
      '_dmarc.org': record('v=DMARC1; p=reject; psd=y; np=quarantine'),
      'example.org': { A: ['192.0.2.1'] },
    }
    assert.equal(await policy(zones, 'a@example.org'), 'fail reject org')
    assert.equal(await policy(zones, 'a@nobody.org'), 'fail quarantine org')
    assert.equal(await policy({ ...zones, ...ORG }, 'a@example.org'), 'fail reject example.org')
  })
  test('none', async () => assert.equal(await policy({}, 'a@example.org'), 'none none -'))
  test('several records are none', async () =>
    assert.equal(
      await policy({ '_dmarc.example.org': { TXT: ['v=DMARC1; p=none', 'v=DMARC1; p=reject'] } }, 'a@example.org'),
      'none none -',
    ))
  test('other records beside it do not count', async () =>
    assert.equal(
      await policy({ '_dmarc.example.org': { TXT: ['hello', 'v=DMARC1; p=reject'] } }, 'a@example.org'),
      'fail reject example.org',
    ))
  test('without a policy, or with one that is none: monitored where reports are wanted, else nothing', async () => {
    for (const text of ['v=DMARC1', 'v=DMARC1; p=destroy', 'v=DMARC1; p=reject; sp=destroy']) {
      assert.equal(await policy({ '_dmarc.example.org': record(text) }, 'a@example.org'), 'none none -')
      const reported = `${text}; rua=mailto:a@example.org`
      assert.equal(await policy({ '_dmarc.example.org': record(reported) }, 'a@example.org'), 'fail none example.org')
    }
  })
  test('t=y: one milder', async () => {
    for (const [wanted, applied] of [
      ['reject', 'quarantine'],
      ['quarantine', 'none'],
      ['none', 'none'],
    ]) {
      const { policy: found, disposition } = await evaluate({
        '_dmarc.example.org': record(`v=DMARC1; p=${wanted}; t=y`),
      })
      assert.deepEqual([found, disposition], [wanted, applied])
    }
  })
  test('U-labels', async () => {
    const zones: Zones = { '_dmarc.xn--bcher-kva.example': record('v=DMARC1; p=reject') }
    assert.equal(await policy(zones, 'a@Bücher.example'), 'fail reject xn--bcher-kva.example')
  })
})

describe('who stands behind it', () => {
  const status = async (question: Partial<DmarcQuestion>, more: Zones = {}) =>
    (await evaluate({ ...REJECT, ...more }, question)).status
  test('nobody', async () => assert.equal(await status({}), 'fail'))
  test('DKIM of the domain, of a subdomain, of the organisation', async () => {
    assert.equal(await status({ dkim: signedBy('example.org') }), 'pass')
    assert.equal(await status({ dkim: signedBy('mail.example.org') }), 'pass')
    assert.equal(await status({ dkim: signedBy('example.org'), from: ['a@sub.example.org'] }), 'pass')
  })
  test('SPF of the domain or a subdomain', async () => {
    assert.equal(await status({ spf: sentBy('example.org') }), 'pass')
    assert.equal(await status({ spf: sentBy('bounces.example.org') }), 'pass')
  })
  test('somebody else', async () => {
    assert.equal(
      await status({ dkim: signedBy('example.net', 'other.org', 'notexample.org'), spf: sentBy('example.com') }),
      'fail',
    )
  })
  test('a signature that does not hold, an SPF that only nearly passes', async () => {
    assert.equal(
      await status({ dkim: [{ status: 'fail', domain: 'example.org' }], spf: sentBy('example.org', 'softfail') }),
      'fail',
    )
    assert.equal(await status({ dkim: [{ status: 'policy', domain: 'example.org' }] }), 'fail')
  })
  test('strict: the very domain', async () => {
    const strict: Zones = { '_dmarc.example.org': record('v=DMARC1; p=reject; adkim=s; aspf=s') }
    assert.equal(await status({ dkim: signedBy('mail.example.org'), spf: sentBy('mail.example.org') }, strict), 'fail')
    assert.equal(await status({ dkim: signedBy('example.org') }, strict), 'pass')
    assert.equal(await status({ spf: sentBy('EXAMPLE.org') }, strict), 'pass')
  })
  test('two organisations below one public suffix', async () => {
    const zones: Zones = { '_dmarc.org': record('v=DMARC1; p=none; psd=y') }
    assert.equal(await status({ dkim: signedBy('other.org') }, zones), 'fail')
  })
  test('the report knows who', async () => {
    const result = await evaluate(REJECT, {
      dkim: signedBy('mail.example.org', 'example.net'),
      spf: sentBy('example.org'),
    })
    assert.deepEqual([result.dkimAligned, result.spfAligned, result.disposition], [['mail.example.org'], true, 'none'])
    assert.equal(result.record?.text, 'v=DMARC1; p=reject')
  })
})

describe('DNS that does not answer', () => {
  test('for the policy: later', async () => {
    assert.equal((await evaluate({ '_dmarc.example.org': { fails: 'SERVFAIL' } })).status, 'temperror')
    assert.equal((await evaluate({ '_dmarc.org': { fails: 'silence' } })).status, 'temperror')
  })
  test('for what would have counted: later; for what would not: a failure', async () => {
    const unsure = (domain: string) => evaluate(REJECT, { dkim: [{ status: 'temperror', domain }] })
    assert.equal((await unsure('example.org')).status, 'temperror')
    assert.equal((await unsure('example.net')).status, 'fail')
    assert.equal((await evaluate(REJECT, { spf: sentBy('example.org', 'temperror') })).status, 'temperror')
  })
  test('is no matter where somebody stands behind it anyway', async () => {
    const result = await evaluate(REJECT, {
      dkim: [{ status: 'temperror', domain: 'example.org' }, ...signedBy('example.org')],
    })
    assert.equal(result.status, 'pass')
  })
})

describe('From', () => {
  const both: Zones = {
    ...REJECT,
    '_dmarc.example.net': record('v=DMARC1; p=quarantine'),
    '_dmarc.example.com': record('v=DMARC1; p=none'),
  }
  const from = async (value: string | readonly string[], question: Partial<DmarcQuestion> = {}) => {
    const { status, disposition, domain } = await evaluate(both, {
      from: typeof value === 'string' ? [value] : value,
      ...question,
    })
    return `${status} ${disposition} ${domain ?? '-'}`
  }
  test('none, two fields, no address, one that cannot be read', async () => {
    for (const value of [
      [],
      ['a@example.org', 'a@example.org'],
      [''],
      ['Anna'],
      ['a@'],
      ['a@example..org'],
      ['a@[192.0.2.1]'],
    ])
      assert.equal(await from(value), 'permerror none -', value.join())
  })
  test('several addresses of one domain are one author', async () => {
    assert.equal(await from('a@example.org, b@example.org', { dkim: signedBy('example.org') }), 'pass none example.org')
  })
  test('several domains: each is judged, the strictest failure counts', async () => {
    assert.equal(await from('a@example.com, b@example.net, c@example.org'), 'fail reject example.org')
    assert.equal(
      await from('a@example.org, b@example.net', { dkim: signedBy('example.org') }),
      'fail quarantine example.net',
    )
    assert.equal(
      await from('a@nobody.example, b@example.net', { dkim: signedBy('example.net') }),
      'none none nobody.example',
    )
  })
  test('many domains are not looked into', async () => {
    assert.equal(await from(Array.from({ length: 5 }, (_, i) => `a@d${i}.example`).join()), 'permerror none -')
  })
  test('a group, a comment, a quoted name that looks like an address', async () => {
    assert.equal(await from('Friends: a@example.org;'), 'fail reject example.org')
    assert.equal(await from('"ceo@example.com" <a@example.org> (b@example.net)'), 'fail reject example.org')
  })
})
