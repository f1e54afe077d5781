// swaks, msmtp and curl send mail; it arrives octet by octet.

import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { arrived, assertExact, awkwardMail } from './mailbox.ts'
import { needs, type Outcome, run, succeed } from './programs.ts'
import { demoJourney } from './demo-journey.ts'

describe('sending', () => {
  const journey = demoJourney()

  const mail = (subject: string): string => awkwardMail(journey.demo.anna.address, journey.demo.bert.address, subject)
  const file = (name: string, content: string): string => {
    const path = join(journey.folder, name)
    writeFileSync(path, content, { mode: 0o600 })
    return path
  }

  /** Swaks ends the last line itself. */
  const swaksFile = (name: string, sent: string): string => `@${file(name, sent.replace(/\r\n$/, ''))}`

  for (const [how, mechanism] of [
    ['STARTTLS', 'PLAIN'],
    ['STARTTLS', 'LOGIN'],
    ['TLS', 'PLAIN'],
    ['TLS', 'LOGIN'],
  ] as const)
    test(`swaks, ${how}, AUTH ${mechanism}`, { skip: needs('swaks') }, async () => {
      const { anna, bert, reach } = journey.demo
      const subject = `swaks ${how} ${mechanism}`
      const sent = mail(subject)
      const port = how === 'TLS' ? reach.ports.submissions : reach.ports.submission
      await succeed('swaks', [
        '--server',
        `${reach.host}:${port}`,
        how === 'TLS' ? '--tls-on-connect' : '--tls',
        '--tls-verify',
        '--tls-ca-path',
        reach.ca,
        '--auth',
        mechanism,
        '--auth-user',
        anna.address,
        '--auth-password',
        anna.password,
        '--from',
        anna.address,
        '--to',
        bert.address,
        '--data',
        swaksFile(`swaks-${how}-${mechanism}`, sent),
      ])
      assertExact(await arrived(reach, bert, subject), sent)
    })

  test(
    'swaks is refused with a wrong password, with a foreign sender, and without a login',
    { skip: needs('swaks') },
    async () => {
      const { anna, bert, reach } = journey.demo
      const server = `${reach.host}:${reach.ports.submission}`
      const swaks = (from: string, ...login: string[]): Promise<Outcome> =>
        run('swaks', ['--server', server, '--tls', '--from', from, '--to', bert.address, ...login])
      const login = ['--auth', 'PLAIN', '--auth-user', anna.address, '--auth-password']
      const wrong = await swaks(anna.address, ...login, 'wrong')
      assert.notEqual(wrong.status, 0)
      assert.match(wrong.stdout, /<~\* 535 5\.7\.8/)
      const foreign = await swaks(bert.address, ...login, anna.password)
      assert.notEqual(foreign.status, 0)
      assert.match(foreign.stdout, /<~\* 55\d 5\.7\.\d/)
      const nobody = await swaks(anna.address)
      assert.notEqual(nobody.status, 0)
      assert.match(nobody.stdout, /<~\* 530 5\.7\.0/)
    },
  )

  test(
    'swaks as another server: our people get mail, other people are no business of ours',
    { skip: needs('swaks') },
    async () => {
      const { bert, reach } = journey.demo
      const sent = awkwardMail('someone@elsewhere.test', bert.address, 'swaks from outside')
      const content = swaksFile('swaks-outside', sent)
      const swaks = (to: string): Promise<Outcome> =>
        run('swaks', [
          '--server',
          `${reach.host}:${reach.ports.smtp}`,
          '--tls',
          '--tls-verify',
          '--tls-ca-path',
          reach.ca,
          '--ehlo',
          'mx.elsewhere.test',
          '--from',
          'someone@elsewhere.test',
          '--to',
          to,
          '--data',
          content,
        ])
      const taken = await swaks(bert.address)
      assert.equal(taken.status, 0, taken.stdout)
      assertExact(await arrived(reach, bert, 'swaks from outside'), sent)
      const unknown = await swaks(`nobody@${reach.domain}`)
      assert.match(unknown.stdout, /<~\* 550 5\.1\.1/)
      const relay = await swaks('someone@elsewhere.test')
      assert.match(relay.stdout, /<~\* 55\d 5\.7\.1/)
    },
  )

  for (const [how, mechanism] of [
    ['STARTTLS', 'plain'],
    ['STARTTLS', 'scram-sha-256'],
    ['TLS', 'login'],
    ['TLS', 'scram-sha-1'],
    ['TLS', 'scram-sha-256'],
  ] as const)
    test(`msmtp, ${how}, ${mechanism}`, { skip: needs('msmtp') }, async () => {
      const { anna, bert, reach } = journey.demo
      const subject = `msmtp ${how} ${mechanism}`
      const sent = mail(subject)
      const config = file(
        `msmtprc-${how}-${mechanism}`,
        [
          'account journey.demo',
          `host ${reach.host}`,
          `port ${how === 'TLS' ? reach.ports.submissions : reach.ports.submission}`,
          'tls on',
          `tls_starttls ${how === 'TLS' ? 'off' : 'on'}`,
          `tls_trust_file ${reach.ca}`,
          `auth ${mechanism}`,
          `user ${anna.address}`,
          `password ${anna.password}`,
          `from ${anna.address}`,
          '',
        ].join('\n'),
      )
      await succeed('msmtp', ['-C', config, '-a', 'journey.demo', bert.address], {
        input: sent.replaceAll('\r\n', '\n'),
      })
      assertExact(await arrived(reach, bert, subject), sent)
    })

  for (const how of ['STARTTLS', 'TLS'] as const)
    test(`curl, ${how}`, { skip: needs('curl') }, async () => {
      const { anna, bert, reach } = journey.demo
      const { host, ports } = reach
      const sent = mail(`curl ${how}`)
      const url = how === 'TLS' ? `smtps://${host}:${ports.submissions}` : `smtp://${host}:${ports.submission}`
      const trust = ['--silent', '--show-error', '--ssl-reqd', '--cacert', reach.ca]
      await succeed(
        'curl',
        [
          ...trust,
          url,
          '--user',
          `${anna.address}:${anna.password}`,
          '--upload-file',
          '-',
          '--mail-from',
          anna.address,
          '--mail-rcpt',
          bert.address,
        ],
        { input: sent },
      )
      assertExact(await arrived(reach, bert, `curl ${how}`), sent)

      const imap = how === 'TLS' ? `imaps://${host}:${ports.imaps}` : `imap://${host}:${ports.imap}`
      const login = [...trust, '--user', `${bert.address}:${bert.password}`]
      const found = await succeed('curl', [...login, `${imap}/INBOX?SUBJECT%20%22curl%20${how}%22`])
      const number = /^\* SEARCH (\d+)\r\n$/.exec(found)?.[1]
      assert.ok(number !== undefined, found)
      assert.ok((await succeed('curl', [...login, `${imap}/INBOX;MAILINDEX=${number}`])).includes(sent))
      const structure = await succeed('curl', [...login, `${imap}/INBOX`, '-X', `FETCH ${number} BODYSTRUCTURE`])
      assert.match(structure, /BODYSTRUCTURE \("text" "plain" \("charset" "utf-8"\)/i)
    })
})
