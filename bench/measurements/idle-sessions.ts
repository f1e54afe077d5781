// What a session costs that only waits: memory of the server before and after many of them.

import { setTimeout as pause } from 'node:timers/promises'
import { ImapClient } from '../clients/imap.ts'
import { localPart, logins } from '../clients/logins.ts'
import { XmppClient } from '../clients/xmpp.ts'
import { figure } from '../figures.ts'
import { inParallel } from '../in-parallel.ts'
import { underLoad } from '../load.ts'
import type { Measurement } from '../measurement.ts'
import type { MemoryFigures } from '../process-figures.ts'
import { DOMAIN, Server } from '../server.ts'

const SETTLE_MS = 2000
/** Garbage is collected more than once: what the first round finalises, the second one frees. */
const COLLECTIONS = 3
const COLLECT_MS = 700
const AT_ONCE = 16
const preload = new URL('../collect-on-signal.mjs', import.meta.url).href

export const idleImap = idle('idle-imap', 'IMAP sessions over TLS in IDLE', async (server, index) => {
  const user = localPart(index % server.accounts)
  const imap = await ImapClient.connect(server.reach, server.ports.imaps, logins, user)
  await imap.command('SELECT INBOX')
  await imap.idle()
  return imap
})

export const idleXmpp = idle('idle-xmpp', 'XMPP sessions over TLS, available', async (server, index) => {
  const user = localPart(index % server.accounts)
  const chat = await XmppClient.connect(server.reach, server.ports.xmpps, DOMAIN, logins, user)
  // Stream management where it is offered (XEP-0198): unoffered, it would end the stream.
  const enable = chat.features.includes('urn:xmpp:sm:3') ? "<enable xmlns='urn:xmpp:sm:3' resume='true'/>" : ''
  chat.send(`<iq type='get' id='roster'><query xmlns='jabber:iq:roster'/></iq>${enable}<presence/>`)
  chat.listen(() => {})
  return chat
})

interface Session {
  readonly over: boolean
  close(): void
}

function idle(
  name: string,
  summary: string,
  connect: (server: Server, index: number) => Promise<Session>,
): Measurement {
  return {
    name,
    summary,
    async measure({ quick, provisioned }) {
      const count = quick ? 100 : 1000
      const server = await Server.start(provisioned, { node: ['--expose-gc', '--import', preload] })
      try {
        // The first sessions load code and fill caches that all others share.
        const first = await inParallel(AT_ONCE, AT_ONCE, (index) => connect(server, index))
        const before = await settled(server)
        const sessions: Session[] = []
        const load = await underLoad(server, async () => {
          sessions.push(...(await inParallel(count, AT_ONCE, (index) => connect(server, index + AT_ONCE))))
        })
        await pause(SETTLE_MS)
        const asIs = server.memory()
        const after = await settled(server)
        const lost = sessions.filter(({ over }) => over).length
        for (const session of [...first, ...sessions]) session.close()
        const each = (then: MemoryFigures | undefined, what: keyof MemoryFigures): number | undefined =>
          before === undefined || then === undefined ? undefined : (then[what] - before[what]) / count / 1024
        return {
          figures: [
            figure('memory of a session (PSS)', each(after, 'pss'), 'KiB'),
            figure('memory of a session (RSS)', each(after, 'rss'), 'KiB'),
            figure('the same before garbage is collected (PSS)', each(asIs, 'pss'), 'KiB'),
            figure('server with all sessions (PSS)', after === undefined ? undefined : after.pss / 2 ** 20, 'MiB'),
            figure('sessions opened', count / load.seconds, '/s'),
            figure(
              'CPU per 1,000 sessions opened',
              load.cpu === undefined ? undefined : (load.cpu / count) * 1000,
              's',
            ),
            ...load.figures,
          ],
          ...(lost === 0 ? {} : { void: `${lost} of ${count} sessions were ended meanwhile` }),
        }
      } finally {
        await server.stop()
      }
    },
  }
}

/** The server's memory after a pause and a collection of its garbage. */
async function settled(server: Server): Promise<MemoryFigures | undefined> {
  await pause(SETTLE_MS)
  for (let round = 0; round < COLLECTIONS; round++) {
    server.signal('SIGUSR2')
    await pause(COLLECT_MS)
  }
  return server.memory()
}
