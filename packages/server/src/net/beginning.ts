// The first octets of a connection, looked at before anybody serves it.

import type { Socket } from 'node:net'
import type { Clock } from '../kernel/clock.ts'

/** What the octets so far tell: not enough, or all that was wanted; the first `taken` of them are spent, the others stay unread. */
export type Beginning<T> = 'more' | { readonly taken: number; readonly value: T }

/** Why it was not told: the other side said nothing, or went away. */
export type BeginningFailure = 'timeout' | 'closed'

/**
 * Reads a connection until `judge`, which is given all that has come, has seen enough; what it does not take stays in the socket, unread. Calls `done` once: the socket is
 * then still open, and the caller's. `judge` must come to an end after a bounded number of octets.
 */
export function readBeginning<T>(
  socket: Socket,
  clock: Clock,
  timeout: number,
  judge: (octets: Buffer) => Beginning<T>,
  done: (result: { readonly value: T } | { readonly failure: BeginningFailure }) => void,
): void {
  let octets: Buffer = Buffer.alloc(0)
  const timer = clock.timeout(timeout, () => finish({ failure: 'timeout' }))
  const onReadable = (): void => {
    for (let piece: unknown = socket.read(); Buffer.isBuffer(piece); piece = socket.read()) {
      octets = octets.length === 0 ? piece : Buffer.concat([octets, piece])
      const verdict = judge(octets)
      if (verdict === 'more') continue
      if (octets.length > verdict.taken) socket.unshift(octets.subarray(verdict.taken))
      return finish({ value: verdict.value })
    }
  }
  const onClose = (): void => finish({ failure: 'closed' })
  const ignore = (): void => {}
  function finish(result: Parameters<typeof done>[0]): void {
    timer.cancel()
    socket.off('readable', onReadable).off('end', onClose).off('close', onClose)
    // The stream learns a moment later that nobody reads it that way any more; whoever reads it next must find it untouched.
    process.nextTick(() => {
      socket.off('error', ignore)
      done(result)
    })
  }
  socket.on('error', ignore).on('readable', onReadable).on('end', onClose).on('close', onClose)
}
