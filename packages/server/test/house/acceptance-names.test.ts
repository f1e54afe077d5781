// Acceptance of names (M-02, M-03, M-05, M-06, M-25, M-28, X-14, X-15, X-18): who is meant by a login name, a recipient, a sender.
// Maddy puts tables between names, credentials and mailboxes. Here an account is login, mailbox and chat address in one; what its maps are for, aliases and local parts do.

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { stringify } from 'yaml'
import { PROGRAM } from '../fixtures/program.ts'
import {
  ANNA,
  BEN,
  command,
  count,
  greeted,
  LINE,
  type Login,
  mailOf,
  plain,
  populated,
  reading,
  send,
  submitting,
} from './conversations.ts'
import { BASE, startHouse, Talker, temporaryFolder, type Running } from './fixture.ts'

const text = 'From: <carl@example.net>\r\nSubject: x\r\n\r\nhi'

async function receive(running: Running, ...to: readonly string[]): Promise<string> {
  const smtp = await greeted(running)
  const said = await send(smtp, { to, text })
  smtp.socket.destroy()
  return said
}

test('M-02: one logs in by the full address or by the name before the @; INBOX of a new account can be opened', async (t) => {
  // auth_map with the domain stripped: the credentials are those of `anna`.
  const running = await populated(t)
  for (const address of ['anna@example.org', 'anna', 'Anna', 'ANNA@Example.ORG']) {
    const imap = await reading(running, { ...ANNA, address })
    assert.match(await command(imap, 'SELECT INBOX'), /^\* 0 EXISTS\r\n/m)
    await imap.ask('x SELECT nowhere', /^x NO [^\r]*\r\n/m)
    imap.socket.destroy()
  }
  const scraped = await (await fetch(`http://127.0.0.1:${running.port('metrics')}/metrics`)).text()
  assert.match(scraped, /^aviso_imap_commands_total\{command="SELECT",outcome="OK"\} 4$/m, 'monitoring sees it')
  assert.match(scraped, /^aviso_imap_commands_total\{command="SELECT",outcome="NO"\} 4$/m)
})

test('M-03: a mailbox that one name of an account made is seen under the other', async (t) => {
  // storage_map with the domain stripped. An account has one mailbox whatever it is called; a second domain leads to it by an alias.
  const running = await populated(t)
  const { admin } = running.house.accounts
  await admin.addDomain('example.com')
  await admin.addAlias('anna@example.com', [ANNA.address])
  const first = await reading(running, ANNA)
  await command(first, 'CREATE Projects')
  const second = await reading(running, { ...ANNA, address: 'anna' })
  assert.match(await command(second, 'LIST "" *'), /^\* LIST \([^)]*\) "\/" "?Projects"?\r\n/m)
  assert.match(await receive(running, 'anna@example.com'), /^250 /)
  for (const imap of [first, second]) {
    assert.equal(await count(imap), 1)
    imap.socket.destroy()
  }
})

test('M-05: mail for the address of an account, however it is written and tagged, comes to that account', async (t) => {
  // delivery_map: the recipient anna@example.org is the account `anna`.
  const running = await populated(t)
  for (const address of ['anna@example.org', 'ANNA@EXAMPLE.ORG', 'anna+shop@example.org', '"anna"@example.org'])
    assert.match(await receive(running, address), /^250 /, address)
  assert.equal((await mailOf(running, ANNA)).length, 4)
  assert.equal((await mailOf(running, BEN)).length, 0)
  assert.match(await receive(running, 'nobody@example.org'), /^550 5\.1\.1 /)
})

test('M-06: who logs in by the name before the @ sees the mail of the full address', async (t) => {
  const running = await populated(t)
  assert.match(await receive(running, ANNA.address), /^250 /)
  assert.equal((await mailOf(running, { ...ANNA, address: 'anna' })).length, 1)
})

