// A queued mail as its target sees it again: envelope, client, message.

import { parseMailAddress } from '@aviso/mime'
import type { MailParameters, RecipientParameters } from '@aviso/smtp'
import type { Account } from '../../../accounts/contracts.ts'
import type { Log } from '../../../kernel/log.ts'
import type { Calls, Store } from '../../../store/contracts.ts'
import type { Client, Mail, Recipient } from '../../pipeline/contracts.ts'
import { Findings } from '../../pipeline/findings.ts'
import { Message, type Octets } from '../../pipeline/message.ts'
import type { QueuedMail, RememberedClient } from './contracts.ts'
import type { spoolStore } from './store.ts'

/** Octets read of a blob at a time. */
const PIECE = 256 * 1024
/** Octets of messages kept in memory: the mail to many recipients is read once, not for each of their deliveries. */
const KEPT = 16 * 2 ** 20

/** MAIL parameters as they were; dates do not survive JSON by themselves. */
export function parametersOf(json: string): MailParameters {
  const { holdUntil, ...rest } = JSON.parse(json) as MailParameters & { readonly holdUntil?: string }
  return holdUntil === undefined ? rest : Object.assign(rest, { holdUntil: new Date(holdUntil) })
}

/** RCPT parameters as they were. */
export const recipientParametersOf = (json: string): RecipientParameters => JSON.parse(json) as RecipientParameters

/** What is kept of who handed the mail in. */
export const rememberedClient = ({
  session,
  protocol,
  remoteAddress,
  hello,
  extended,
  account,
}: Client): RememberedClient => ({
  session,
  protocol,
  remoteAddress,
  hello,
  extended,
  ...(account === undefined ? {} : { account: account.id }),
})

/** The mail as its target needs to see it. */
export function remembered(
  queued: QueuedMail,
  recipients: readonly Recipient[],
  account: Account | undefined,
  log: Log,
): Mail {
  const known = JSON.parse(queued.client) as RememberedClient
  const [ofClient, ofMail] = [new Findings(), new Findings()]
  const client: Client = {
    session: known.session,
    log,
    protocol: known.protocol,
    remoteAddress: known.remoteAddress,
    hello: known.hello,
    extended: known.extended,
    tls: undefined,
    account,
    once: (finding, make) => ofClient.once(finding, make),
  }
  return {
    id: queued.id,
    client,
    reversePath: parseMailAddress(queued.reversePath) ?? null,
    sender: parseMailAddress(queued.sender) ?? null,
    parameters: parametersOf(queued.parameters),
    recipients,
    received: queued.created,
    results: [],
    simulated: false,
    external: false,
    once: (finding, make) => ofMail.once(finding, make),
  }
}

/** The message of a queued mail. `bytes` where they lie in no blob. Rejects when they are missing. */
export async function messageOf(store: Store, mail: QueuedMail, bytes: Uint8Array | undefined): Promise<Message> {
  if (bytes !== undefined) return Message.of(bytes)
  const { blob, head, size, id } = mail
  const missing = (): Error => new Error(`the octets of the queued mail ${id} are missing`)
  if (blob === null) throw missing()
  const header = await store.blobs.get(blob, 0, head)
  if (header === undefined) throw missing()
  const octets: Octets = {
    size,
    bytes: undefined,
    async *chunks(start = 0) {
      for (let at = start; at < size; at += PIECE) {
        const piece = await store.blobs.get(blob, at, Math.min(size, at + PIECE))
        if (piece === undefined) throw missing()
        yield piece
      }
    },
  }
  return Message.from(header, octets)
}

export interface Loaded {
  readonly mail: QueuedMail
  readonly message: Message
}

/** Mails read lately. */
export class LoadedMails {
  readonly #store: Store
  readonly #calls: Calls<typeof spoolStore.operations>
  /** Least recently used first. */
  readonly #kept = new Map<number, { readonly loaded: Promise<Loaded | undefined>; size: number }>()
  #octets = 0

  constructor(store: Store, calls: Calls<typeof spoolStore.operations>) {
    this.#store = store
    this.#calls = calls
  }

  /** The mail of that number; undefined when it has left the queue. */
  get(seq: number): Promise<Loaded | undefined> {
    let entry = this.#kept.get(seq)
    if (entry === undefined) {
      const mine = { loaded: this.#load(seq), size: 1024 }
      entry = mine
      mine.loaded.then(
        (loaded) => {
          if (this.#kept.get(seq) !== mine) return
          this.#octets -= mine.size
          mine.size = 1024 + (loaded?.message.pieces === undefined ? 0 : loaded.mail.size)
          this.#octets += mine.size
          this.#trim()
        },
        () => this.#forget(seq),
      )
      this.#octets += mine.size
    } else this.#kept.delete(seq)
    this.#kept.set(seq, entry)
    return entry.loaded
  }

  async #load(seq: number): Promise<Loaded | undefined> {
    const found = await this.#calls.mail({ seq })
    if (found === undefined) return undefined
    return { mail: found.mail, message: await messageOf(this.#store, found.mail, found.bytes) }
  }

  #trim(): void {
    for (const [seq] of this.#kept) {
      if (this.#octets <= KEPT) return
      this.#forget(seq)
    }
  }

  #forget(seq: number): void {
    this.#octets -= this.#kept.get(seq)?.size ?? 0
    this.#kept.delete(seq)
  }
}
