// Tries servers one after the other, each at its addresses, until one has been given the message.

import { createHash } from 'node:crypto'
import type { ClientPool, SmtpClient } from '@aviso/smtp'
import type { CounterMetric } from '../../../kernel/metrics.ts'
import { answer, isPermanent } from './answers.ts'
import type { Answer, Parcel, RecipientResult } from './contracts.ts'
import { HopError, type Hop, type Link, type LinkTools, openLink } from './link.ts'
import type { Demands } from './policy.ts'
import { NothingSent, transfer } from './transfer.ts'

/** Connections that are tried for one message at a time; then it is put off. */
const MAX_TRIES = 12

/** A server, with what it has to meet. */
export interface Candidate {
  readonly hops: readonly Hop[]
  readonly demands: Demands
}

/** What is told of each connection that was opened or failed. */
export type Told = (hop: Hop, demands: Demands, opened: Link | HopError) => void

/** What went wrong with a server. */
export interface Failure {
  readonly host: string
  readonly answer: Answer
}

export interface Attempt {
  readonly parcel: Parcel
  readonly tools: LinkTools
  readonly pool: ClientPool
  /** What is known of the connections of the pool. */
  readonly links: WeakMap<SmtpClient, Link>
  readonly signal: AbortSignal
  readonly told: Told
  readonly reused: CounterMetric
  /** REQUIRETLS may go to a server that does not offer it. */
  readonly relaxed: boolean
}

/** One attempt at one message, over as many servers as it takes. */
export class HopTrial {
  readonly #attempt: Attempt
  readonly #failures: Failure[] = []
  #tries = 0

  constructor(attempt: Attempt) {
    this.#attempt = attempt
  }

  get failures(): readonly Failure[] {
    return this.#failures
  }

  /** A server that could not even be tried. */
  fail(host: string, reason: Answer): void {
    this.#failures.push({ host, answer: reason })
  }

  /** Tries a server at its addresses. Undefined: it was not to be had, and the next one may be tried. Rejects with the signal's reason. */
  async try({ hops, demands }: Candidate): Promise<readonly RecipientResult[] | undefined> {
    for (const hop of hops) {
      if (this.#tries >= MAX_TRIES) return undefined
      this.#tries++
      try {
        const results = await this.#over(hop, demands)
        if (results !== undefined) return results
      } catch (error) {
        if (!(error instanceof HopError)) throw error
        this.#attempt.told(hop, demands, error)
        this.#failures.push({ host: hop.host, answer: error.answer })
        // What the server itself said at one of its addresses, it would say at the others.
        if (isPermanent(error.answer)) return undefined
      }
    }
    return undefined
  }

  async #over(hop: Hop, demands: Demands): Promise<readonly RecipientResult[] | undefined> {
    const { tools, pool, signal, told, reused, links } = this.#attempt
    let opened = false
    const open = async (): Promise<SmtpClient> => {
      opened = true
      const link = await openLink(hop, demands, tools, signal)
      links.set(link.client, link)
      told(hop, demands, link)
      return link.client
    }
    const work = async (client: SmtpClient): Promise<readonly RecipientResult[]> => {
      const link = links.get(client)
      if (link === undefined) throw new Error('a connection that nobody opened')
      return this.#send(link, demands)
    }
    const key = linkKey(hop, demands)
    for (;;)
      try {
        // A message under REQUIRETLS gets a connection of its own.
        const results = await (demands.requireTls ? once(open, work) : pool.use(key, open, work))
        if (!opened) reused.inc()
        return results
      } catch (error) {
        if (!(error instanceof NothingSent)) throw error
        const text = `The connection with ${hop.host} broke off (${error.message})`
        // A connection that was kept may have died of age: that says nothing of the server.
        if (!opened) continue
        this.#failures.push({ host: hop.host, answer: answer(451, '4.4.2', text) })
        return undefined
      }
  }

  async #send(link: Link, demands: Demands): Promise<readonly RecipientResult[]> {
    const { parcel, signal, relaxed } = this.#attempt
    const { client, hop } = link
    if (demands.requireTls && !relaxed && !client.extensions.has('REQUIRETLS'))
      throw new HopError(answer(550, '5.7.30', `${hop.host} does not offer REQUIRETLS`))
    const abort = (): void => client.destroy()
    signal.addEventListener('abort', abort, { once: true })
    try {
      return await transfer(link, parcel, demands)
    } catch (error) {
      if (error instanceof NothingSent) signal.throwIfAborted()
      throw error
    } finally {
      signal.removeEventListener('abort', abort)
    }
  }
}

/** A connection for one message. */
async function once<T>(open: () => Promise<SmtpClient>, work: (client: SmtpClient) => Promise<T>): Promise<T> {
  const client = await open()
  try {
    return await work(client)
  } finally {
    void client.quit()
  }
}

/** Connections of one key are as good as each other: the same server at the same address, held against the same demands. */
function linkKey({ host, at, tls, kind }: Hop, { dane, tls: level, daneOptional }: Demands): string {
  const place = 'path' in at ? at.path : `${at.address} ${at.port}`
  const key = `${kind} ${tls} ${host} ${place} ${level} ${dane.kind} ${String(daneOptional)}`
  if (dane.kind !== 'records') return key
  const hash = createHash('sha256')
  for (const { usage, selector, matchingType, data } of dane.records)
    hash.update(`${usage} ${selector} ${matchingType} `).update(data)
  return `${key} ${dane.names.join(' ')} ${hash.digest('hex')}`
}

/** What is said when nobody took it: never *no* while one of the servers may still say *yes*. The server that spoke last is named. */
export function verdict(
  domain: string,
  failures: readonly Failure[],
): { readonly answer: Answer; readonly remote: string | undefined } {
  const open = failures.findLast((failure) => !isPermanent(failure.answer)) ?? failures.at(-1)
  if (open === undefined)
    return { answer: answer(451, '4.4.4', `No server of ${domain} can be tried`), remote: undefined }
  return { answer: open.answer, remote: open.host }
}