test('M-25: an account sends under its address and its aliases, whatever their case and composition, and under no other', async (t) => {
  const running = await populated(t)
  const { admin } = running.house.accounts
  const zoe = { address: 'zoë@example.org', password: 'zoes secret' }
  await admin.createAccount(zoe)
  await admin.addAlias('info@example.org', [zoe.address])
  await admin.addAlias('both@example.org', [zoe.address, ANNA.address])
  const smtp = await submitting(running, zoe)
  const as = (address: string, author = address): Promise<string> =>
    send(smtp, {
      from: address,
      to: [zoe.address],
      text: `From: <${author}>\r\nSubject: x\r\n\r\nhi`,
      parameters: ' SMTPUTF8',
    })
  const decomposed = 'ZOË@Example.Org'.normalize('NFD')
  assert.notEqual(decomposed, decomposed.normalize('NFC'))
  for (const own of [zoe.address, decomposed, 'INFO@example.org', 'zoë+shop@example.org'])
    assert.match(await as(own), /^250 /, own)
  for (const other of [ANNA.address, 'zoe@example.org', 'both@example.org', 'carl@example.net'])
    assert.match(await as(other), /^553 5\.7\.1 /, other)
  assert.match(await as(zoe.address, ANNA.address), /^550 5\.7\.1 /)
  smtp.socket.destroy()
})

test('M-28: several domains with accounts of their own, with one password for two mailboxes, and with one mailbox for both, by commands alone', async (t) => {
  const folder = temporaryFolder(t)
  const config = { ...BASE, accounts: { ...BASE.accounts, cleartext: 'loopback' as const } }
  writeFileSync(join(folder, 'aviso.yaml'), stringify(config))
  const aviso = async (words: string, input = ''): Promise<void> => {
    const { AVISO_CONFIG: _, ...env } = process.env
    const child = spawn(process.execPath, [PROGRAM, ...words.split(' ')], {
      cwd: folder,
      env,
      stdio: ['pipe', 'ignore', 'inherit'],
    })
    child.stdin.end(input)
    assert.equal(await new Promise((resolve) => child.once('close', resolve)), 0, words)
  }
  const add = (address: string, password: string): Promise<void> =>
    aviso(`account add ${address} --password-stdin`, `${password}\n`)
  await aviso('domain add example.com')
  // (a) accounts of their own: the same name in both domains is two people.
  await add('anna@example.org', 'annas secret')
  await add('anna@example.com', 'other secret')
  // (b) one person, one password, two mailboxes: an account in each domain.
  await add('ben@example.org', 'bens secret')
  await add('ben@example.com', 'bens secret')
  // (c) one person, one mailbox: an account, and an alias in the other domain.
  await add('carl@example.org', 'carls secret')
  await aviso('alias add carl@example.com carl@example.org')

  const running = await startHouse(t, config, folder)
  const login = (address: string, password: string): Login => ({ address, password })
  const org = { anna: login('anna@example.org', 'annas secret'), ben: login('ben@example.org', 'bens secret') }
  const com = { anna: login('anna@example.com', 'other secret'), ben: login('ben@example.com', 'bens secret') }
  const carl = login('carl@example.org', 'carls secret')

  for (const one of [org.anna, org.ben, com.anna, com.ben, carl]) {
    const imap = await reading(running, one)
    await command(imap, `CREATE "Of ${one.address}"`)
    imap.socket.destroy()
    const smtp = await submitting(running, one)
    const mail = `From: <${one.address}>\r\nSubject: x\r\n\r\nhi`
    assert.match(await send(smtp, { from: one.address, to: [one.address], text: mail }), /^250 /)
    smtp.socket.destroy()
  }
  // The password of one is not that of her namesake; for two accounts of one person it is.
  const imap = Talker.to(running.port('imap', 'implicit'), true)
  await imap.expect(/^\* OK /)
  assert.match(await imap.ask('a LOGIN anna@example.com "annas secret"', /a [^\r]*\r\n/), /a NO /)
  imap.socket.destroy()
  for (const one of [org.anna, org.ben, com.anna, com.ben, carl]) {
    const reader = await reading(running, one)
    const folders = [...(await command(reader, 'LIST "" "Of *"')).matchAll(/"Of ([^"]*)"/g)].map((match) => match[1])
    assert.deepEqual(folders, [one.address])
    assert.equal(await count(reader), 1)
    reader.socket.destroy()
  }
  // Mail for either address of Carl is in his mailbox, and he writes under both.
  assert.match(await receive(running, 'carl@example.com'), /^250 /)
  const smtp = await submitting(running, carl)
  const mail = 'From: <carl@example.com>\r\nSubject: x\r\n\r\nhi'
  assert.match(await send(smtp, { from: 'carl@example.com', to: ['carl@example.com'], text: mail }), /^250 /)
  assert.equal((await mailOf(running, carl)).length, 3)
  smtp.socket.destroy()
})

