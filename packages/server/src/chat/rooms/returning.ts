// Those who were in rooms when the server stopped: they have their places again, and clients of ours some time to come back.

import { Jid } from '@aviso/xmpp'
import type { Scope } from '../../kernel/scope.ts'
import type { Session } from '../core/session.ts'
import { ROLES, type RoomSession } from './contracts.ts'
import type { Hall } from './hall.ts'
import { leave, readPresence } from './presence.ts'
import { Room } from './room.ts'
import type { OccupantRow } from './rows.ts'

export class Returning {
  readonly #hall: Hall
  readonly #scope: Scope
  /** Clients that have not come back yet, by full JID. */
  readonly #awaited = new Map<string, readonly RoomSession[]>()

  constructor(hall: Hall, scope: Scope) {
    this.#hall = hall
    this.#scope = scope
  }

  /** Puts back who was there. */
  async restore(): Promise<void> {
    const hall = this.#hall
    const rows = await hall.store.occupants()
    for (const { room: name, jid: text, nick, role, presence } of rows) {
      const room = await hall.load(name)
      const jid = Jid.tryParse(text)
      if (!(room instanceof Room) || jid === undefined) continue
      const bare = jid.bareString
      const there = room.occupants.get(nick)
      if (there !== undefined && there.bare !== bare) continue
      const occupant = there ?? room.seat(nick, bare, ROLES.find((each) => each === role) ?? 'none')
      const session = { occupant, jid, full: jid.toString(), presence: readPresence(presence) }
      room.addSession(session)
      // Those of other servers know nothing of a restart.
      if (hall.isLocal(bare)) this.#awaited.set(session.full, [...(this.#awaited.get(session.full) ?? []), session])
    }
    if (rows.length === 0) return
    hall.log.info({ domain: hall.domain, occupants: rows.length }, 'rooms have their occupants again')
    this.#scope.timeout(hall.settings['return-within'], () => this.#giveUp())
  }

  /** A client is there again, and goes on with `session` if that is given. */
  cameBack(full: string, session?: Session): void {
    const awaited = this.#awaited.get(full)
    if (awaited === undefined) return
    this.#awaited.delete(full)
    // The rooms are told when it ends (RFC 6121 §4.6.3).
    if (session !== undefined) for (const { occupant } of awaited) (session.directed ??= new Set()).add(occupant.full)
  }

  isAwaited(session: RoomSession): boolean {
    return this.#awaited.get(session.full)?.includes(session) === true
  }

  #giveUp(): void {
    const awaited = [...this.#awaited.values()].flat()
    this.#awaited.clear()
    for (const session of awaited) {
      const room = this.#hall.rooms.get(Jid.parse(session.occupant.full).local)
      if (room?.sessions.get(session.full) !== session) continue
      leave(room, session)
      this.#hall.settle(room)
    }
  }
}

/** Who is in rooms now, as it is kept. */
export const occupantsOf = (rooms: Iterable<Room>): readonly OccupantRow[] =>
  [...rooms].flatMap((room) =>
    [...room.sessions.values()].map(({ full, occupant, presence }) => ({
      room: room.name,
      jid: full,
      nick: occupant.nick,
      role: occupant.role,
      presence: presence.toString(),
    })),
  )
