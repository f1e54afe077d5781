// A small answer of a web service, within bounds of size and time.

import type { Clock } from '../kernel/clock.ts'

export interface FetchBounds {
  readonly clock: Clock
  /** Milliseconds for all of it. */
  readonly timeout: number
  /** Octets of the answer. */
  readonly most: number
}

/** Resolves with the body of the answer. Rejects when there is none in time, it is too long, leads elsewhere, or is no success. */
export async function fetchText(
  url: URL | string,
  request: Omit<RequestInit, 'signal' | 'redirect'>,
  { clock, timeout, most }: FetchBounds,
): Promise<string> {
  const abort = new AbortController()
  const timer = clock.timeout(timeout, () => abort.abort(new Error(`nothing came within ${timeout / 1000} s`)))
  try {
    const response = await fetch(url, { ...request, signal: abort.signal, redirect: 'error' })
    const pieces: Uint8Array[] = []
    let length = 0
    for await (const piece of response.body ?? []) {
      length += piece.byteLength
      if (length > most) throw new Error(`an answer of more than ${most} octets`)
      pieces.push(piece)
    }
    const text = Buffer.concat(pieces).toString('utf8')
    if (!response.ok) throw new Error(`HTTP ${response.status} ${text.slice(0, 200)}`)
    return text
  } finally {
    timer.cancel()
    abort.abort()
  }
}
