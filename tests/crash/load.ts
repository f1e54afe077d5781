// Everything at once: mail in, mail out, filing, chat, roster. Each actor goes on until its connection breaks, and writes down what was acknowledged.

import { createHash } from 'node:crypto'
import type { ImapClient } from '@aviso/imap'
import { type SmtpClient, SmtpConnectionError } from '@aviso/smtp'
import { type Client, el, NS, StanzaError } from '@aviso/xmpp'
import type { Filing, KeptMessage, Ledger, MailboxState, SentMail } from './ledger.ts'
import { between, digest, mailOf, openImap, openSmtp, openSubmission, openXmpp, pick, seeded } from './peers.ts'
import { ANNA, BERT, DOMAIN, type Server } from './server.ts'

/** What waits for one account at most is limited (offline `max-messages`, 1000). */
const MESSAGES_A_ROUND = 600

/** Runs until the server dies; resolves when all actors have noticed. Rejects when an actor fails for another reason. */
export async function load(server: Server, ledger: Ledger, seed: number): Promise<void> {
  const random = (actor: number): (() => number) => seeded(seed * 31 + actor)
  const [anna, bert] = ledger.filings
  if (anna === undefined || bert === undefined) throw new Error('two accounts file')
  await Promise.all([
    ...[1, 2, 3].map((actor) => untilDead(server, () => incoming(server, ledger, random(actor)))),
    untilDead(server, () => outgoing(server, ledger, random(4))),
    untilDead(server, () => filing(server, ledger, anna, random(5))),
    untilDead(server, () => filing(server, ledger, bert, random(6))),
    untilDead(server, () => chatting(server, ledger, random(7))),
    untilDead(server, () => rostering(server, ledger, random(8))),
    untilDead(server, () => importing(server, ledger, random(9))),
  ])
}

/** An actor may fail only because the server was killed. */
async function untilDead(server: Server, actor: () => Promise<void>): Promise<void> {
  try {
    await actor()
  } catch (error) {
    await Promise.race([server.ended(), new Promise((resolve) => setTimeout(resolve, 2000))])
    if (server.running) throw error
  }
}

const sizeOf = (random: () => number): number => {
  const dice = random()
  if (dice < 0.7) return between(random, 300, 8_000)
  return dice < 0.9 ? between(random, 30_000, 150_000) : between(random, 270_000, 500_000)
}

async function incoming(server: Server, ledger: Ledger, random: () => number): Promise<void> {
  for (;;) {
    const client = await openSmtp(server.ports.smtp, random() < 0.5)
    for (let left = between(random, 1, 20); left > 0; left--)
      await submit(client, ledger, random, pick(random, [[ANNA], [BERT], [ANNA, BERT]]), [])
    await client.quit()
  }
}

async function outgoing(server: Server, ledger: Ledger, random: () => number): Promise<void> {
  const client = await openSubmission(server.ports, ANNA)
  // The queue lists a thousand: what many rounds leave there must stay below.
  for (let left = 25; ; left--) {
    const foreign = left > 0 ? [`${ledger.name('guest')}@elsewhere.example`] : []
    await submit(client, ledger, random, foreign.length === 0 ? [BERT] : pick(random, [[], [BERT]]), foreign)
  }
}

async function submit(
  client: SmtpClient,
  ledger: Ledger,
  random: () => number,
  local: readonly string[],
  foreign: readonly string[],
): Promise<void> {
  const name = ledger.name('mail')
  const bytes = mailOf(name, sizeOf(random), ANNA, [...local, ...foreign])
  const mail: SentMail = { name, digest: digest(bytes), size: bytes.length, local, foreign, state: 'unknown' }
  ledger.mails.set(name, mail)
  const results = await client.send(
    { reversePath: ANNA, recipients: [...local, ...foreign].map((address) => ({ address })) },
    bytes,
  )
  if (results.every(({ accepted }) => accepted)) mail.state = 'acknowledged'
  else {
    // A farewell in place of an answer tells nothing.
    mail.state = 'refused'
    const { reply } = results.find(({ accepted }) => !accepted) ?? {}
    ledger.complaints.push(`${name}: ${String(reply?.code)} ${reply?.lines.join(' ') ?? ''}`)
    if (reply?.code === 421) throw new SmtpConnectionError('421', true)
  }
}

