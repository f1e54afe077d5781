// What mail programs say to a whole server, line by line: for the stories of acceptance.

import assert from 'node:assert/strict'
import type { TestContext } from 'node:test'
import type { Config } from '../../src/config.ts'
import { BASE, startHouse, Talker, type Running } from './fixture.ts'

/** The last line of a reply, and the whole of an answer to EHLO. */
export const LINE = /^\d{3}(?: [^\r]*)?\r\n/m
export const LINES = /^\d{3} [^\r]*\r\n/m

export const ANNA = { address: 'anna@example.org', password: 'annas secret' }
export const BEN = { address: 'ben@example.org', password: 'bens secret' }

export interface Login {
  readonly address: string
  readonly password: string
}

/** A server that programs on this machine may log in to without TLS; wrong passwords cost no time. With Anna and Ben. */
export async function populated(t: TestContext, config: Partial<Config> = {}): Promise<Running> {
  const running = await startHouse(t, {
    ...BASE,
    ...config,
    accounts: {
      ...BASE.accounts,
      cleartext: 'loopback',
      failures: { 'first-delay': '0s', 'longest-delay': '0s' },
      ...config.accounts,
    },
    endpoints: { ...BASE.endpoints, ...config.endpoints },
  })
  for (const person of [ANNA, BEN]) await running.house.accounts.admin.createAccount(person)
  return running
}

/** A session that has said EHLO (LHLO). */
export async function greeted({ port }: Running, protocol = 'smtp', hello = 'client.example'): Promise<Talker> {
  const talker = Talker.to(port(protocol))
  await talker.expect(/^220 [^\r]*\r\n/)
  await talker.ask(`${protocol === 'lmtp' ? 'LHLO' : 'EHLO'} ${hello}`, LINES)
  return talker
}

/** The response of AUTH PLAIN in base64. */
export const plain = (name: string, password: string, authzid = ''): string =>
  Buffer.from(`${authzid}\0${name}\0${password}`).toString('base64')

/** A submission session, logged in. */
export async function submitting(running: Running, { address, password }: Login): Promise<Talker> {
  const talker = await greeted(running, 'submission')
  assert.match(await talker.ask(`AUTH PLAIN ${plain(address, password)}`, LINE), /^235 /)
  return talker
}

export interface Letter {
  readonly from?: string
  readonly to: readonly string[]
  readonly text: string
  /** Parameters of MAIL. */
  readonly parameters?: string
}

/** Sends a mail; answers the first refusal, or the reply to its end. `text` has CRLF line ends and no dot at the beginning of a line. */
export async function send(
  talker: Talker,
  { from = 'carl@example.net', to, text, parameters = '' }: Letter,
): Promise<string> {
  const steps = [`MAIL FROM:<${from}>${parameters}`, ...to.map((one) => `RCPT TO:<${one}>`), 'DATA']
  for (const step of steps) {
    const said = await talker.ask(step, LINE)
    if (/^[45]/.test(said)) {
      await talker.ask('RSET', LINE)
      return said
    }
  }
  return talker.ask(`${text}\r\n.`, LINE)
}

/** An IMAP session under TLS, logged in. */
export async function reading({ port }: Running, { address, password }: Login): Promise<Talker> {
  const imap = Talker.to(port('imap', 'implicit'), true)
  await imap.expect(/^\* OK [^\r]*\r\n/)
  await imap.ask(`in LOGIN "${address}" "${password}"`, /^in OK [^\r]*\r\n/m)
  return imap
}

let tags = 0

/** Says an IMAP command that must succeed; answers everything up to its tagged line. */
export async function command(imap: Talker, text: string): Promise<string> {
  const tag = `t${++tags}`
  const said = await imap.ask(`${tag} ${text}`, new RegExp(`^${tag} [^\\r]*\\r\\n`, 'm'))
  assert.match(said, new RegExp(`^${tag} OK`, 'm'), `${text}: ${said}`)
  return said
}

/** How many messages a mailbox has. */
export async function count(imap: Talker, mailbox = 'INBOX'): Promise<number> {
  const said = await command(imap, `STATUS ${mailbox} (MESSAGES)`)
  return Number(/MESSAGES (\d+)/.exec(said)?.[1])
}

/** All messages of a mailbox, as text. */
export async function messages(imap: Talker, mailbox = 'INBOX'): Promise<readonly string[]> {
  await command(imap, `EXAMINE ${mailbox}`)
  const found: string[] = []
  for (let left = await count(imap, mailbox); left > 0; left--) {
    const said = await command(imap, `FETCH ${found.length + 1} BODY.PEEK[]`)
    found.push(/BODY\[\] \{\d+\}\r\n([^]*)\)\r\nt\d+ OK/.exec(said)?.[1] ?? '')
  }
  return found
}

/** The messages of somebody's mailbox. */
export async function mailOf(running: Running, login: Login, mailbox = 'INBOX'): Promise<readonly string[]> {
  const imap = await reading(running, login)
  const found = await messages(imap, mailbox)
  imap.socket.destroy()
  return found
}
