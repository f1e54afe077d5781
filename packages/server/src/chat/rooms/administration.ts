// What an administrator does with rooms: for the command line and the web.

import { Jid, StanzaError } from '@aviso/xmpp'
import * as v from 'valibot'
import { AccountError } from '../../accounts/errors.ts'
import { type Scope, serviceKey } from '../../kernel/scope.ts'
import { affiliate } from './affiliations.ts'
import { type Affiliated, type Affiliation, AFFILIATIONS, type Subject } from './contracts.ts'
import type { Hall } from './hall.ts'
import { endRoom, saveConfig } from './owner.ts'
import { readNick } from './nick.ts'
import type { Room } from './room.ts'
import { hatSchema, keptConfig, type RoomConfig, roomConfigSchema } from './room-config.ts'

/** The services that are up, by domain. */
export const RoomHalls = serviceKey<Map<string, Hall>>('chat-room-halls')

export interface RoomLine {
  readonly address: string
  readonly title: string
  readonly occupants: number
}

export interface RoomReport {
  readonly address: string
  readonly config: RoomConfig
  readonly subject: Subject | undefined
  readonly locked: boolean
  readonly affiliations: readonly Affiliated[]
  readonly occupants: readonly { readonly nick: string; readonly jid: string; readonly role: string }[]
}

/** A room as it is exported: what `RoomReport` tells, without who is there; its messages follow in pages. */
export interface ExportedRoom {
  readonly config: Partial<RoomConfig>
  readonly subject?: Subject | undefined
  readonly affiliations: readonly Affiliated[]
}

export interface ExportedMessage {
  readonly id: string
  readonly at: number
  readonly sender: string
  readonly xml: string
}

/** Methods reject with `AccountError`. */
export interface RoomAdmin {
  /** A page of rooms in the order of their names, hidden ones too. Without a domain: of the first service. */
  list(args: { readonly domain?: string; readonly after?: string }): Promise<readonly RoomLine[]>
  show(address: string): Promise<RoomReport>
  /** Makes a room that stays. */
  create(args: { readonly address: string; readonly owner: string; readonly title?: string }): Promise<RoomReport>
  destroy(args: { readonly address: string; readonly reason?: string; readonly venue?: string }): Promise<void>
  /** Changes settings, by their names. */
  configure(args: {
    readonly address: string
    readonly changes: Readonly<Record<string, unknown>>
  }): Promise<RoomReport>
  affiliate(args: {
    readonly address: string
    readonly jid: string
    readonly affiliation: string
    readonly nick?: string
    readonly reason?: string
    readonly hats?: Affiliated['hats']
  }): Promise<void>
  /** Messages behind the one with the id `after`. */
  messages(args: { readonly address: string; readonly after?: string }): Promise<readonly ExportedMessage[]>
  /** Makes the room anew; it stays, whatever it did before. */
  import(args: { readonly address: string; readonly room: ExportedRoom }): Promise<void>
  importMessages(args: { readonly address: string; readonly messages: readonly ExportedMessage[] }): Promise<void>
}

const PAGE = 500
const MESSAGES = 200

const affiliatedSchema = v.strictObject({
  jid: v.string(),
  affiliation: v.picklist(['owner', 'admin', 'member', 'none', 'outcast']),
  nick: v.optional(v.string(), ''),
  reason: v.optional(v.string(), ''),
  hats: v.optional(v.array(hatSchema), []),
})
const exportedSchema = v.strictObject({
  config: v.partial(roomConfigSchema),
  subject: v.optional(v.strictObject({ text: v.string(), nick: v.string(), at: v.number() })),
  affiliations: v.array(affiliatedSchema),
})
const messageSchema = v.strictObject({ id: v.string(), at: v.number(), sender: v.string(), xml: v.string() })

