// How the streams of all endpoints end when the server does.

import { StreamError } from '@aviso/xmpp'
import type { Duplex } from 'node:stream'

/** Tells the other side, and resolves when the connection is closed: net's `Session.shutdown`. */
export function shutDown(
  stream: { close(error: StreamError): void },
  { socket }: { readonly socket: Duplex },
): Promise<void> {
  stream.close(new StreamError('system-shutdown'))
  if (socket.destroyed) return Promise.resolve()
  return new Promise((resolve) => socket.once('close', () => resolve()))
}
