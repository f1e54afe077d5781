// Chat messages between pairs of sessions over TLS, as many as the server can route.

import { performance } from 'node:perf_hooks'
import { setTimeout as pause } from 'node:timers/promises'
import { localPart, logins } from '../clients/logins.ts'
import { XmppClient } from '../clients/xmpp.ts'
import { figure, Latencies, rate } from '../figures.ts'
import { inParallel } from '../in-parallel.ts'
import { underLoad } from '../load.ts'
import type { Conditions, Measurement, Outcome } from '../measurement.ts'
import { DOMAIN, Server } from '../server.ts'

const IN_FLIGHT = 8
const WARM_UP_MS = 2000
/** What an idle server feels like: the honest latency. */
const PACED_PER_SECOND = 500
/** At full load one message in so many has its time taken. */
const SAMPLE = 16
const QUIET_DEADLINE_MS = 10_000

export const chatRouting = routing(
  'chat-routing',
  `pairs of sessions over TLS answer each other, ${IN_FLIGHT} messages in flight for each session; without the archive`,
  'chat: { features: { archive: false } }\n',
)

/** Each message is on disk twice before it is delivered. */
export const chatArchive = routing(
  'chat-archive',
  'the same with the archives of both sides',
  'store: { open-accounts: 256 }\n',
)

/** What a browser costs more than a program. */
export const chatWebSocket = routing(
  'chat-websocket',
  `as ${chatRouting.name}, over WebSockets`,
  'chat: { features: { archive: false } }\n',
  true,
)

function routing(name: string, summary: string, settings: string, web = false): Measurement {
  return { name, summary, measure: (run) => measure(run, settings, web) }
}

async function measure({ quick, provisioned }: Conditions, settings: string, web: boolean): Promise<Outcome> {
  const pairs = quick ? 20 : 100
  const duration = quick ? 3000 : 10_000
  const server = await Server.start(provisioned, { settings, web })
  try {
    const sessions = await inParallel(pairs * 2, 16, (index) =>
      web
        ? XmppClient.overWeb(server.reach, server.ports.https ?? 0, DOMAIN, logins, localPart(index))
        : XmppClient.connect(server.reach, server.ports.xmpps, DOMAIN, logins, localPart(index)),
    )
    const traffic = new Traffic(sessions)
    for (const session of sessions) session.send(`<presence${session.namespace}/>`)
    await pause(500)
    traffic.begin()
    await pause(WARM_UP_MS)
    traffic.latencies.clear()
    const before = traffic.received
    let routed = 0
    const load = await underLoad(server, async () => {
      await pause(duration)
      routed = traffic.received - before
    })
    const figures = [
      figure('messages routed', routed / load.seconds, '/s'),
      figure('CPU per 100,000 messages', rate(load.cpu, routed, 100_000), 's'),
      ...traffic.latencies.figures('time of a message'),
      ...load.figures,
    ]
    await traffic.calm()
    traffic.latencies.clear()
    const paced = PACED_PER_SECOND * (quick ? 2 : 5)
    const light = await underLoad(server, () => traffic.paced(paced, PACED_PER_SECOND))
    figures.push(
      ...traffic.latencies.figures(`time of a message at ${PACED_PER_SECOND}/s`),
      figure(`CPU per 100,000 messages at ${PACED_PER_SECOND}/s`, rate(light.cpu, paced, 100_000), 's'),
    )
    for (const session of sessions) session.close()
    const { sent, received, errors, firstError } = traffic
    return {
      figures,
      ...(sent === received && errors === 0
        ? {}
        : { void: `${sent} messages sent, ${received} received, ${errors} not as sent: ${firstError}` }),
    }
  } finally {
    await server.stop()
  }
}

const END = '</message>'
const BODY = '<body>@'
const TAIL = 'urn:xmpp:receipts'
const ERROR = /type=["']error["']/

/** All sessions' messages: each one that comes is answered with a new one. */
class Traffic {
  readonly latencies = new Latencies()
  sent = 0
  received = 0
  errors = 0
  firstError = ''
  #answering = true
  #sample = SAMPLE
  readonly #sessions: readonly XmppClient[]

  constructor(sessions: readonly XmppClient[]) {
    this.#sessions = sessions
    for (const [index, session] of sessions.entries()) {
      let pending = ''
      session.listen((text) => {
        pending = pending === '' ? text : pending + text
        let at = 0
        for (let end = pending.indexOf(END); end >= 0; end = pending.indexOf(END, at)) {
          this.#take(pending, at, end)
          at = end + END.length
          // Each on its own, as people write.
          if (this.#answering) session.send(this.#message(index))
        }
        if (at > 0) pending = pending.slice(at)
      })
    }
  }

  begin(): void {
    for (const [index, session] of this.#sessions.entries())
      for (let each = 0; each < IN_FLIGHT; each++) session.send(this.#message(index))
  }

  /** Answers no more, and lets what is under way arrive. */
  async calm(): Promise<void> {
    this.#answering = false
    const deadline = performance.now() + QUIET_DEADLINE_MS
    while (this.received < this.sent && performance.now() < deadline) await pause(20)
  }

  /** Sends messages at an even pace, from one session after the other, and lets them arrive. */
  async paced(count: number, perSecond: number): Promise<void> {
    this.#sample = 1
    const begun = performance.now()
    for (let sent = 0; sent < count; await pause(1)) {
      const due = Math.min(count, ((performance.now() - begun) / 1000) * perSecond)
      for (; sent < due; sent++) {
        const from = sent % this.#sessions.length
        this.#sessions[from]?.send(this.#message(from))
      }
    }
    await this.calm()
  }

  #message(from: number): string {
    this.sent++
    const to = this.#sessions[from ^ 1]?.jid ?? ''
    return `<message${this.#sessions[from]?.namespace ?? ''} to='${to}' type='chat' id='m${this.sent}'><body>@${performance.now()}@ the tide turns in an hour, and the pilot asks whether anybody has seen his second boat</body><active xmlns='http://jabber.org/protocol/chatstates'/><request xmlns='urn:xmpp:receipts'/></message>`
  }

  /** Looks at the message in `text` from `from` (or a little later) to `end`. */
  #take(text: string, from: number, end: number): void {
    const body = text.indexOf(BODY, from)
    const tail = text.indexOf(TAIL, body)
    if (body < 0 || body > end || tail < 0 || tail > end || ERROR.test(text.slice(from, body))) {
      this.errors++
      this.firstError ||= text.slice(from, end)
    }
    if (++this.received % this.#sample !== 0) return
    const at = body + BODY.length
    this.latencies.add(performance.now() - Number(text.slice(at, text.indexOf('@', at))))
  }
}
