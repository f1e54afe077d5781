// XEP-0045 §7.2.13: what was said before somebody entered.

import { el, type Element, NS, StanzaError } from '@aviso/xmpp'
import type { Remembered, Room } from './room.ts'

/** How much of the history a client wants. */
export interface HistoryWish {
  readonly stanzas: number
  readonly characters: number
  /** Milliseconds since the epoch, or 0. */
  readonly since: number
  /** Not older than so many milliseconds. */
  readonly age: number
}

/** @throws StanzaError bad-request for what is no number, or no time */
export function readHistoryWish(x: Element): HistoryWish {
  const history = x.child('history')
  const number = (name: string): number => {
    const text = history?.get(name)
    if (text === undefined) return Infinity
    if (!/^\d{1,12}$/.test(text)) throw StanzaError.of('bad-request', `${name} is a whole number`)
    return Number(text)
  }
  const text = history?.get('since')
  const since = text === undefined ? 0 : Date.parse(text)
  if (Number.isNaN(since)) throw StanzaError.of('bad-request', 'since is a time such as 2026-02-28T18:00:00Z')
  return { stanzas: number('maxstanzas'), characters: number('maxchars'), since, age: number('seconds') * 1000 }
}

/** What is shown of the history, oldest first. */
export function historyFor(room: Room, wish: HistoryWish): readonly Remembered[] {
  const { history, config, hall } = room
  const oldest = Math.max(wish.since, hall.clock.now() - wish.age)
  // Rooms may have been set up when the server allowed more.
  const most = Math.min(wish.stanzas, config.historyLength, hall.settings['max-history'])
  const chosen: Remembered[] = []
  let characters = 0
  for (const entry of history.toReversed()) {
    if (chosen.length >= most || entry.at < oldest) break
    // Characters of the whole stanzas, as the client will get them.
    if (wish.characters !== Infinity) characters += entry.stanza.toString().length
    if (characters > wish.characters) break
    chosen.push(entry)
  }
  return chosen.reverse()
}

/** A message with the time at which the room got it. */
export const delayed = (room: Room, stanza: Element, at: number): Element =>
  stanza.append(el('delay', { xmlns: NS.delay, from: room.bare, stamp: new Date(at).toISOString() }))

/** Keeps a message to show it to those who enter. */
export function remember(room: Room, id: string, at: number, stanza: Element): void {
  const { history, config } = room
  if (config.historyLength === 0) return
  history.push({ id, at, stanza: delayed(room, stanza, at).prepared() })
  history.splice(0, history.length - config.historyLength)
}
