// XEP-0198: Stream Management

import { el, type Element, Jid, NS, StanzaError, type StanzaCondition, StreamError } from '@aviso/xmpp'
import * as v from 'valibot'
import { GUEST } from '../../accounts/roles.ts'
import { randomWord } from '../../kernel/random.ts'
import { duration, size } from '../../kernel/units.ts'
import { chatFeature } from '../core/contracts.ts'
import type { OnlineAccount } from '../core/directory.ts'
import { stateOf } from '../core/roster.ts'
import { type Session, sessionSlot } from '../core/session.ts'
import { TO } from '../core/subscriptions.ts'
import { ManagedStream, type StreamState, type Unacknowledged } from './managed-stream.ts'
import { device } from './push-device.ts'
import { RESUMPTIONS, Resumptions } from './resumptions.ts'
import { type Suspension, takeBack, writeDown } from './suspensions.ts'

const SM = NS.streamManagement
const managed = sessionSlot<ManagedStream>('stream-management')

/** Sessions that are made again at once, after a restart. */
const WAKING = 16

const count = v.pipe(v.number(), v.integer(), v.minValue(1))

export const streamManagement = chatFeature({
  name: 'stream-management',
  summary: 'Acknowledges stanzas both ways, and lets a client that lost its connection go on where it was.',
  config: v.strictObject({
    'resume-time': v.pipe(
      duration('10m'),
      v.description('how long a session is kept for a client that lost its connection; 0s: not at all'),
    ),
    'resume-time-push': v.pipe(
      duration('72h'),
      v.description('the same for a device that can be woken by `push`, where that is longer'),
    ),
    'away-sessions': v.optional(
      v.pipe(
        count,
        v.description('how many clients of one account may be away; beyond it, who is away longest is given up'),
      ),
      10,
    ),
    'remembered-sessions': v.optional(
      v.pipe(
        count,
        v.description('of how many sessions of one account that are over it is remembered how much was handled'),
      ),
      10,
    ),
    queue: v.optional(
      v.pipe(count, v.description('how many stanzas are kept for one client that has not acknowledged them')),
      1000,
    ),
    'queue-octets': v.pipe(size('1MiB'), v.description('the same in characters')),
    'away-octets': v.pipe(
      size('256MiB'),
      v.description(
        'how many characters wait for all clients that are away; beyond it, who is away longest is given up',
      ),
    ),
    'ack-timeout': v.pipe(
      duration('60s'),
      v.description('how long a client may take to acknowledge before its connection counts as lost'),
    ),
    'inactive-unacknowledged': v.optional(
      v.pipe(
        count,
        v.description(
          'how many stanzas a client whose user is not looking (`csi`) may leave unacknowledged before it is asked, which wakes a phone',
        ),
      ),
      256,
    ),
  }),

  async attach(host, config, scope) {
    const { clock, random, log, metrics } = scope
    const resumptions = await scope.keep(RESUMPTIONS, (life) => new Resumptions(life.clock))
    const resumed = metrics.counter('aviso_chat_resumptions', 'Requests to resume a stream, by outcome', ['outcome'])
    const limits = {
      stanzas: config.queue,
      characters: config['queue-octets'],
      ackTimeout: config['ack-timeout'],
      unasked: config['inactive-unacknowledged'],
    }
    const pushTime = Math.max(config['resume-time'], config['resume-time-push'])
    host.streamFeature(({ authenticated, session }) =>
      authenticated && session?.get(managed) === undefined ? el('sm', { xmlns: SM }) : undefined,
    )

    const manage = (session: Session, id: string, state?: StreamState): ManagedStream => {
      const grown = (by: number): void => {
        resumptions.grown(stream, by)
        if (stream.attached) return
        // Not while the stanza is still on its way to others.
        if (stream.overfull) queueMicrotask(() => giveUp(stream))
        else if (resumptions.held > config['away-octets']) queueMicrotask(giveUpLongest)
      }
      const stream = new ManagedStream(id, session, { limits, clock, grown }, state)
      session.set(managed, stream)
      session.wire = stream
      if (id !== '') resumptions.add(stream)
      session.detach = (from, broken) => {
        if (!stream.uses(from)) return true
        if (id === '' || !(broken || stream.fellSilent)) return false
        stream.detach()
        depart(stream)
        return true
      }
      return stream
    }

    /** The connection is gone. */
    const depart = (stream: ManagedStream): void => {
      const { session } = stream
      session.away = true
      leave(stream, session.get(device) === undefined ? config['resume-time'] : pushTime)
      log.debug({ session: session.id, account: session.account.bare }, 'waits to be resumed')
      host.tellAway(session)
    }
    /** The client may come back for so long. Milliseconds. */
    const leave = (stream: ManagedStream, ms: number): void => {
      resumptions.leave(stream, ms, () => giveUp(stream))
      const away = stream.session.account.sessions
        .flatMap((each) => each.get(managed) ?? [])
        .filter((each) => !each.attached)
      if (away.length > config['away-sessions'])
        giveUp(away.reduce((one, other) => (other.since < one.since ? other : one)))
      if (resumptions.held > config['away-octets']) giveUpLongest()
    }
    const giveUp = ({ session, attached }: ManagedStream): void => {
      if (!attached) host.end(session)
    }
    const giveUpLongest = (): void => {
      for (const longest of resumptions.away) {
        if (resumptions.held <= config['away-octets']) return
        giveUp(longest)
      }
    }

    const enabled = (session: Session, enable: Element): Element => {
      if (session.get(managed) !== undefined) return failed('unexpected-request', 'this is on already')
      const resume = isTrue(enable.get('resume')) && config['resume-time'] > 0
      const id = resume ? randomWord(random, 32) : ''
      manage(session, id)
      session.handled = 0
      const max = Math.ceil(config['resume-time'] / 1000)
      return el('enabled', { xmlns: SM, ...(resume && { id, resume: 'true', max }) })
    }
    host.nonza(SM, 'enable', (session, enable) => {
      const { wire } = session
      wire.send(enabled(session, enable))
    })
    host.inline.bound(SM, SM, 'enable', enabled)
    host.inline.unbound(el('sm', { xmlns: SM }), 'resume')

    host.nonza(SM, 'r', (session) => {
      // In the order of the stanzas, each of which was waited for: what is acknowledged is safe.
      session.get(managed)?.tell(el('a', { xmlns: SM, h: session.handled }))
    })
    host.nonza(SM, 'a', (session, element) => {
      const stream = session.get(managed)
      const h = numberOf(element)
      if (stream === undefined) return
      if (h === undefined) throw new StreamError('bad-format', 'h is a number')
      stream.acknowledge(h)
      stream.answered()
    })
    host.nonza(SM, 'resume', (session) => {
      session.wire.send(failed('unexpected-request', 'a resource is bound already'))
    })

    host.unbound(SM, 'enable', async (_account, _element, { wire }) => {
      wire.send(failed('unexpected-request', 'bind a resource first'))
      return undefined
    })

    host.unbound(SM, 'resume', async (account, element, { wire }) => {
      const previous = element.get('previd') ?? ''
      const h = numberOf(element)
      const refuse = (condition: StanzaCondition, text?: string): undefined => {
        resumed.inc({ outcome: condition })
        wire.send(failed(condition, text, resumptions.handled(previous, account.id)))
        return undefined
      }
      if (h === undefined || previous === '') return refuse('bad-request', 'previd and h are needed')
      // Somebody else's is as good as none.
      const stream = resumptions.find(previous, account)
      if (stream === undefined || stream.session.over) return refuse('item-not-found')
      const { session } = stream
      stream.acknowledge(h)
      if (!stream.complete) {
        host.end(session)
        return refuse('item-not-found', 'too much was not acknowledged')
      }
      resumptions.back(stream)
      if (stream.attached) {
        // The server has not noticed yet what the client has (§5).
        const before = stream.cut()
        before?.close(new StreamError('conflict', 'this stream was resumed elsewhere'))
      }
      session.away = false
      // What came over the connection before, and is being handled, counts.
      await session.pending?.catch(() => {})
      if (session.over) return refuse('item-not-found')
      stream.attach(wire, el('resumed', { xmlns: SM, previd: previous, h: session.handled }))
      resumed.inc({ outcome: 'resumed' })
      host.tellResumed(session)
      session.woken = false
      return session
    })

    /** What is being given to others. */
    const under = new Set<Promise<void>>()
    host.hooks.closed.on((session) => {
      const stream = session.get(managed)
      if (stream === undefined) return
      resumptions.remove(stream, config['remembered-sessions'])
      redeliver(session.account, stream.end())
    })
    const redeliver = (account: OnlineAccount, queue: readonly Unacknowledged[]): void => {
      const work = host.redeliver(account, queue).catch((error: unknown) => {
        log.error({ err: error, account: account.bare }, 'stanzas that were not acknowledged were not delivered')
      })
      under.add(work)
      void work.then(() => under.delete(work))
    }

    // Over a restart

    const wake = async (): Promise<void> => {
      const woken: [ManagedStream, until: number][] = []
      const one = async ({ id, account, until, session: suspended, stream }: Suspension): Promise<void> => {
        try {
          const owner = await host.accounts.byId(account)
          if (owner === undefined) return
          const session = await host.wake(owner, suspended)
          woken.push([manage(session, id, stream), owner.disabled ? 0 : until])
        } catch (error) {
          log.error({ err: error, account, session: suspended.id }, 'a session did not survive the restart')
        }
      }
      try {
        for (const domain of host.accounts.domains().filter((each) => host.covers(each)))
          for await (const suspensions of takeBack(host.store, domain)) await severally(suspensions, WAKING, one)
      } catch (error) {
        log.error({ err: error }, 'the sessions of before the restart could not be read')
      }
      // When all are there: who was away for too long says goodbye to the others.
      for (const [stream, until] of woken) leave(stream, Math.max(0, until - clock.now()))
      if (woken.length > 0) log.info({ sessions: woken.length }, 'sessions of before the restart wait to be resumed')
    }
    let waking: Promise<void> | undefined
    host.beginning(() => (waking = wake()))
    host.hooks.resumed.on((session) => {
      if (!session.woken || !session.available) return
      // What other servers had to say in between was said to nobody.
      for (const [contact, item] of session.account.roster?.items ?? [])
        if (stateOf(item) & TO && !host.accounts.isLocal(contact.slice(contact.indexOf('@') + 1)))
          host.probe(session.account, Jid.parse(contact))
    })

    const settled = async (): Promise<void> => {
      while (under.size > 0) await Promise.all(under)
    }
    scope.defer(async () => {
      await waking
      // At a reload the next generation goes on.
      if (host.current) await suspendAll()
      await settled()
    })
    /** Those of the domains that this instance of the feature is for. */
    const mine = (streams: Iterable<ManagedStream>): readonly ManagedStream[] =>
      [...streams].filter(({ session }) => host.covers(session.jid.domain))
    const suspendAll = async (): Promise<void> => {
      const streams = mine(resumptions.all)
      for (const stream of streams) {
        if (!stream.attached) continue
        const wire = stream.cut()
        depart(stream)
        wire?.close(new StreamError('system-shutdown'))
      }
      // What is being handled still counts, and may reach the others.
      await Promise.all(streams.map(({ session }) => session.pending?.catch(() => {})))
      await settled()
      for (const stream of mine(resumptions.away)) {
        const guest = stream.session.account.account.role === GUEST
        if (guest || !stream.complete) host.end(stream.session)
      }
      const accounts = new Map<Suspension, OnlineAccount>()
      for (const stream of mine(resumptions.away)) {
        const { id, session, state } = stream
        const { account } = session
        const until = resumptions.until(stream) ?? 0
        resumptions.forget(stream)
        stream.end()
        const suspended = host.suspend(session)
        const { id: owner, domain } = account.account
        accounts.set({ id, account: owner, domain, until, session: suspended, stream: state }, account)
      }
      if (accounts.size === 0) return
      for (const [suspension, error] of await writeDown(host.store, accounts.keys())) {
        const account = accounts.get(suspension)
        log.error({ err: error, account: account?.bare }, 'a session does not survive the restart')
        if (account !== undefined) redeliver(account, suspension.stream.queue)
      }
      log.info({ sessions: accounts.size }, 'sessions wait for the next start')
    }
  },
})

/** Does `act` for all, so many at a time. */
async function severally<T>(all: readonly T[], most: number, act: (one: T) => Promise<void>): Promise<void> {
  const rest = all.values()
  const line = async (): Promise<void> => {
    for (const one of rest) await act(one)
  }
  await Promise.all(Array.from({ length: most }, line))
}

const isTrue = (value: string | undefined): boolean => value === 'true' || value === '1'

function numberOf(element: Element): number | undefined {
  const h = element.get('h') ?? ''
  return /^\d{1,10}$/.test(h) && Number(h) <= 0xffff_ffff ? Number(h) : undefined
}

/** §6 */
function failed(condition: StanzaCondition, text?: string, handled?: number): Element {
  const error = StanzaError.of(condition, text).toElement()
  return el('failed', { xmlns: SM, h: handled }, ...error.children)
}

/** What the session was sent and has not acknowledged, as XML text. */
export const unacknowledged = (session: Session): readonly string[] =>
  session.get(managed)?.queue.map(({ text }) => text) ?? []