test('X-14: IMAP and submission, LOGIN and PLAIN take the same names for the same account', async (t) => {
  const running = await populated(t)
  const names: readonly (readonly [name: string, right: boolean])[] = [
    ['anna', true],
    ['ANNA', true],
    ['anna@example.org', true],
    ['Anna@EXAMPLE.org', true],
    ['anna+shop@example.org', false],
    ['anna@example.net', false],
    ['anna@', false],
    ['ben', false],
  ]
  const base64 = (value: string): string => Buffer.from(value).toString('base64')
  const ways: Readonly<Record<string, (name: string) => Promise<boolean>>> = {
    'IMAP LOGIN': async (name) => {
      const imap = Talker.to(running.port('imap'))
      await imap.expect(/^\* OK [^\r]*\r\n/)
      const said = await imap.ask(`a LOGIN "${name}" "${ANNA.password}"`, /^a [^\r]*\r\n/m)
      imap.socket.destroy()
      return /^a OK/m.test(said)
    },
    'IMAP PLAIN': async (name) => {
      const imap = Talker.to(running.port('imap'))
      await imap.expect(/^\* OK [^\r]*\r\n/)
      const said = await imap.ask(`a AUTHENTICATE PLAIN ${plain(name, ANNA.password)}`, /^a [^\r]*\r\n/m)
      imap.socket.destroy()
      return /^a OK/m.test(said)
    },
    'submission PLAIN': async (name) => {
      const smtp = await greeted(running, 'submission')
      const said = await smtp.ask(`AUTH PLAIN ${plain(name, ANNA.password)}`, LINE)
      smtp.socket.destroy()
      return said.startsWith('235')
    },
    'submission LOGIN': async (name) => {
      const smtp = await greeted(running, 'submission')
      await smtp.ask('AUTH LOGIN', LINE)
      await smtp.ask(base64(name), LINE)
      const said = await smtp.ask(base64(ANNA.password), LINE)
      smtp.socket.destroy()
      return said.startsWith('235')
    },
  }
  for (const [name, right] of names)
    for (const [way, enter] of Object.entries(ways)) assert.equal(await enter(name), right, `${way} as ${name}`)
})

test('X-15: nobody logs in to act as somebody else; under another spelling of the own name it is allowed', async (t) => {
  const running = await populated(t)
  const outcomes: string[] = []
  for (const authzid of [BEN.address, 'ben', 'anna@example.net', '', ANNA.address, 'Anna@Example.org']) {
    const smtp = await greeted(running, 'submission')
    const said = await smtp.ask(`AUTH PLAIN ${plain(ANNA.address, ANNA.password, authzid)}`, LINE)
    const imap = Talker.to(running.port('imap'))
    await imap.expect(/^\* OK [^\r]*\r\n/)
    const credentials = plain(ANNA.address, ANNA.password, authzid)
    const answer = await imap.ask(`a AUTHENTICATE PLAIN ${credentials}`, /^a [^\r]*\r\n/m)
    outcomes.push(`${said.slice(0, 9)} ${/^a (OK|NO)/m.exec(answer)?.[1] ?? answer}`)
    for (const one of [smtp, imap]) one.socket.destroy()
  }
  const [refused, entered] = ['535 5.7.8 NO', '235 2.7.0 OK']
  assert.deepEqual(outcomes, [refused, refused, refused, entered, entered, entered])
})

test('X-18: a mail to two aliases of one account is there once, and takes up its room once', async (t) => {
  const running = await populated(t)
  const { admin } = running.house.accounts
  for (const alias of ['info@example.org', 'sales@example.org']) await admin.addAlias(alias, [ANNA.address])
  const to = ['info@example.org', 'sales@example.org', 'anna+x@example.org', BEN.address]
  assert.match(await receive(running, ...to), /^250 /)
  for (const person of [ANNA, BEN]) {
    const found = await mailOf(running, person)
    assert.equal(found.length, 1)
    const { id } = await admin.showAccount(person.address)
    assert.equal((await running.house.mailboxes.quota(id)).octets, found[0]?.length)
  }
})
