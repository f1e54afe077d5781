// Federation as its endpoint sees it.

import type { Dialback, Element, StanzaError } from '@aviso/xmpp'
import { serviceKey } from '../../kernel/scope.ts'
import type { S2sConfig } from './config.ts'
import type { Wire } from './outgoing.ts'
import type { Pair, Proof } from './peer.ts'
import type { Policy } from './policy.ts'

export interface S2s {
  readonly config: S2sConfig
  readonly policy: Policy
  /** PEM of the authorities to believe; undefined for those of Node itself. */
  readonly ca: string | undefined
  /** Asks the server of `remote` whether a key for the stream `id` is its own. Rejects with a StanzaError when it cannot be asked, or has no certificate where it needs one. */
  verify(pair: Pair, id: string, key: string): Promise<boolean>
  /** Answers another server's question about a key of ours: XML text. */
  answer(question: Dialback): string
  /** Takes a stanza of a server that has proved its domain. */
  receive(pair: Pair, stanza: Element): void | Promise<void>
  /** Stanzas for the other server may go over this stream of its (XEP-0288), until `drop`. */
  adopt(pair: Pair, wire: Wire): void
  drop(pair: Pair, wire: Wire): void
  /** Counts another server that has proved its domain to us, or failed to. */
  counted(proof: Exclude<Proof, 'none'> | StanzaError['condition'] | 'invalid'): void
}

export const S2s = serviceKey<S2s>('chat-s2s')