/** `rooms` gives the scope of the newest generation. */
export function createRoomAdmin(rooms: () => Scope): RoomAdmin {
  const hallOf = (domain: string): Hall => {
    const hall = rooms().find(RoomHalls)?.get(domain)
    if (hall === undefined) throw new AccountError('not-found', `there are no rooms at ${domain}`)
    return hall
  }
  const placeOf = (address: string): { readonly hall: Hall; readonly name: string } => {
    const jid = addressOf(address)
    return { hall: hallOf(jid.domain), name: jid.local }
  }
  const within = async <T>(address: string, act: (room: Room) => T | Promise<T>): Promise<T> => {
    const { hall, name } = placeOf(address)
    return told(async () => hall.using(name, act), address)
  }
  const inTurn = <T>(address: string, act: (room: Room) => T | Promise<T>): Promise<T> =>
    within(address, (room) => room.inTurn(() => act(room)))
  const make = async (address: string, room: v.InferOutput<typeof exportedSchema>): Promise<void> => {
    const { hall, name } = placeOf(address)
    if (!room.affiliations.some(({ affiliation }) => affiliation === 'owner'))
      throw new AccountError('invalid', 'a room needs an owner')
    const config = keptConfig(JSON.stringify(room.config), hall.settings)
    await told(async () => {
      const wish = { name, config, affiliations: room.affiliations, locked: false }
      const made = await hall.create(wish, async (now) => {
        if (room.subject === undefined) return
        await hall.store.append({ ...NO_MESSAGE, room: now.id, subject: JSON.stringify(room.subject) })
        now.subject = room.subject
      })
      if (!made) throw new AccountError('exists', `there is a room ${address}`)
    }, address)
  }
  return {
    async list({ domain, after = '' }) {
      const halls = rooms().find(RoomHalls)
      const first = domain ?? halls?.keys().next().value
      if (first === undefined) return []
      const hall = hallOf(first)
      const found = await hall.store.list({ all: true, max: PAGE, after, backwards: false })
      return found.rooms.map(({ name, title }) => ({
        address: `${name}@${hall.domain}`,
        title,
        occupants: hall.rooms.get(name)?.occupants.size ?? 0,
      }))
    },
    show: (address) => within(address, report),
    async create({ address, owner, title = '' }) {
      const affiliations = [parsed(affiliatedSchema, { jid: addressOf(owner).toString(), affiliation: 'owner' })]
      await make(address, { config: { title, persistent: true }, affiliations })
      return within(address, report)
    },
    destroy: ({ address, reason = '', venue = '' }) =>
      inTurn(address, (room) => endRoom(room, reason, venue === '' ? '' : addressOf(venue).toString())),
    configure: ({ address, changes }) =>
      inTurn(address, async (room) => {
        await saveConfig(room, parsed(roomConfigSchema, { ...room.config, ...changes }))
        return report(room)
      }),
    affiliate: ({ address, jid, affiliation, nick, reason = '', hats }) =>
      inTurn(address, async (room) => {
        const known: Affiliation | undefined = AFFILIATIONS.find((each) => each === affiliation)
        if (known === undefined)
          throw new AccountError('invalid', `an affiliation is one of ${AFFILIATIONS.join(', ')}`)
        const before = room.entryOf(Jid.tryParse(jid)?.bareString ?? addressOf(jid).toString())
        const own = nick === undefined ? before.nick : nick === '' ? '' : readNick(room.jid.withResource(nick).resource)
        const owner = own === '' ? undefined : room.reservedFor(own)
        if (owner !== undefined && owner !== before.jid)
          throw new AccountError('exists', `the nick ${own} is ${owner}'s`)
        await affiliate(room, [{ ...before, affiliation: known, reason, nick: own, hats: hats ?? before.hats }])
      }),
    messages: ({ address, after }) =>
      within(address, async ({ hall, id }) => {
        const page = { max: MESSAGES, backwards: false, after }
        const { messages } = await hall.store.query({ room: id, filter: {}, page })
        return messages.map(({ sender = '', ...message }) => ({ ...message, sender }))
      }),
    import: async ({ address, room }) => {
      const { config, ...rest } = parsed(exportedSchema, room)
      // Nobody is in it: one that does not stay would be gone before its messages come.
      await make(address, { config: { ...config, persistent: true }, ...rest })
    },
    importMessages: ({ address, messages }) =>
      within(address, async (room) => {
        for (const { id, at, sender, xml } of parsed(v.array(messageSchema), messages))
          await room.hall.store.append({
            ...NO_MESSAGE,
            room: room.id,
            archived: true,
            id,
            at,
            sender,
            xml,
            contact: room.bare,
            resource: Jid.tryParse(/ from='([^']*)'/.exec(xml)?.[1] ?? '')?.resource ?? '',
          })
      }),
  }
}

/** What an `append` is made of that says only something else. */
const NO_MESSAGE = {
  id: '',
  at: 0,
  contact: '',
  resource: '',
  sender: '',
  xml: '',
  oldest: 0,
  most: Number.MAX_SAFE_INTEGER,
  archived: false,
}

const report = (room: Room): RoomReport => ({
  address: room.bare,
  config: room.config,
  subject: room.subject,
  locked: room.locked,
  affiliations: [...room.affiliations.values()],
  occupants: [...room.occupants.values()].flatMap(({ nick, role, sessions }) =>
    sessions.map(({ full }) => ({ nick, jid: full, role })),
  ),
})

function addressOf(text: string): Jid {
  const jid = Jid.tryParse(text)
  if (jid === undefined || jid.local === '' || jid.isFull)
    throw new AccountError('invalid', `'${text}' is no address such as cafe@rooms.example.org`)
  return jid
}

function parsed<Schema extends v.GenericSchema>(schema: Schema, value: unknown): v.InferOutput<Schema> {
  const result = v.safeParse(schema, value)
  if (result.success) return result.output
  throw new AccountError(
    'invalid',
    result.issues.map((issue) => `${v.getDotPath(issue) ?? ''}: ${issue.message}`).join('; '),
  )
}

/** What rooms tell their users, as an administrator is told it. */
async function told<T>(act: () => Promise<T>, address: string): Promise<T> {
  try {
    return await act()
  } catch (error) {
    if (!(error instanceof StanzaError)) throw error
    if (error.condition === 'item-not-found' || error.condition === 'gone')
      throw new AccountError('not-found', `there is no room ${address}`, { cause: error })
    if (error.condition === 'conflict') throw new AccountError('in-use', error.text, { cause: error })
    throw new AccountError(error.type === 'wait' ? 'unavailable' : 'invalid', error.message, { cause: error })
  }
}
