// Certificates as administrators put them there, and as we make our own.

import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { generateKeyPairSync, X509Certificate } from 'node:crypto'
import { chmod, mkdir, readFile, stat, symlink, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { test } from 'node:test'
import { promisify } from 'node:util'
import * as v from 'valibot'
import { findCertificates, readKeyPair } from '../../src/net/certificate-files.ts'
import { loadCertificates } from '../../src/net/certificates.ts'
import { makeSelfSigned, selfSignedCertificate } from '../../src/net/self-signed.ts'
import { tlsConfig } from '../../src/net/tls.ts'
import { folder, house } from './fixtures.ts'

const NOW = Date.UTC(2026, 5, 1)
const DAY = 86_400_000
const openssl = await promisify(execFile)('openssl', ['version']).then(
  () => false,
  () => 'needs openssl',
)

test('what is wrong with the files is said with the remedy', async (t) => {
  const dir = await folder(t)
  const [one, two] = [await makeSelfSigned(['a.example'], NOW), await makeSelfSigned(['b.example'], NOW)]
  const encrypted = generateKeyPairSync('ec', { namedCurve: 'P-256' })
    .privateKey.export({ type: 'pkcs8', format: 'pem', cipher: 'aes-128-cbc', passphrase: 'open' })
    .toString()
  const files: Record<string, string | Buffer> = {
    'good.crt': one.certificate,
    'good.key': one.key,
    'other.key': two.key,
    'locked.key': encrypted,
    'empty.crt': '',
    'text.crt': 'hello\n',
    'der.crt': new X509Certificate(one.certificate).raw,
    'cut.crt': one.certificate.slice(0, 300),
    'damaged.crt': one.certificate.replace(/\n.{40}/, `\n${'A'.repeat(40)}`),
    'damaged.key': one.key.replace(/\n.{40}/, `\n${'A'.repeat(40)}`),
    'reversed.crt': two.certificate + one.certificate,
    'chain.crt': one.certificate + two.certificate.slice(0, 200),
  }
  for (const [name, content] of Object.entries(files)) await writeFile(path.join(dir, name), content)
  const cases: readonly (readonly [string, string, RegExp, string?])[] = [
    ['missing.crt', 'good.key', /missing\.crt does not exist/],
    ['.', 'good.key', /is a folder/],
    ['empty.crt', 'good.key', /empty\.crt is not PEM.*it is empty/],
    ['text.crt', 'good.key', /text\.crt is not PEM/],
    ['der.crt', 'good.key', /der\.crt is in DER form.*openssl x509 -inform der/],
    ['cut.crt', 'good.key', /certificate 1 in .*cut\.crt is cut short/],
    ['chain.crt', 'good.key', /certificate 2 in .*chain\.crt is cut short/],
    ['damaged.crt', 'good.key', /certificate 1 in .*damaged\.crt cannot be read/],
    ['good.key', 'good.crt', /holds a private key and no certificate.*swapped/],
    ['good.crt', 'good.crt', /holds a certificate and no private key/],
    ['good.crt', 'damaged.key', /damaged\.key cannot be read/],
    ['good.crt', 'locked.key', /locked\.key is encrypted.*tls\.passphrase/],
    ['good.crt', 'locked.key', /cannot be decrypted: tls\.passphrase is wrong/, 'wrong'],
    ['good.crt', 'locked.key', /does not belong/, 'open'],
    ['good.crt', 'other.key', /other\.key does not belong to the certificate .*good\.crt \(issued to a\.example\)/],
    ['reversed.crt', 'good.key', /wrong order.*number 2/],
  ]
  for (const [certificate, key, message, passphrase] of cases) {
    const pair = {
      certificate: path.join(dir, certificate),
      key: path.join(dir, key),
      ...(passphrase && { passphrase }),
    }
    await assert.rejects(readKeyPair(pair), { name: 'StartError', message }, `${certificate} ${key}`)
  }
  assert.deepEqual(
    (await readKeyPair({ certificate: path.join(dir, 'good.crt'), key: path.join(dir, 'good.key') })).names,
    ['a.example'],
  )
})

test('a folder of pairs: NAME.crt with NAME.key, one file for both, and certbot', async (t) => {
  const dir = await folder(t)
  const put = async (file: string, text: string): Promise<void> => writeFile(path.join(dir, file), text)
  const [a, b, c] = [
    await makeSelfSigned(['a'], NOW),
    await makeSelfSigned(['b'], NOW),
    await makeSelfSigned(['c'], NOW),
  ]
  await assert.rejects(findCertificates(dir), /holds no certificate with its key/)
  await put('a.crt', a.certificate)
  await put('a.key', a.key)
  await put('ca.pem', b.certificate)
  await put('both.pem', b.key + b.certificate)
  await put('README', 'certificates live here')
  await mkdir(path.join(dir, 'archive'))
  await put('archive/fullchain.pem', c.certificate)
  await put('archive/privkey.pem', c.key)
  await symlink('archive', path.join(dir, 'c.example'))
  const found = await findCertificates(dir)
  assert.deepEqual(
    found.map(({ certificate, key }) => [path.relative(dir, certificate), path.relative(dir, key)]),
    [
      ['a.crt', 'a.key'],
      ['archive/fullchain.pem', 'archive/privkey.pem'],
      ['both.pem', 'both.pem'],
      ['c.example/fullchain.pem', 'c.example/privkey.pem'],
    ],
  )
  for (const files of found) await readKeyPair(files)
  await assert.rejects(findCertificates(path.join(dir, 'nowhere')), /does not exist/)
})

test('a renewed certificate is taken up by itself; a broken one leaves the old one in use', async (t) => {
  const h = house(t)
  const dir = await folder(t)
  const put = async (pair: { certificate: string; key: string }): Promise<void> => {
    await writeFile(path.join(dir, 'x.crt'), pair.certificate)
    await writeFile(path.join(dir, 'x.key'), pair.key)
  }
  await put(await makeSelfSigned(['old.example'], h.clock.now()))
  const certificates = await loadCertificates(
    h.root,
    v.parse(tlsConfig, { certificate: path.join(dir, 'x.crt'), key: path.join(dir, 'x.key') }),
  )
  const names = (): readonly string[] | undefined => certificates.status()[0]?.names
  const until = async (done: () => boolean): Promise<void> => {
    while (!done()) await new Promise((resolve) => setImmediate(resolve))
  }
  const first = certificates.context()
  await put(await makeSelfSigned(['new.example'], h.clock.now()))
  h.clock.turn(3_600_000)
  await until(() => names()?.[0] === 'new.example')
  assert.notEqual(certificates.context(), first)

  await writeFile(path.join(dir, 'x.crt'), 'oops')
  h.clock.turn(3_600_000)
  await until(() => h.lines.some(({ level }) => level === 'error'))
  assert.deepEqual(names(), ['new.example'])
  assert.match(String(h.lines.find(({ level }) => level === 'error')?.['reason']), /x\.crt is not PEM/)
})

test('a certificate that is about to end is spoken of, and is in the metrics', async (t) => {
  const h = house(t)
  const files = await selfSignedCertificate(await folder(t), [], h.clock.now() - 3640 * DAY)
  await loadCertificates(h.root, v.parse(tlsConfig, {}), async () => files)
  assert.match(String(h.lines.find(({ level }) => level === 'warn')?.['msg']), /expires in \d+ days/)
  assert.match(await h.metrics.text(), /aviso_certificate_not_after_seconds\{file=".*self-signed\.crt"\} \d+/)
})

test('the settings say what is wrong with them', () => {
  const wrong = (input: unknown): string => v.safeParse(tlsConfig, input).issues?.[0].message ?? 'nothing'
  assert.match(wrong({ certificate: 'a.pem' }), /go together/)
  assert.match(wrong({ certificate: 'a.pem', key: 'b', directory: 'c' }), /only one of/)
  assert.match(wrong({ 'handshake-timeout': 30 }), /30s or 30m/)
  assert.deepEqual(v.parse(tlsConfig, {}), { 'minimum-version': '1.2', 'handshake-timeout': 30_000 })
})

test('the self-signed certificate: names, key rights, made once, made anew when it must be', async (t) => {
  const dir = path.join(await folder(t), 'tls')
  const make = (names: string[], now = NOW): Promise<string> =>
    selfSignedCertificate(dir, names, now).then(({ certificate }) => readFile(certificate, 'utf8'))
  const first = await make(['example.org', 'mail.example.org', '2001:db8::25', '192.0.2.1'])
  const leaf = new X509Certificate(first)
  for (const name of ['example.org', 'mail.example.org', 'localhost']) assert.ok(leaf.checkHost(name), name)
  for (const ip of ['127.0.0.1', '::1', '2001:db8::25', '192.0.2.1']) assert.ok(leaf.checkIP(ip), ip)
  assert.equal(leaf.checkHost('elsewhere.example'), undefined)
  assert.ok(leaf.ca && leaf.verify(leaf.publicKey))
  assert.equal((await stat(path.join(dir, 'self-signed.key'))).mode & 0o777, 0o600)

  assert.equal(await make(['example.org']), first, 'reused')
  assert.notEqual(await make(['other.example']), first, 'another name')
  const second = await make(['other.example'])
  assert.notEqual(await make(['other.example'], NOW + 3640 * DAY), second, 'about to end')
  await writeFile(path.join(dir, 'self-signed.crt'), 'damaged')
  assert.ok(new X509Certificate(await make(['example.org'])).checkHost('example.org'))
})

test('the self-signed certificate is good for the year 2050 and for openssl', { skip: openssl }, async (t) => {
  const dir = await folder(t)
  const { certificate } = await selfSignedCertificate(dir, ['example.org'], Date.UTC(2045, 0, 1))
  const { stdout } = await promisify(execFile)('openssl', ['x509', '-in', certificate, '-noout', '-text'])
  assert.match(stdout, /Not After : Dec 31 00:00:00 2054 GMT/)
  assert.match(stdout, /CA:TRUE/)
  assert.match(stdout, /DNS:example\.org, DNS:localhost, IP Address:127\.0\.0\.1, IP Address:0:0:0:0:0:0:0:1/)
  await promisify(execFile)('openssl', [
    'verify',
    '-x509_strict',
    '-attime',
    String(Date.UTC(2046) / 1000),
    '-CAfile',
    certificate,
    certificate,
  ])
})

test(
  'a folder that cannot be written',
  { skip: process.getuid?.() === 0 && 'needs a user that is not root' },
  async (t) => {
    const dir = await folder(t)
    await chmod(dir, 0o500)
    await assert.rejects(selfSignedCertificate(path.join(dir, 'tls'), [], NOW), /cannot be written to/)
  },
)
