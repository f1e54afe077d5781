// Which components are connected: over all generations of the config, as their connections outlive a reload.

import type { Element, StreamError } from '@aviso/xmpp'

/** The connection of a component. */
export interface ComponentLink {
  /** False if it is over. */
  send(stanza: Element): boolean
  close(error?: StreamError): void
}

/** By domain. */
export type ComponentLinks = Map<string, ComponentLink>
