// After a crash: is everything there that was acknowledged, once, whole, and nothing else?

import type { ImapClient, ImapReply } from '@aviso/imap'
import { el, NS } from '@aviso/xmpp'
import type { Filing, Ledger, MailboxState } from './ledger.ts'
import { digest, openImap, openXmpp, subjectOf } from './peers.ts'
import { verifyCounters } from './verify-counters.ts'
import { ANNA, BERT, delay, DOMAIN, type Server } from './server.ts'

/** What was seen of the inboxes so far, by account. */
export interface Inbox {
  readonly names: Map<number, string>
  validity: number
  next: number
}

export class Verification {
  readonly #ledger: Ledger
  readonly #inboxes = new Map<string, Inbox>()
  readonly faults: string[] = []

  constructor(ledger: Ledger) {
    this.#ledger = ledger
  }

  /** Compares the server with the ledger. With `everything`, octets that were seen before are read again. */
  async run(server: Server, everything: boolean): Promise<void> {
    this.faults.push(...this.#ledger.complaints.splice(0))
    for (const account of [ANNA, BERT]) {
      const client = await openImap(server.ports, account)
      await this.#inbox(client, account, everything)
      const filed = this.#ledger.filings.find((filing) => filing.account === account)
      if (filed !== undefined) await this.#filing(client, filed)
      if (account === this.#ledger.imports.account) await this.#imported(client)
      await verifyCounters(client, account, this.#ledger.clocks, (text) => this.#fault(text))
      await client.logout()
      const { findings } = await server.ask('mail.examine', { address: account, repair: false })
      // Octets of large messages that were being kept when it was killed wait for the sweep.
      for (const { text } of findings)
        if (!text.startsWith('no message is in the blob ')) this.#fault(`doctor: ${text}`)
    }
    await this.#offline(server)
    await this.#roster(server)
    await this.#queue(server)
    for (const { event, level, msg, err } of server.errors())
      this.faults.push(`log: ${String(level)} ${String(event)} ${String(msg)} ${JSON.stringify(err)}`)
    if (server.stderr !== '') this.faults.push(`standard error: ${server.stderr}`)
  }

  async #inbox(client: ImapClient, account: string, everything: boolean): Promise<void> {
    const { mails } = this.#ledger
    const seen: Inbox = this.#inboxes.get(account) ?? { names: new Map(), validity: 0, next: 1 }
    this.#inboxes.set(account, seen)
    const selected = await client.command('SELECT INBOX')
    const { validity, next } = numbers(selected)
    if (seen.validity !== 0 && validity !== seen.validity) this.#fault(`${account}: UIDVALIDITY changed`)
    if (next < seen.next) this.#fault(`${account}: UIDNEXT went back from ${seen.next} to ${next}`)
    const uids = await client.search('ALL', true)
    if (uids.some((uid, i) => i > 0 && uid <= (uids[i - 1] ?? 0))) this.#fault(`${account}: UIDs do not increase`)
    if (uids.some((uid) => uid >= next)) this.#fault(`${account}: a UID is not below UIDNEXT`)
    const there = new Set(uids)
    for (const [uid, name] of seen.names) if (!there.has(uid)) this.#fault(`${account}: ${name} (UID ${uid}) is gone`)
    for (const uid of uids)
      if (uid < seen.next && !seen.names.has(uid)) this.#fault(`${account}: UID ${uid} was given late or again`)
    for (const uid of uids) {
      if (seen.names.has(uid) && !everything) continue
      const octets = (await client.fetch(String(uid), '(UID BODY.PEEK[])', true))[0]?.literals[0]
      if (octets === undefined) {
        this.#fault(`${account}: UID ${uid} has no octets`)
        continue
      }
      const name = subjectOf(octets)
      const mail = mails.get(name)
      if (mail === undefined) this.#fault(`${account}: UID ${uid} is '${name}', which nobody sent`)
      else {
        if (!isTraced(octets, mail)) this.#fault(`${account}: ${name} (UID ${uid}) is not as it was sent`)
        if (!mail.local.includes(account)) this.#fault(`${account}: ${name} was not for this account`)
      }
      const before = seen.names.get(uid)
      if (before !== undefined && before !== name) this.#fault(`${account}: UID ${uid} was ${before}, is ${name}`)
      seen.names.set(uid, name)
    }
    seen.validity = validity
    seen.next = next
    const counts = new Map<string, number>()
    for (const name of seen.names.values()) counts.set(name, (counts.get(name) ?? 0) + 1)
    for (const [name, count] of counts) if (count > 1) this.#fault(`${account}: ${name} is there ${count} times`)
    for (const { name, local, state } of mails.values()) {
      if (state === 'acknowledged' && local.includes(account) && !counts.has(name))
        this.#fault(`${account}: ${name} was acknowledged and is not there`)
      if (state === 'refused' && counts.has(name)) this.#fault(`${account}: ${name} was refused and is there`)
    }
  }

  async #filing(client: ImapClient, filed: Filing): Promise<void> {
    const found: MailboxState[] = []
    for (const [place, name] of filed.names.entries()) {
      const selected = await client.command(`SELECT ${name}`)
      const { validity, next } = numbers(selected)
      const before = filed.validity[place] ?? 0
      if (before !== 0 && before !== validity) this.#fault(`${filed.account} ${name}: UIDVALIDITY changed`)
      filed.validity[place as 0 | 1] = validity
      if (next <= (filed.highest[place] ?? 0)) this.#fault(`${filed.account} ${name}: UIDNEXT ${next} was used before`)
      const some = (await client.search('ALL', true)).length > 0
      const lines = some ? await client.fetch('1:*', '(UID FLAGS BODY.PEEK[])', true) : []
      found.push(
        lines.map(({ text, literals }) => {
          const octets = literals[0] ?? Buffer.alloc(0)
          const message = subjectOf(octets)
          if (digest(octets) !== this.#ledger.appended.get(message))
            this.#fault(`${filed.account} ${name}: ${message} is not as it was appended`)
          const flags = (/FLAGS \(([^)]*)\)/.exec(text)?.[1] ?? '')
            .split(' ')
            .filter((flag) => !/^(\\Recent)?$/.test(flag))
          return { uid: Number(/UID (\d+)/.exec(text)?.[1]), name: message, flags: flags.sort() }
        }),
      )
    }
    const states = [filed.mailboxes, ...(filed.pending === undefined ? [] : [filed.pending])]
    if (!states.some((state) => state.every((mailbox, i) => same(mailbox, found[i] ?? [], filed.highest[i] ?? 0))))
      this.#fault(
        `${filed.account}: the filed mail is neither as before nor as after the last change:\n` +
          `${shown(found)}\nbefore\n${shown(filed.mailboxes)}\nafter\n${filed.pending === undefined ? '(nothing was under way)' : shown(filed.pending)}`,
      )
    filed.mailboxes = [found[0] ?? [], found[1] ?? []]
    filed.pending = undefined
    for (const place of [0, 1] as const)
      filed.highest[place] = Math.max(filed.highest[place], found[place]?.at(-1)?.uid ?? 0)
  }

