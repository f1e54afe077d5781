// The filters of other people that our checks speak to: rspamd, opendkim (a milter) and ClamAV, where they are installed.

import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { generateKeyPairSync } from 'node:crypto'
import { once } from 'node:events'
import { chmodSync, existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { createServer, type AddressInfo } from 'node:net'
import { join } from 'node:path'
import { describe, test, type TestContext } from 'node:test'
import { MESSAGE, openHouse, refusal } from '../../packages/server/test/mail/pipeline/house.ts'
import { eventually, needs } from './programs.ts'
import { temporaryFolder } from './server.ts'

const to = ['anna@example.org', 'ben@example.org']

/** Debian puts daemons where an ordinary user's PATH does not lead. */
const daemon = (name: string): string => `/usr/sbin/${name}`

const folderFor = (t: TestContext): string => {
  const folder = temporaryFolder()
  t.after(() => folder.remove())
  return folder.path
}

/** Runs a daemon in the foreground until the test is over. */
function run(t: TestContext, command: string, args: readonly string[]): () => string {
  const child: ChildProcess = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'] })
  let said = ''
  for (const stream of [child.stdout, child.stderr]) stream?.on('data', (bytes: Buffer) => (said += bytes.toString()))
  t.after(async () => {
    if (child.exitCode !== null || child.signalCode !== null) return
    child.kill('SIGTERM')
    const forced = setTimeout(() => child.kill('SIGKILL'), 500)
    await once(child, 'exit')
    clearTimeout(forced)
  })
  return () => `${command} said:\n${said}`
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}

/** The message behind our own Received field. */
const behindTrace = (mail: string): string => mail.replace(/^[^]*?\r\nReceived: [^]*?;\r\n\t[^\r]*\r\n/, '')

describe('rspamd', { skip: needs('rspamd') }, () => {
  /** One with a rule that tells what it was told; its own test patterns make it act. */
  async function start(t: TestContext): Promise<string> {
    const folder = folderFor(t)
    const port = await freePort()
    writeFileSync(join(folder, 'suffixes'), 'org\ncom\nnet\nexample\n')
    writeFileSync(
      join(folder, 'tell.lua'),
      `rspamd_config:register_symbol({ name = 'TEST_TELL', type = 'normal', score = 0.0, callback = function(task)
        local names = {}
        for _, one in ipairs(task:get_recipients('smtp') or {}) do table.insert(names, one.addr) end
        local from = task:get_from('smtp')
        task:set_milter_reply({
          add_headers = {
            ['X-Told'] = table.concat({ from and from[1].addr or '', table.concat(names, '+'), task:get_helo() or '', tostring(task:get_from_ip()), task:get_user() or '' }, ' ')
          },
          remove_headers = { ['X-Old'] = 0 },
        })
        return true
      end })`,
    )
    writeFileSync(
      join(folder, 'rspamd.conf'),
      `options {
         pidfile = "${folder}/pid"; filters = ""; url_tld = "${folder}/suffixes"; temp_dir = "${folder}"; control_socket = "${folder}/control";
         enable_test_patterns = true; dns { nameserver = ["127.0.0.1:9"]; timeout = 0.1; retransmits = 1; }
       }
       logging { type = "console"; level = "warning"; }
       worker "normal" { bind_socket = "127.0.0.1:${port}"; count = 1; }
       actions { reject = 15; add_header = 6; greylist = 4; }
       lua = "${folder}/tell.lua";`,
    )
    chmodSync(folder, 0o755)
    const said = run(t, 'rspamd', [
      '-f',
      '-c',
      join(folder, 'rspamd.conf'),
      ...(process.getuid?.() === 0 ? ['--insecure'] : []),
    ])
    const url = `http://127.0.0.1:${port}`
    await eventually(
      said,
      async () => (await fetch(`${url}/ping`).catch(() => undefined))?.ok === true || undefined,
      60_000,
    )
    return url
  }

  const pattern = (letter: string): string =>
    `From: bo@example.net\r\nSubject: Hi\r\n\r\n${letter}JS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X\r\n`

  test('is told of the envelope, adds and removes fields, and its actions are followed', async (t) => {
    const url = await start(t)
    const house = await openHouse(t, { config: { incoming: { checks: { rspamd: { url } } } } })
    await house.receive({ to, message: `X-Old: 1\r\n${MESSAGE}` })
    const [mail = ''] = await house.mails('anna')
    assert.match(
      behindTrace(mail),
      /^X-Spam-Score: 0\.00\r\nX-Told: bo@example\.net anna@example\.org\+ben@example\.org mx\.example\.net 192\.0\.2\.7 \r\nFrom: bo/,
    )
    await assert.rejects(house.receive({ to, message: pattern('X') }), refusal(554, '5.7.1', /Gtube/i))
    await house.receive({ to, message: pattern('Y') })
    await house.receive({ to, message: pattern('Z') })
    const junk = await house.mails('anna', 'Junk')
    assert.equal(junk.length, 2)
    assert.ok(junk.every((one) => one.includes('\r\nX-Spam-Flag: YES\r\n')))
    assert.match(junk[1] ?? '', /\r\nSubject: .*SPAM.*\r\n/)
  })
})

describe('opendkim, a milter', { skip: needs(daemon('opendkim')) }, () => {
  async function start(t: TestContext, lines: readonly string[]): Promise<string> {
    const folder = folderFor(t)
    const key = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export({ type: 'pkcs1', format: 'pem' })
    writeFileSync(join(folder, 'key'), key, { mode: 0o600 })
    const socket = join(folder, 'socket')
    writeFileSync(
      join(folder, 'conf'),
      [
        `Socket local:${socket}`,
        'Syslog no',
        'RequireSafeKeys no',
        'Canonicalization relaxed/simple',
        ...lines,
        `KeyFile ${folder}/key`,
        '',
      ].join('\n'),
    )
    const said = run(t, daemon('opendkim'), ['-f', '-x', join(folder, 'conf')])
    await eventually(said, () => existsSync(socket) || undefined)
    return `unix:${socket}`
  }

  test('signs what our accounts send: its field comes on top, and the message stays as it was', async (t) => {
    const address = await start(t, ['Mode s', 'Domain example.org', 'Selector test'])
    const house = await openHouse(t, { config: { outgoing: { checks: { milter: { address } } } } })
    const message =
      'From: anna@example.org\r\nDate: Mon, 2 Feb 2026 10:00:00 +0100\r\nMessage-ID: <a@example.org>\r\nSubject: Hi\r\n\tthere\r\n\r\nHello\r\n'
    await house.submit({ as: 'anna', to: ['ben@example.org'], message })
    const [mail = ''] = await house.mails('ben')
    const rest = behindTrace(mail)
    assert.match(rest, /^DKIM-Signature: v=1; a=rsa-sha256; [^]*d=example\.org; s=test;/)
    assert.ok(rest.endsWith(message), rest)
  })

  test('verifies what comes in, and says what it found', async (t) => {
    const address = await start(t, ['Mode v', 'AlwaysAddARHeader yes', 'AuthservID filter.example.org'])
    const house = await openHouse(t, { config: { incoming: { checks: { milter: { address } } } } })
    await house.receive({
      to,
      message: `From: bo@example.net\r\nSubject: x\r\n\r\n${'a line of some length\r\n'.repeat(10_000)}`,
    })
    assert.match(
      behindTrace((await house.mails('anna'))[0] ?? ''),
      /^Authentication-Results: filter\.example\.org;[^]*dkim=none/,
    )
  })
})

describe('ClamAV', { skip: needs(daemon('clamd')) }, () => {
  async function start(t: TestContext): Promise<string> {
    const folder = folderFor(t)
    mkdirSync(join(folder, 'db'))
    // One signature of our own: a mail of any kind that holds these words.
    const words = Buffer.from('this is the virus of the test').toString('hex')
    writeFileSync(join(folder, 'db', 'own.ndb'), `Aviso.Test.Words:0:*:${words}\n`)
    const socket = join(folder, 'socket')
    writeFileSync(
      join(folder, 'conf'),
      `LocalSocket ${socket}\nDatabaseDirectory ${folder}/db\nForeground yes\nTemporaryDirectory ${folder}\nStreamMaxLength 1M\nConcurrentDatabaseReload no\n`,
    )
    const said = run(t, daemon('clamd'), ['-F', '-c', join(folder, 'conf')])
    await eventually(said, () => existsSync(socket) || undefined, 60_000)
    return `unix:${socket}`
  }

  test('finds its virus, in an attachment too; lets others pass; too large for it is a failure', async (t) => {
    const address = await start(t)
    const house = await openHouse(t, { config: { incoming: { checks: { clamav: { address } } } } })
    await house.receive({ to })
    const virus = 'From: bo@example.net\r\n\r\nthis is the virus of the test\r\n'
    await assert.rejects(house.receive({ to, message: virus }), refusal(554, '5.7.0', /Aviso\.Test\.Words/))
    const attached = `From: bo@example.net\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\nContent-Type: text/plain\r\n\r\nHi\r\n--x\r\nContent-Type: application/octet-stream; name=a.bin\r\nContent-Disposition: attachment; filename=a.bin\r\nContent-Transfer-Encoding: base64\r\n\r\n${Buffer.from('this is the virus of the test').toString('base64')}\r\n--x--\r\n`
    await assert.rejects(house.receive({ to, message: attached }), refusal(554, '5.7.0', /Aviso\.Test\.Words/))
    const large = `From: bo@example.net\r\n\r\n${'0123456789abcde\r\n'.repeat(200_000)}`
    await assert.rejects(house.receive({ to, message: large }), refusal(451, '4.7.1'))
    assert.equal((await house.mails('anna')).length, 1)
  })
})