// IMAP

type Place = 0 | 1

/** Files, flags, copies, moves and expunges in two mailboxes that nobody else writes to. */
async function filing(server: Server, ledger: Ledger, filed: Filing, random: () => number): Promise<void> {
  const client = await openImap(server.ports, filed.account)
  let selected: Place = 0
  await client.select(filed.names[0])
  for (;;) {
    const here: MailboxState = filed.mailboxes[selected]
    const dice = random()
    if (here.length > 0 && dice < 0.1) {
      selected = selected === 0 ? 1 : 0
      await client.select(filed.names[selected])
    } else if (here.length < 4 || dice < 0.25) await append(client, ledger, filed, random, between(random, 1, 5))
    else if (dice < 0.35) await replace(client, ledger, filed, selected, random)
    else if (dice < 0.6) await store(client, filed, selected, random)
    else if (dice < 0.75) await transfer(client, filed, selected, 'COPY', random)
    else if (dice < 0.9) await transfer(client, filed, selected, 'MOVE', random)
    else await expunge(client, filed, selected)
  }
}

const with2 = <T>(pair: readonly [T, T], place: Place, value: T): readonly [T, T] =>
  place === 0 ? [value, pair[1]] : [pair[0], value]

/** Does `change`; until it was answered, both states are possible. */
async function doing(
  filed: Filing,
  after: readonly [MailboxState, MailboxState],
  change: () => Promise<readonly [MailboxState, MailboxState]>,
): Promise<void> {
  filed.pending = after
  filed.mailboxes = await change()
  filed.pending = undefined
  for (const place of [0, 1] as const)
    filed.highest[place] = Math.max(filed.highest[place], filed.mailboxes[place].at(-1)?.uid ?? 0)
}

const FLAGS = ['\\Seen', '\\Flagged', '\\Answered', '\\Deleted', '$Work', 'Blue']

/** A new message for the ledger. */
function compose(
  ledger: Ledger,
  filed: Filing,
  random: () => number,
): { name: string; bytes: Buffer; flags: string[] } {
  const name = ledger.name('filed')
  const bytes = mailOf(name, sizeOf(random), filed.account, [filed.account])
  ledger.appended.set(name, digest(bytes))
  return { name, bytes, flags: FLAGS.filter(() => random() < 0.2).sort() }
}

/** Several messages are one command: all or none (RFC 3502). */
async function append(
  client: ImapClient,
  ledger: Ledger,
  filed: Filing,
  random: () => number,
  count: number,
): Promise<void> {
  const place: Place = random() < 0.5 ? 0 : 1
  const made = Array.from({ length: count }, () => compose(ledger, filed, random))
  const added = (uids: readonly number[]): readonly [MailboxState, MailboxState] =>
    with2(filed.mailboxes, place, [
      ...filed.mailboxes[place],
      ...made.map(({ name, flags }, i) => ({ uid: uids[i] ?? 0, name, flags })),
    ])
  await doing(filed, added([]), async () => {
    const announced = made.map(({ flags, bytes }) => ` (${flags.join(' ')}) {${bytes.length}}`)
    const reply = await client.command(
      `APPEND ${filed.names[place]}${announced[0] ?? ''}`,
      made.map(({ bytes }, i) => {
        const next = announced[i + 1]
        return next === undefined ? bytes : Buffer.concat([bytes, Buffer.from(next)])
      }),
    )
    return added(uidsOf(/^APPENDUID \d+ (\S+)$/.exec(reply.code ?? '')?.[1] ?? ''))
  })
}

