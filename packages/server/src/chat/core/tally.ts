// What passes through chat, in numbers: adding one to a field is all that it costs a stanza.

import type { Element } from '@aviso/xmpp'
import type { Metrics, Reading } from '../../kernel/metrics.ts'
import type { Scope } from '../../kernel/scope.ts'
import type { Directory } from './directory.ts'

/** Stanzas by kind. */
class Kinds {
  message = 0
  presence = 0
  iq = 0

  count(name: string): void {
    if (name === 'message') this.message++
    else if (name === 'presence') this.presence++
    else if (name === 'iq') this.iq++
  }

  readings(peer: string, direction: string): Reading[] {
    return [
      [{ peer, direction, kind: 'message' }, this.message],
      [{ peer, direction, kind: 'presence' }, this.presence],
      [{ peer, direction, kind: 'iq' }, this.iq],
    ]
  }
}

/** Stanzas from and to one kind of peer: the clients, or the other servers. */
export class Traffic {
  readonly in = new Kinds()
  readonly out = new Kinds()

  /** A stanza, or its text, is on its way to the peer. */
  sent(stanza: Element | string): void {
    if (typeof stanza !== 'string') return this.out.count(stanza.name)
    // `<message`, `<presence`, `<iq`: nothing else that is written begins with these.
    const letter = stanza.charCodeAt(1)
    if (letter === 109) this.out.message++
    else if (letter === 112) this.out.presence++
    else if (letter === 105) this.out.iq++
  }

  /** Tells the metrics, as those of `peer`. Returns the way to stop. */
  watch(metrics: Metrics, peer: 'client' | 'server'): () => void {
    return metrics.readings(
      'counter',
      'aviso_chat_stanzas',
      'Stanzas from (in) and to (out) clients and other servers',
      ['peer', 'direction', 'kind'],
      () => [...this.in.readings(peer, 'in'), ...this.out.readings(peer, 'out')],
    )
  }
}

/** Tells the metrics who is there, and what was refused, until `scope` closes. */
export function census(
  scope: Scope,
  { directory, refused }: { readonly directory: Directory; readonly refused: ReadonlyMap<string, number> },
): void {
  const { metrics } = scope
  scope.defer(directory.traffic.watch(metrics, 'client'))
  scope.defer(
    metrics.readings(
      'counter',
      'aviso_chat_refused',
      'Stanzas answered with an error, by condition',
      ['condition'],
      () => Array.from(refused, ([condition, count]) => [{ condition }, count] as const),
    ),
  )
  scope.defer(
    metrics.readings('gauge', 'aviso_chat_sessions', 'Clients by state', ['state'], () => {
      let available = 0
      let away = 0
      for (const account of directory.accounts)
        for (const session of account.sessions)
          if (session.away) away++
          else if (session.available) available++
      return [
        [{ state: 'available' }, available],
        [{ state: 'away' }, away],
        [{ state: 'silent' }, directory.size - available - away],
      ]
    }),
  )
  scope.defer(
    metrics.readings('gauge', 'aviso_chat_accounts', 'Accounts that have clients', [], () => [
      [{}, [...directory.accounts].length],
    ]),
  )
}
