// The same mail before others who read the same standards: mailauth and dkimpy. What one signs, all verify; what one refuses, nobody takes.

import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import * as fc from 'fast-check'
import { sealArc } from '../../../src/mail/authentication/arc/seal.ts'
import { verifyArc } from '../../../src/mail/authentication/arc/verify.ts'
import { signDkim, type SignOptions } from '../../../src/mail/authentication/dkim/sign.ts'
import { verifyDkim } from '../../../src/mail/authentication/dkim/verify.ts'
import { Message } from '../../../src/mail/authentication/message.ts'
import { checkHost } from '../../../src/mail/authentication/spf/check-host.ts'
import { publicRecord } from '../../../src/mail/keys/generate.ts'
import { zoneResolver, type Zones } from '../../../src/net/dns/testing/index.ts'
import { ED25519, edKey, publishing, RSA, rsaKey } from './keys.ts'

const DOMAIN = 'example.org'
const ZONES: Zones = {
  ...publishing(rsaKey(DOMAIN), edKey(DOMAIN)),
  'example.org': { TXT: ['v=spf1 ip4:192.0.2.0/24 -all'] },
}
// Others have no clock that could be turned.
const now = Date.now()

/** DNS as mailauth asks it: an error with a code where there is nothing. */
async function resolve(name: string, type: string): Promise<string[][]> {
  const resolver = zoneResolver(ZONES)
  const nothing = Object.assign(new Error(`no ${type} ${name}`), { code: 'ENOTFOUND' })
  if (type !== 'TXT') throw nothing
  const { records } = await resolver.txt(name)
  if (records.length === 0) throw nothing
  return records.map((text) => [text])
}

const { authenticate } = await import('mailauth')
const { dkimSign } = await import('mailauth/lib/dkim/sign.js')

const signed = async (mail: Buffer, options: Partial<SignOptions> = {}): Promise<Buffer> => {
  const keys = [rsaKey(DOMAIN), edKey(DOMAIN)]
  const fields = await signDkim(Message.of(mail), { keys, now, ...options })
  return Buffer.concat([Buffer.from(`${fields.join('\r\n')}\r\n`), mail])
}

const ours = async (mail: Buffer): Promise<readonly string[]> =>
  (await verifyDkim(Message.of(mail), { resolver: zoneResolver(ZONES), now })).signatures.map(({ status }) => status)

const theirs = async (mail: Buffer) =>
  authenticate(mail, {
    ip: '192.0.2.9',
    helo: 'mx.example.org',
    sender: 'anna@example.org',
    mta: 'mx.example.net',
    resolver: resolve,
    disableBimi: true,
  })

const header = fc
  .array(
    fc.tuple(
      fc.constantFrom('Subject', 'To', 'X-Thing', 'Comments', 'Date'),
      fc.stringMatching(/^[!-~][ -~]{0,30}[!-~]$/),
    ),
    { maxLength: 6 },
  )
  .map((fields) => fields.map(([name, value]) => `${name}: ${value}\r\n`).join(''))
const body = fc
  .array(fc.constantFrom('a', ' ', '\t', '\r\n', 'word', '  two', 'ü', '.'), { maxLength: 40 })
  .map((parts) => parts.join(''))
const mails = fc
  .tuple(header, body)
  .map(([fields, text]) => Buffer.from(`From: Anna <anna@example.org>\r\n${fields}\r\n${text}`))
const forms = fc.constantFrom<'simple' | 'relaxed'>('simple', 'relaxed')