/** The new message comes and the old one goes, in one step (RFC 8508). */
async function replace(
  client: ImapClient,
  ledger: Ledger,
  filed: Filing,
  place: Place,
  random: () => number,
): Promise<void> {
  const old = pick(random, filed.mailboxes[place])
  const there: Place = random() < 0.5 ? 0 : 1
  const { name, bytes, flags } = compose(ledger, filed, random)
  const after = (uid: number): readonly [MailboxState, MailboxState] => {
    const rest = with2(
      filed.mailboxes,
      place,
      filed.mailboxes[place].filter((message) => message !== old),
    )
    return with2(rest, there, [...rest[there], { uid, name, flags }])
  }
  await doing(filed, after(0), async () => {
    const reply = await client.command(
      `UID REPLACE ${old.uid} ${filed.names[there]} (${flags.join(' ')}) {${bytes.length}}`,
      [bytes],
    )
    const codes = [
      reply.code ?? '',
      ...reply.untagged.map(({ text }) => /\[(APPENDUID [^\]]*)\]/.exec(text)?.[1] ?? ''),
    ]
    return after(Number(/^APPENDUID \d+ (\d+)$/.exec(codes.find((code) => code.startsWith('APPENDUID')) ?? '')?.[1]))
  })
}

/** Some messages of the mailbox: at least one. */
const some = (mailbox: MailboxState, random: () => number): readonly KeptMessage[] => {
  const chosen = mailbox.filter(() => random() < 0.3)
  return chosen.length > 0 ? chosen : [pick(random, mailbox)]
}

const setOf = (messages: readonly KeptMessage[]): string => messages.map(({ uid }) => uid).join(',')

async function store(client: ImapClient, filed: Filing, place: Place, random: () => number): Promise<void> {
  const chosen = new Set(some(filed.mailboxes[place], random))
  const flag = pick(random, FLAGS)
  const sign = pick(random, ['+', '-', ''])
  const flagged = ({ flags }: KeptMessage): readonly string[] =>
    sign === '' ? [flag] : [...flags.filter((other) => other !== flag), ...(sign === '+' ? [flag] : [])].sort()
  const after = with2(
    filed.mailboxes,
    place,
    filed.mailboxes[place].map((message) => (chosen.has(message) ? { ...message, flags: flagged(message) } : message)),
  )
  await doing(filed, after, async () => {
    await client.command(`UID STORE ${setOf([...chosen])} ${sign}FLAGS.SILENT (${flag})`)
    return after
  })
}

async function transfer(
  client: ImapClient,
  filed: Filing,
  place: Place,
  verb: 'COPY' | 'MOVE',
  random: () => number,
): Promise<void> {
  const chosen = some(filed.mailboxes[place], random)
  const there: Place = place === 0 ? 1 : 0
  const after = (uids: readonly number[]): readonly [MailboxState, MailboxState] => {
    const source =
      verb === 'COPY' ? filed.mailboxes[place] : filed.mailboxes[place].filter((message) => !chosen.includes(message))
    const destination = [...filed.mailboxes[there], ...chosen.map((message, i) => ({ ...message, uid: uids[i] ?? 0 }))]
    return with2(with2(filed.mailboxes, place, source), there, destination)
  }
  await doing(filed, after([]), async () => {
    const reply = await client.command(`UID ${verb} ${setOf(chosen)} ${filed.names[there]}`)
    const codes = [reply.code ?? '', ...reply.untagged.map(({ text }) => /\[(COPYUID [^\]]*)\]/.exec(text)?.[1] ?? '')]
    const destination =
      /^COPYUID \d+ \S+ (\S+)$/.exec(codes.find((code) => code.startsWith('COPYUID')) ?? '')?.[1] ?? ''
    return after(uidsOf(destination))
  })
}

/** The UIDs of a set without `*`. */
function uidsOf(set: string): readonly number[] {
  return set.split(',').flatMap((range) => {
    const [first = 0, last = first] = range.split(':').map(Number)
    return Array.from({ length: last - first + 1 }, (_, i) => first + i)
  })
}