  /** Each message once and whole, those that were acknowledged all there, and none under another number than before. */
  async #imported(client: ImapClient): Promise<void> {
    const { name, messages, acknowledged, seen } = this.#ledger.imports
    if ((await client.raw(`SELECT ${name}`)).status !== 'OK') {
      if (acknowledged.size > 0) this.#fault(`${name} is gone`)
      return
    }
    const found = new Map<string, number>()
    const some = (await client.search('ALL', true)).length > 0
    for (const { text, literals } of some ? await client.fetch('1:*', '(UID BODY.PEEK[])', true) : []) {
      const octets = literals[0] ?? Buffer.alloc(0)
      const subject = subjectOf(octets)
      if (found.has(subject)) this.#fault(`${subject} was imported twice`)
      if (messages.get(subject)?.equals(octets) !== true) this.#fault(`${subject} is not as it was imported`)
      found.set(subject, Number(/UID (\d+)/.exec(text)?.[1]))
    }
    for (const one of acknowledged) if (!found.has(one)) this.#fault(`${one} was imported and is not there`)
    for (const [one, uid] of seen)
      if (found.get(one) !== uid) this.#fault(`${one} had UID ${uid} and has ${found.get(one) ?? 'gone'}`)
    for (const [one, uid] of found) seen.set(one, uid)
  }

  /** What waits for Bert comes at his login, once; at the next one there is nothing left. */
  async #offline(server: Server): Promise<void> {
    const { messages } = this.#ledger
    const counts = new Map<string, number>()
    const missing = new Set(
      [...messages.values()].filter(({ state }) => state === 'acknowledged').map(({ name }) => name),
    )
    for (const again of [false, true]) {
      let came = 0
      const before = await delivered(server)
      const client = await openXmpp(server.ports, BERT, 'reading', (stanza) => {
        const name = stanza.name === 'message' ? stanza.childText('body') : undefined
        if (name === undefined) return
        came++
        counts.set(name, (counts.get(name) ?? 0) + 1)
        missing.delete(name)
      })
      client.send(el('presence'))
      for (let tries = 0; tries < 200 && missing.size > 0; tries++) await delay(10)
      // What was not acknowledged may come too; and what came must be forgotten before the next login.
      await delay(100)
      for (let tries = 0; tries < 500 && (await delivered(server)) - before < came; tries++) await delay(10)
      if (again && came > 0) this.#fault(`chat: ${came} messages came again`)
      client.send(el('presence', { type: 'unavailable' }))
      await client.close()
    }
    for (const name of missing) this.#fault(`chat: ${name} was acknowledged and did not come`)
    for (const [name, count] of counts) {
      if (count > 1) this.#fault(`chat: ${name} came ${count} times`)
      if (!messages.has(name)) this.#fault(`chat: '${name}' was never sent`)
    }
    messages.clear()
  }

  async #roster(server: Server): Promise<void> {
    const { roster } = this.#ledger
    const client = await openXmpp(server.ports, roster.account, 'checking', () => {})
    const answer = await client.request(el('iq', { type: 'get' }, el('query', { xmlns: NS.roster })))
    await client.close()
    const found = new Map(
      (answer.child('query', NS.roster)?.childrenNamed('item') ?? []).map((item) => [
        item.get('jid') ?? '',
        item.get('name') ?? '',
      ]),
    )
    const candidates = [roster.items, ...(roster.pending === undefined ? [] : [roster.pending])]
    const equal = (other: ReadonlyMap<string, string>): boolean =>
      other.size === found.size && [...other].every(([jid, name]) => found.get(jid) === name)
    if (!candidates.some(equal))
      this.#fault(
        `roster: found ${JSON.stringify([...found])}, expected one of ${JSON.stringify(candidates.map((one) => [...one]))}`,
      )
    roster.items = found
    roster.pending = undefined
  }

  async #queue(server: Server): Promise<void> {
    const lines = await server.ask('queue.list', undefined)
    this.queue(lines.map(({ address }) => address))
  }

  /** `lines`: the recipients in the queue. */
  queue(lines: readonly string[]): void {
    const counts = new Map<string, number>()
    for (const address of lines) counts.set(address, (counts.get(address) ?? 0) + 1)
    for (const { name, foreign, state } of this.#ledger.mails.values())
      for (const address of foreign) {
        const count = counts.get(address) ?? 0
        counts.delete(address)
        if (state === 'acknowledged' && count !== 1)
          this.#fault(`queue: ${name} for ${address} is there ${count} times`)
        if (count > 1) this.#fault(`queue: ${name} for ${address} is there ${count} times`)
        if (state === 'refused' && count > 0) this.#fault(`queue: ${name} was refused and is there`)
      }
    for (const address of counts.keys())
      if (!address.endsWith(DOMAIN)) this.#fault(`queue: nobody sent mail to ${address}`)
      else this.#fault(`queue: mail for ${address} waits, though its mailbox was never out of order`)
  }

  #fault(text: string): void {
    this.faults.push(text)
  }
}

