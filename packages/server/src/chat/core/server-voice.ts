// The server as a sender: what it says in its own name.

import { el, Jid } from '@aviso/xmpp'
import type { Host, Origin } from './contracts.ts'

/** One of our domains as the origin of stanzas; nobody hears what is answered to it. */
export const serverOrigin = (domain: string): Origin => ({ jid: Jid.of('', domain), reply: () => {} })

/** Sends a message in the name of a domain to one of its accounts, wherever its clients are, or to be read later. Rejects with what a sender would be told. */
export const tell = (
  host: Host,
  domain: string,
  to: string,
  body: string,
  { subject, type }: { readonly subject?: string | undefined; readonly type?: 'chat' | 'normal' | 'headline' } = {},
): Promise<void> =>
  host.route(
    el(
      'message',
      { from: domain, to, type },
      subject !== undefined && el('subject', {}, subject),
      el('body', {}, body),
    ),
    serverOrigin(domain),
  )