describe('mailauth', () => {
  test('verifies what we sign', async () => {
    await fc.assert(
      fc.asyncProperty(mails, forms, forms, async (mail, head, text) => {
        const whole = await signed(mail, { header: head, body: text })
        const { dkim, spf } = await theirs(whole)
        assert.deepEqual(
          dkim.results.map(({ status }) => status.result),
          ['pass', 'pass'],
        )
        assert.equal(spf === false ? '' : spf?.status.result, 'pass')
      }),
      { numRuns: 60 },
    )
  })

  test('signs what we verify', async () => {
    await fc.assert(
      fc.asyncProperty(mails, forms, forms, async (mail, head, text) => {
        const { signatures } = await dkimSign(mail, {
          canonicalization: `${head}/${text}`,
          signingDomain: DOMAIN,
          selector: 'r',
          privateKey: RSA.export({ type: 'pkcs8', format: 'pem' }).toString(),
          signTime: new Date(now),
          signatureData: [
            {
              signingDomain: DOMAIN,
              selector: 'r',
              privateKey: RSA.export({ type: 'pkcs8', format: 'pem' }).toString(),
            },
            {
              signingDomain: DOMAIN,
              selector: 'e',
              privateKey: ED25519.export({ type: 'pkcs8', format: 'pem' }).toString(),
            },
          ],
        })
        assert.deepEqual(await ours(Buffer.concat([Buffer.from(signatures), mail])), ['pass', 'pass'])
      }),
      { numRuns: 60 },
    )
  })

  test('and we agree about what was changed on the way', async () => {
    await fc.assert(
      fc.asyncProperty(
        mails,
        forms,
        forms,
        fc.nat(),
        fc.constantFrom(' ', '\t', 'x', '\r\n'),
        async (mail, head, text, at, piece) => {
          const whole = await signed(mail, { header: head, body: text })
          const start = whole.length - mail.length
          const bodyAt = whole.indexOf('\r\n\r\n', start) + 4
          const place = bodyAt + (at % (whole.length - bodyAt + 1))
          const changed = Buffer.concat([whole.subarray(0, place), Buffer.from(piece), whole.subarray(place)])
          const { dkim } = await theirs(changed)
          const passes = (status: string): boolean => status === 'pass'
          assert.deepEqual(
            (await ours(changed)).map(passes),
            dkim.results.map(({ status }) => passes(status.result)),
          )
        },
      ),
      { numRuns: 100 },
    )
  })

  test('validates a chain that we seal', async () => {
    const mail = await signed(Buffer.from('From: anna@example.org\r\nSubject: x\r\n\r\nHi\r\n'))
    let whole = mail
    for (const key of [rsaKey(DOMAIN), rsaKey(DOMAIN)]) {
      const message = Message.of(whole)
      const chain = await verifyArc(message, { resolver: zoneResolver(ZONES), now })
      const fields = await sealArc(message, { key, authservId: 'mx.example.org', results: [], chain, now })
      whole = Buffer.concat([Buffer.from(`${fields?.join('\r\n') ?? ''}\r\n`), whole])
    }
    const { arc } = await theirs(whole)
    assert.equal(arc === false ? '' : arc?.status.result, 'pass')
  })

  // It evaluates what stands before a syntax error, where RFC 7208 §4.6 wants none of the record believed: those are left out.
  test('gives the same answers for SPF', async () => {
    const term = fc.constantFrom(
      'ip4:192.0.2.9',
      'ip4:192.0.2.0/24',
      'ip6:2001:db8::/32',
      'ip4:198.51.100.1',
      '-all',
      '~all',
      '?all',
      'exists:%{i}.x.example',
      'foo=bar',
    )
    await fc.assert(
      fc.asyncProperty(fc.array(term, { maxLength: 6 }), async (terms) => {
        const text = ['v=spf1', ...terms].join(' ')
        const { spf } = await import('mailauth/lib/spf/index.js')
        const there = await spf({
          ip: '192.0.2.9',
          helo: 'mx.example.org',
          sender: 'a@s.example',
          mta: 'mx.example.net',
          resolver: async (name, type) => {
            if (type === 'TXT' && name === 's.example') return [[text]]
            throw Object.assign(new Error('nothing'), { code: 'ENOTFOUND' })
          },
        })
        const resolver = zoneResolver({ 's.example': { TXT: [text] } })
        const here = await checkHost({ ip: '192.0.2.9', helo: 'mx.example.org', sender: 'a@s.example', resolver })
        assert.equal(here.status, there.status.result, text)
      }),
      { numRuns: 150 },
    )
  })
})