/** The mail as it was sent, with nothing above it but whole trace fields. */
function isTraced(
  octets: Buffer,
  { size, digest: expected }: { readonly size: number; readonly digest: string },
): boolean {
  if (octets.length <= size || digest(octets.subarray(octets.length - size)) !== expected) return false
  const trace = octets.subarray(0, octets.length - size).toString('latin1')
  return /^Return-Path: <[^\r\n]*>\r\n(?:(?:Received|Authentication-Results|DKIM-Signature|[ \t])[^\r\n]*\r\n)*$/.test(
    trace,
  )
}

function numbers({ untagged }: ImapReply): { readonly validity: number; readonly next: number } {
  const code = (name: string): number => {
    for (const { text } of untagged) {
      const value = new RegExp(`\\[${name} (\\d+)\\]`).exec(text)?.[1]
      if (value !== undefined) return Number(value)
    }
    return 0
  }
  return { validity: code('UIDVALIDITY'), next: code('UIDNEXT') }
}

/** A message whose UID is not known yet has a new one: above all that were ever seen. */
function same(expected: MailboxState, found: MailboxState, highest: number): boolean {
  return (
    expected.length === found.length &&
    expected.every(({ uid, name, flags }, i) => {
      const other = found[i]
      return (
        other !== undefined &&
        other.name === name &&
        (uid === 0 ? other.uid > highest : other.uid === uid) &&
        other.flags.join(' ') === [...flags].sort().join(' ')
      )
    })
  )
}

const shown = (mailboxes: readonly MailboxState[]): string =>
  mailboxes
    .map((mailbox) => `  ${mailbox.map(({ uid, name, flags }) => `${uid}:${name}(${flags.join(' ')})`).join(' ')}`)
    .join('\n')

/** How many offline messages have left and are being forgotten, as the server counts. */
async function delivered(server: Server): Promise<number> {
  const text = await (await fetch(`http://127.0.0.1:${server.ports.metrics}/metrics`)).text()
  return Number(/^aviso_chat_offline(?:_total)?\{outcome="delivered"\} (\d+)/m.exec(text)?.[1] ?? 0)
}
