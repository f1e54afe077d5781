// One address for several protocols: what a connection is for is seen from ALPN, or from its first octets.

import type { Clock } from '../kernel/clock.ts'
import { type Beginning, readBeginning } from './beginning.ts'
import { readClientHello, TLS_HANDSHAKE } from './client-hello.ts'
import type { Connection, ListenOptions, Session } from './contracts.ts'

/** Octets in the clear that are looked at. */
const LONGEST_OPENING = 1024

/** What a connection is for. `guessed`: TLS comes first, and what is said in it tells. */
export type Purpose<Sharer> =
  | { readonly kind: 'known'; readonly sharer: Sharer }
  | { readonly kind: 'guessed'; readonly sharer: Sharer }
  | { readonly kind: 'unknown' }

interface Sharing {
  readonly options: ListenOptions
}

const UNKNOWN = { kind: 'unknown' } as const

/** Finds out for which of those that share an address a connection is, from its first octets. None of them is taken. */
export function purposeOf<S extends Sharing>(octets: Buffer, sharers: readonly S[]): Beginning<Purpose<S>> {
  if (octets[0] === TLS_HANDSHAKE) return byName(octets, sharers)
  const found = bySpeech(
    octets,
    sharers.filter(({ options }) => options.tls !== 'implicit'),
  )
  if (found === 'more') return 'more'
  return { taken: 0, value: found === undefined ? UNKNOWN : { kind: 'known', sharer: found } }
}

function byName<S extends Sharing>(octets: Buffer, sharers: readonly S[]): Beginning<Purpose<S>> {
  const hello = readClientHello(octets)
  if (hello === 'more') return 'more'
  if (hello === 'bad') return { taken: 0, value: UNKNOWN }
  const encrypted = sharers.filter(({ options }) => options.tls === 'implicit')
  for (const name of hello.alpn) {
    const sharer = encrypted.find(({ options }) => options.alpn?.includes(name) === true)
    if (sharer !== undefined) return { taken: 0, value: { kind: 'known', sharer } }
  }
  // Browsers would ask their users for a certificate.
  const speaking = encrypted.filter(({ options }) => options.opening !== undefined)
  const sharer = speaking.find(({ options }) => options.clientCertificates === undefined) ?? speaking[0]
  return { taken: 0, value: sharer === undefined ? UNKNOWN : { kind: 'guessed', sharer } }
}

/** Who knows what is said; undefined: nobody. */
function bySpeech<S extends Sharing>(octets: Buffer, sharers: readonly S[]): S | 'more' | undefined {
  const answers = sharers.map((sharer) => [sharer, sharer.options.opening?.(octets) ?? false] as const)
  const found = answers.find(([, answer]) => answer === true)
  if (found !== undefined) return found[0]
  return octets.length < LONGEST_OPENING && answers.some(([, answer]) => answer === 'more') ? 'more' : undefined
}

/** Serves a connection whose TLS is up by whom its first words are for. `unknown` is called where they are for nobody. */
export function serveBySpeech(
  connection: Connection,
  sharers: readonly Sharing[],
  clock: Clock,
  timeout: number,
  unknown: (why: string) => void,
): Session {
  const { socket } = connection
  const encrypted = sharers.filter(({ options }) => options.tls === 'implicit')
  const state: { session?: Session; retired?: boolean; ended?: boolean } = {}
  const judge = (octets: Buffer): Beginning<Sharing | undefined> => {
    const found = bySpeech(octets, encrypted)
    return found === 'more' ? 'more' : { taken: 0, value: found }
  }
  readBeginning(socket, clock, timeout, judge, (result) => {
    if (state.ended === true || socket.destroyed) return void socket.destroy()
    const found = 'value' in result ? result.value : undefined
    if (found === undefined) {
      unknown('failure' in result ? result.failure : 'unknown-protocol')
      return void socket.destroy()
    }
    try {
      state.session = found.options.serve(connection)
      if (state.retired === true) state.session.retire?.()
    } catch (error) {
      connection.log.error({ err: error }, 'the connection could not be served')
      socket.destroy()
    }
  })
  return {
    async shutdown() {
      state.ended = true
      if (state.session === undefined) socket.destroy()
      else await state.session.shutdown()
    },
    retire() {
      state.retired = true
      state.session?.retire?.()
    },
  }
}

/** Why two protocols cannot share an address; undefined: they can. */
export function conflict(one: ListenOptions, other: ListenOptions): string | undefined {
  const mute = [one, other].find(({ tls, opening }) => tls !== 'implicit' && opening === undefined)
  if (mute !== undefined)
    return `${one.protocol} and ${other.protocol} are both to listen on ${other.address}, where clients of ${mute.protocol} wait for the server to speak first: give one of them another address or port.`
  if (one.tls === 'implicit' && other.tls === 'implicit' && (one.alpn === undefined || other.alpn === undefined))
    return `${one.protocol} and ${other.protocol} are both to listen on ${other.address}, and nothing tells their clients apart: give one of them another address or port.`
  if (String(one.proxies ?? []) !== String(other.proxies ?? []))
    return `${one.protocol} and ${other.protocol} share ${other.address}: give them the same proxy-protocol.`
  return undefined
}
