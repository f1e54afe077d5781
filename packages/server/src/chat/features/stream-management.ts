// XEP-0198: Stream Management

import { el, type Element, NS, StanzaError, type StanzaCondition, StreamError } from '@aviso/xmpp'
import * as v from 'valibot'
import { randomWord } from '../../kernel/random.ts'
import { duration, size } from '../../kernel/units.ts'
import { chatFeature } from '../core/contracts.ts'
import { type Session, sessionSlot } from '../core/session.ts'
import { ManagedStream } from './managed-stream.ts'
import { RESUMPTIONS, Resumptions } from './resumptions.ts'

const SM = NS.streamManagement
const managed = sessionSlot<ManagedStream>('stream-management')

const count = v.pipe(v.number(), v.integer(), v.minValue(1))

export const streamManagement = chatFeature({
  name: 'stream-management',
  summary: 'Acknowledges stanzas both ways, and lets a client that lost its connection go on where it was.',
  config: v.strictObject({
    'resume-time': v.pipe(
      duration('10m'),
      v.description('how long a session is kept for a client that lost its connection; 0s: not at all'),
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
  }),

  async attach(host, config, scope) {
    const { clock, random, log, metrics } = scope
    const resumptions = await scope.keep(RESUMPTIONS, (life) => new Resumptions(life.clock))
    const resumed = metrics.counter('aviso_chat_resumptions', 'Requests to resume a stream, by outcome', ['outcome'])
    const limits = {
      stanzas: config.queue,
      characters: config['queue-octets'],
      ackTimeout: config['ack-timeout'],
    }
    host.streamFeature(({ authenticated }) => (authenticated ? el('sm', { xmlns: SM }) : undefined))

    /** Manages the session's stream from now on; answers what the client is told. */
    const manage = (session: Session, enable: Element): Element => {
      if (session.get(managed) !== undefined) return failed('unexpected-request', 'this is on already')
      const resume = isTrue(enable.get('resume')) && config['resume-time'] > 0
      const id = resume ? randomWord(random, 32) : ''
      const grown = (by: number): void => {
        resumptions.grown(stream, by)
        if (stream.attached) return
        // Not while the stanza is still on its way to others.
        if (stream.overfull) queueMicrotask(() => giveUp(stream))
        else if (resumptions.held > config['away-octets']) queueMicrotask(giveUpLongest)
      }
      const stream = new ManagedStream(id, session, { limits, clock, grown })
      session.set(managed, stream)
      session.handled = 0
      if (resume) resumptions.add(stream)
      const max = Math.ceil(config['resume-time'] / 1000)
      session.wire = stream
      session.detach = (from, broken) => {
        if (!stream.uses(from)) return true
        if (!resume || !(broken || stream.fellSilent)) return false
        stream.detach()
        session.away = true
        resumptions.leave(stream, config['resume-time'], () => giveUp(stream))
        log.debug({ session: session.id, account: session.account.bare }, 'waits to be resumed')
        host.tellAway(session)
        if (resumptions.held > config['away-octets']) giveUpLongest()
        return true
      }
      return el('enabled', { xmlns: SM, ...(resume && { id, resume: 'true', max }) })
    }
    host.nonza(SM, 'enable', (session, enable) => {
      // Not by the managed stream, which would count what it does not know.
      const { wire } = session
      wire.send(manage(session, enable))
    })
    host.inline.bound(SM, SM, 'enable', manage)
    host.inline.unbound(el('sm', { xmlns: SM }), 'resume')

    const giveUp = ({ session, attached }: ManagedStream): void => {
      if (!attached) host.end(session)
    }
    const giveUpLongest = (): void => {
      const [longest] = resumptions.away
      if (longest !== undefined && resumptions.held > config['away-octets']) giveUp(longest)
    }

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
      const stream = resumptions.find(previous, account.id)
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
      return session
    })

    /** What is being given to others. */
    const under = new Set<Promise<void>>()
    host.hooks.closed.on((session) => {
      const stream = session.get(managed)
      if (stream === undefined) return
      resumptions.remove(stream)
      const work = host.redeliver(session.account, stream.end()).catch((error: unknown) => {
        log.error(
          { err: error, account: session.account.bare },
          'stanzas that were not acknowledged were not delivered',
        )
      })
      under.add(work)
      void work.then(() => under.delete(work))
    })
    scope.defer(async () => {
      // The server stops: nobody can come back. At a reload the next generation goes on.
      for (const { session } of host.current ? resumptions.away : []) {
        host.end(session)
        await Promise.all(under)
      }
      await Promise.all(under)
    })
  },
})

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