async function expunge(client: ImapClient, filed: Filing, place: Place): Promise<void> {
  const after = with2(
    filed.mailboxes,
    place,
    filed.mailboxes[place].filter(({ flags }) => !flags.includes('\\Deleted')),
  )
  await doing(filed, after, async () => {
    await client.command('EXPUNGE')
    return after
  })
}

/** Brings mail from elsewhere, a batch at a time; what an earlier crash left undone is given again, as the next run of the command would. */
async function importing(server: Server, ledger: Ledger, random: () => number): Promise<void> {
  const { imports } = ledger
  const run = Math.floor(random() * 2 ** 40)
  const give = async (names: readonly string[]): Promise<void> => {
    const entries = names.map((name) => {
      const bytes = imports.messages.get(name) ?? Buffer.alloc(0)
      const key = createHash('sha256').update(bytes).digest('base64')
      return { key, mail: { content: bytes.toString('base64'), flags: [] } }
    })
    const answers = await server.ask('mail.import', { address: imports.account, mailbox: imports.name, run, entries })
    for (const [i, answer] of answers.entries()) {
      const name = names[i] ?? ''
      if (answer.kind === 'imported' || answer.kind === 'known') imports.acknowledged.add(name)
      else ledger.complaints.push(`${name}: ${JSON.stringify(answer)}`)
      if (answer.kind === 'imported' && imports.seen.has(name)) ledger.complaints.push(`${name} was imported again`)
    }
  }
  // Everything from the start, once in each round.
  const before = [...imports.messages.keys()]
  for (let at = 0; at < before.length; at += 20) await give(before.slice(at, at + 20))
  for (;;) {
    const names = Array.from({ length: between(random, 1, 12) }, () => ledger.name('import'))
    for (const name of names) imports.messages.set(name, mailOf(name, sizeOf(random) / 4, BERT, [imports.account]))
    await give(names)
  }
}

// XMPP

/** Stanzas of one client are handled in their order: what was sent before a ping was handled when that is answered. */
const ping = (client: Client): Promise<unknown> =>
  client.request(el('iq', { type: 'get', to: DOMAIN }, el('ping', { xmlns: 'urn:xmpp:ping' })))

async function chatting(server: Server, ledger: Ledger, random: () => number): Promise<void> {
  const client = await openXmpp(server.ports, ANNA, 'chatting', (stanza) => {
    if (stanza.name === 'message') ledger.complaints.push(`chat: ${stanza.toString()}`)
  })
  for (let left = MESSAGES_A_ROUND; left > 0;) {
    const names = Array.from({ length: between(random, 1, 8) }, () => ledger.name('chat'))
    for (const name of names) {
      ledger.messages.set(name, { name, state: 'unknown' })
      client.send(el('message', { type: 'chat', to: BERT, id: name }, el('body', {}, name)))
    }
    await ping(client)
    for (const name of names) ledger.messages.set(name, { name, state: 'acknowledged' })
    left -= names.length
  }
  await client.ended()
}

async function rostering(server: Server, ledger: Ledger, random: () => number): Promise<void> {
  const client = await openXmpp(server.ports, ANNA, 'rostering', () => {})
  const { roster } = ledger
  for (;;) {
    const jid = `friend-${between(random, 1, 40)}@${DOMAIN}`
    const next = new Map(roster.items)
    const removes = next.has(jid) && random() < 0.3
    if (removes) next.delete(jid)
    else next.set(jid, ledger.name('friend'))
    roster.pending = next
    const item = removes ? { jid, subscription: 'remove' } : { jid, name: next.get(jid) }
    try {
      await client.request(el('iq', { type: 'set' }, el('query', { xmlns: NS.roster }, el('item', item))))
    } catch (error) {
      if (error instanceof StanzaError) ledger.complaints.push(`roster: ${error.message}`)
      throw error
    }
    roster.items = next
    roster.pending = undefined
  }
}