/** Whether a program can be run. */
const has = (program: string, ...args: readonly string[]): boolean =>
  spawnSync(program, args, { timeout: 20_000 }).status === 0

// The first python3 may be one that knows nothing of Debian's packages.
const python = ['python3', '/usr/bin/python3'].find((program) => has(program, '-c', 'import dkim, nacl.signing'))
const SCRIPT = `
import sys, dkim
keys = {}
for line in open(sys.argv[2], 'rb'):
    name, text = line.rstrip(b'\\n').split(b'\\t')
    keys[name] = text
def txt(name, timeout=5): return keys.get(name.rstrip(b'.'))
mail = sys.stdin.buffer.read()
mode = sys.argv[1]
if mode == 'dkim':
    d = dkim.DKIM(mail)
    print(' '.join('pass' if d.verify(i, dnsfunc=txt) else 'fail' for i in range(int(sys.argv[3]))))
elif mode == 'sign':
    for selector, algorithm in ((b'r', b'rsa-sha256'), (b'e', b'ed25519-sha256')):
        key = keys[selector + b'.private'].replace(b'|', b'\\n')
        forms = [form.encode() for form in sys.argv[3].split('/')]
        sys.stdout.buffer.write(dkim.sign(mail, selector, b'${DOMAIN}', key, canonicalize=tuple(forms), signature_algorithm=algorithm))
else:
    print(dkim.ARC(mail).verify(dnsfunc=txt)[0].decode())
`

describe('dkimpy', { skip: python === undefined ? 'python3-dkim and python3-nacl are not installed' : false }, () => {
  const pem = RSA.export({ type: 'pkcs1', format: 'pem' }).toString()
  const seed = ED25519.export({ type: 'pkcs8', format: 'der' }).subarray(-32).toString('base64')
  function run(mode: string, mail: Buffer, more: string | number = ''): string {
    const folder = mkdtempSync(join(tmpdir(), 'aviso-dkimpy-'))
    try {
      const keys = join(folder, 'keys')
      writeFileSync(
        keys,
        `r._domainkey.${DOMAIN}\t${publicRecord(RSA)}\nr.private\t${pem.replaceAll('\n', '|')}\ne.private\t${seed}\ne._domainkey.${DOMAIN}\t${publicRecord(ED25519)}\n`,
      )
      const { stdout, stderr } = spawnSync(python ?? '', ['-c', SCRIPT, mode, keys, String(more)], {
        input: mail,
        timeout: 20_000,
      })
      return stdout.toString().trim() || stderr.toString()
    } finally {
      rmSync(folder, { recursive: true, force: true })
    }
  }
  const mail = Buffer.from(
    'From: anna@example.org\r\nSubject: one\r\n  two \r\nList-Id: <x>\r\n\r\nHi \t there\r\n\r\n\r\n',
  )

  for (const head of ['simple', 'relaxed'] as const)
    for (const text of ['simple', 'relaxed'] as const)
      test(`verifies our ${head}/${text}`, async () => {
        assert.equal(run('dkim', await signed(mail, { header: head, body: text }), 2), 'pass pass')
      })

  for (const form of ['simple/simple', 'relaxed/relaxed', 'relaxed/simple'])
    test(`signs ${form} what we verify`, async () => {
      const fields = run('sign', mail, form)
      assert.match(fields, /^DKIM-Signature/, fields)
      assert.deepEqual(await ours(Buffer.concat([Buffer.from(`${fields}\r\n`), mail])), ['pass', 'pass'])
    })

  test('validates our chain of two', async () => {
    let whole = mail
    for (let hop = 0; hop < 2; hop++) {
      const message = Message.of(whole)
      const chain = await verifyArc(message, { resolver: zoneResolver(ZONES), now })
      const fields = await sealArc(message, {
        key: rsaKey(DOMAIN),
        authservId: 'mx.example.org',
        results: ['spf=pass'],
        chain,
        now,
      })
      whole = Buffer.concat([Buffer.from(`${fields?.join('\r\n') ?? ''}\r\n`), whole])
    }
    assert.equal(run('arc', whole), 'pass')
  })
})
