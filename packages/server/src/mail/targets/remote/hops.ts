// Tries servers one after the other, each at its addresses, until one has been given the message.

import type { CounterMetric } from '../../../kernel/metrics.ts'
import { isPermanent } from './answers.ts'
import type { Answer, Parcel, RecipientResult } from './contracts.ts'
import { HopError, type Hop, type Link, type LinkTools, openLink } from './link.ts'
import { type Links, linkKey } from './links.ts'
import { type Demands, judge } from './policy.ts'
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

/** Everything that could be done was, and nobody took the message. */
export class AllFailed extends Error {
  readonly failures: readonly Failure[]
  constructor(failures: readonly Failure[]) {
    super('no server could be had')
    this.name = 'AllFailed'
    this.failures = failures
  }
}

export interface Attempt {
  readonly parcel: Parcel
  readonly tools: LinkTools
  readonly links: Links
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
  fail(host: string, answer: Answer): void {
    this.#failures.push({ host, answer })
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
    const { tools, links, signal, told, reused } = this.#attempt
    const key = linkKey(hop, demands)
    // A message under REQUIRETLS gets a connection of its own, made under its own demands.
    for (let kept = demands.requireTls ? undefined : links.take(key); kept !== undefined; kept = links.take(key)) {
      if (judge(hop.host, demands, kept.protocol === undefined ? 'not offered' : kept.tls) !== undefined) {
        void kept.client.quit()
        continue
      }
      const results = await this.#send(kept, key, demands).catch(ifNothingSent)
      if (results === undefined) continue
      reused.inc()
      return results
    }
    const link = await openLink(hop, demands, tools, signal)
    told(hop, demands, link)
    const results = await this.#send(link, key, demands).catch((error: unknown) => {
      if (!(error instanceof NothingSent)) throw error
      return error
    })
    if (!(results instanceof NothingSent)) return results
    this.#failures.push({
      host: hop.host,
      answer: { code: 451, enhanced: '4.4.2', text: `The connection with ${hop.host} broke off (${results.message})` },
    })
    return undefined
  }

  async #send(link: Link, key: string, demands: Demands): Promise<readonly RecipientResult[]> {
    const { parcel, signal, links, relaxed } = this.#attempt
    const { client, hop } = link
    if (demands.requireTls && !relaxed && !client.extensions.has('REQUIRETLS')) {
      void client.quit()
      throw new HopError({ code: 550, enhanced: '5.7.30', text: `${hop.host} does not offer REQUIRETLS` })
    }
    const abort = (): void => client.close()
    signal.addEventListener('abort', abort, { once: true })
    try {
      const results = await transfer(link, parcel, demands)
      if (demands.requireTls || results.some(({ ambiguous }) => ambiguous)) void client.quit()
      else links.give(key, link)
      return results
    } catch (error) {
      client.close()
      if (error instanceof NothingSent) signal.throwIfAborted()
      throw error
    } finally {
      signal.removeEventListener('abort', abort)
    }
  }
}

function ifNothingSent(error: unknown): undefined {
  if (!(error instanceof NothingSent)) throw error
  return undefined
}

/** What is said when nobody took it: never *no* while one of the servers may still say *yes*. The server that spoke last is named. */
export function verdict(
  domain: string,
  failures: readonly Failure[],
): { readonly answer: Answer; readonly remote: string | undefined } {
  const open = failures.findLast(({ answer }) => !isPermanent(answer)) ?? failures.at(-1)
  if (open === undefined)
    return { answer: { code: 451, enhanced: '4.4.4', text: `No server of ${domain} can be tried` }, remote: undefined }
  return { answer: open.answer, remote: open.host }
}
