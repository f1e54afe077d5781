// aviso dkim and aviso check, as an administrator sees them, with a DNS on loopback.

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { generateKeyPairSync } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, test, type TestContext } from 'node:test'
import { text } from 'node:stream/consumers'
import { stringify } from 'yaml'
import { Message } from '../../src/mail/authentication/message.ts'
import { signDkim } from '../../src/mail/authentication/dkim/sign.ts'
import type { DkimKeyLine, MessageFindings } from '../../src/mail/authentication-admin.ts'
import { FakeDns, type ZoneRecords } from '../../src/net/dns/testing/index.ts'
import { PROGRAM } from '../fixtures/program.ts'
import { BASE, temporaryFolder } from '../house/fixture.ts'
import { edKey, publishing, rsaKey } from '../mail/authentication/keys.ts'

async function server(t: TestContext, zones: Record<string, ZoneRecords> = {}) {
  const dns = await FakeDns.start(zones)
  t.after(() => dns.close())
  const folder = temporaryFolder(t)
  writeFileSync(join(folder, 'aviso.yaml'), stringify({ ...BASE, network: { dns: { servers: [dns.address] } } }))
  return {
    folder,
    async aviso(args: readonly string[], stdin = '') {
      const { AVISO_CONFIG: _, ...env } = process.env
      const child = spawn(process.execPath, [PROGRAM, ...args], { cwd: folder, env, stdio: ['pipe', 'pipe', 'pipe'] })
      child.stdin.end(stdin)
      const closed = new Promise<number | null>((resolve) => child.once('close', resolve))
      const [out, err] = await Promise.all([text(child.stdout), text(child.stderr)])
      return { status: await closed, out, err }
    },
  }
}

describe('aviso dkim', () => {
  test('show makes keys and tells what to publish; once published it says so; rotate makes those that follow', async (t) => {
    const zones: Record<string, ZoneRecords> = {}
    const { aviso } = await server(t, zones)
    const first = await aviso(['dkim', 'show', 'example.org', '--json'])
    assert.equal(first.status, 0, first.err)
    const keys = JSON.parse(first.out) as readonly DkimKeyLine[]
    assert.deepEqual(
      keys.map(({ kind, state, published }) => [kind, state, published]),
      [
        ['ed25519', 'signing', false],
        ['rsa2048', 'signing', false],
      ],
    )
    for (const { name, record } of keys) zones[name] = { TXT: [record] }
    const shown = await aviso(['dkim', 'show', 'example.org'])
    assert.match(shown.out, /rsa2048 +signing +published\n/)
    assert.match(shown.out, /_domainkey\.example\.org\. IN TXT "v=DKIM1; k=rsa; p=[^"]+" "[^"]+"\n/)
    const rotated = await aviso(['dkim', 'rotate', 'example.org', '--after', '12h'])
    assert.match(rotated.out, /ed25519 +from 20.* MISSING\n/)
    const all = JSON.parse((await aviso(['dkim', 'show', '--json'])).out) as readonly DkimKeyLine[]
    assert.deepEqual(
      all.map(({ state }) => state),
      ['signing', 'signing', 'next', 'next'],
    )
  })

  test('a domain that is not ours, a key that is none: told, with a status', async (t) => {
    const { aviso, folder } = await server(t)
    const foreign = await aviso(['dkim', 'show', 'example.net'])
    assert.deepEqual([foreign.status, /no domain of this server/.test(foreign.err)], [3, true])
    writeFileSync(join(folder, 'no.pem'), 'hello')
    const broken = await aviso(['dkim', 'import', 'example.org', 'old', 'no.pem'])
    assert.deepEqual([broken.status, /no private key/.test(broken.err)], [5, true])
    const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
    writeFileSync(join(folder, 'old.pem'), privateKey.export({ type: 'pkcs1', format: 'pem' }))
    const taken = await aviso(['dkim', 'import', 'example.org', 'old', 'old.pem'])
    assert.match(taken.out, /example\.org +old +rsa2048 +signing/, taken.err)
    assert.equal((await aviso(['dkim', 'remove', 'example.org', 'old'])).status, 2)
    assert.equal((await aviso(['dkim', 'remove', 'example.org', 'old', '--yes'])).status, 0)
    assert.equal((await aviso(['dkim', 'remove', 'example.org', 'old', '--yes'])).status, 3)
    assert.equal((await aviso(['dkim', 'rotate', 'example.org', '--after', 'soon'])).status, 2)
    const larger = await aviso(['dkim', 'rotate', 'example.org', '--after', '0s', '--key', 'rsa4096'])
    assert.match(larger.out, /rsa4096 +signing/, larger.err)
  })
})

describe('aviso check', () => {
  const domain = 'example.net'
  const zones = {
    ...publishing(rsaKey(domain), edKey(domain)),
    'example.net': { TXT: ['v=spf1 ip4:192.0.2.0/24 -all'] },
    '_dmarc.example.net': { TXT: ['v=DMARC1; p=reject'] },
  }

  test('spf: the result and the term that says so', async (t) => {
    const { aviso } = await server(t, zones)
    const good = await aviso(['check', 'spf', '--ip', '192.0.2.1', '--from', 'bo@example.net'])
    assert.match(good.out, /^pass: example\.net: ip4:192\.0\.2\.0\/24\n/, good.err)
    const bad = await aviso(['check', 'spf', '--ip', '2001:db8::1', '--helo', 'example.net', '--from', '<>', '--json'])
    const { status, identity } = JSON.parse(bad.out) as { status: string; identity: string }
    assert.deepEqual([status, identity], ['fail', 'helo'])
    assert.equal((await aviso(['check', 'spf', '--ip', '192.0.2.1'])).status, 2)
    assert.equal((await aviso(['check', 'spf', '--ip', 'nowhere', '--from', 'bo@example.net'])).status, 5)
  })

  test('message: what each method says of a file, whatever its line ends', async (t) => {
    const { aviso, folder } = await server(t, zones)
    const mail = 'From: Bo <bo@example.net>\r\nSubject: Hello\r\n\r\nIt works.\r\n'
    const keys = [rsaKey(domain), edKey(domain)]
    const fields = await signDkim(Message.of(Buffer.from(mail)), { keys, now: Date.now() })
    const signed = `${fields.join('\r\n')}\r\n${mail}`.replaceAll('\r\n', '\n')
    writeFileSync(join(folder, 'mail.eml'), signed)
    const found = await aviso(['check', 'message', 'mail.eml'])
    assert.match(
      found.out,
      /^dkim +pass +example\.net \(r, rsa-sha256\): 2048-bit rsa key\ndkim +pass .*ed25519.*\narc +none .*\ndmarc +pass +aligned: DKIM of example\.net\n$/,
      found.err,
    )
    const changed = await aviso(
      ['check', 'message', '-', '--json', '--ip', '198.51.100.1', '--from', 'bo@example.net'],
      `${signed}PS\n`,
    )
    const { spf, dkim, dmarc } = JSON.parse(changed.out) as MessageFindings
    assert.deepEqual(
      [spf?.status, dkim.signatures.map(({ status }) => status), dmarc.status, dmarc.disposition],
      ['fail', ['fail', 'fail'], 'fail', 'reject'],
    )
    assert.equal((await aviso(['check', 'message', 'no-such-file'])).status, 1)
  })
})
