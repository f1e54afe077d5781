// XEP-0045: Multi-User Chat

import { el, errorReply, type Jid, NS, StanzaError } from '@aviso/xmpp'
import { AccountError } from '../../accounts/errors.ts'
import { accountRooms } from '../../accounts/rooms.ts'
import { type Scope, serviceKey } from '../../kernel/scope.ts'
import { Limits } from '../../net/contracts.ts'
import {
  chatFeature,
  type Handled,
  type Host,
  type IqHandler,
  type IqRequest,
  type StanzaEvent,
} from '../core/contracts.ts'
import { type CommandLimits, COMMANDS, CommandSessions } from '../core/command-sessions.ts'
import { openService, openServices, type ServiceDomain, type ServicePlace } from '../core/service.ts'
import { createRoomAdmin, RoomHalls } from './administration.ts'
import { asStanzaError } from '../core/subscribing.ts'
import { changesAsked, listAsked } from './affiliations.ts'
import { cardAsked, setCard, VCARD } from './avatar.ts'
import { MODERATE, MUC, MUC_ADMIN, MUC_OWNER, RANK, type Tombstone } from './contracts.ts'
import { presenceAt } from './entering.ts'
import { Hall, mustBe } from './hall.ts'
import { commandAsked } from './hats.ts'
import { messageToRoom } from './invitations.ts'
import { cameBack, sayToAll, sayToOne } from './messages.ts'
import { moderate } from './moderation.ts'
import { configAsked, ownerAsks } from './owner.ts'
import { awayPresence, cleanPresence, leave, shown } from './presence.ts'
import { iqToOccupant } from './private-requests.ts'
import { REGISTER, register, registrationAsked } from './registration.ts'
import { archiveEnds, archiveQuery } from './room-archive.ts'
import type { Room } from './room.ts'
import { offerCommands } from './room-commands.ts'
import { describeRoom, itemsOfRoom, listRooms, mayKnow } from './rooms-disco.ts'
import { type Settings, settingsSchema } from './settings.ts'
import { queryForm } from '../archive/query.ts'

export const rooms = chatFeature({
  name: 'rooms',
  summary: 'Rooms where many talk with each other.',
  config: settingsSchema,

  async attach(host, settings, scope) {
    await openServices(scope, settings.domain, (place, own) => openRooms(host, place, settings, own))
    offerCommands(
      host,
      createRoomAdmin(() => scope),
    )
  },
})

async function openRooms(host: Host, place: ServicePlace, settings: Settings, scope: Scope): Promise<void> {
  const { domain } = place
  let isNew = false
  const hall = await scope.keep(serviceKey<Hall>(`chat-rooms ${domain}`), (life) => {
    isNew = true
    const made = new Hall(domain, host.store, life)
    life.defer(() => made.close())
    return made
  })
  const service: ServiceDomain = openService(scope, {
    ...place,
    name: settings.name,
    identities: [{ category: 'conference', type: 'text' }],
    message: (event) => message(hall, event),
    presence: (event) => presence(hall, event),
    iq: (event) => iq(hall, event),
    has: (event) => isOfRooms(hall, event),
    info: (request, node) =>
      request.to.local === '' ? undefined : hall.using(request.to.local, (room) => describeRoom(room, request, node)),
    items: (request, node) => {
      if (request.to.local === '') return node === undefined ? listRooms(hall, request) : undefined
      return hall.using(request.to.local, (room) => itemsOfRoom(room, request, node))
    },
  })
  scope.defer(hall.enter({ host, service, settings, limits: scope.find(Limits) }))
  service.disco.feature(MUC)
  const halls = scope.find(RoomHalls)
  halls?.set(domain, hall)
  scope.defer(() => void halls?.delete(domain))
  registerRequests(hall, service, settings, new CommandSessions(COMMAND_LIMITS, scope))
  // Those that outlive a restart are there before anybody is served, though their clients are away still.
  host.hooks.bound.on((session) => {
    if (session.woken) hall.returning.cameBack(session.full, session)
  })
  host.hooks.resumed.on((session) => hall.returning.cameBack(session.full, session))
  if (place.domain === place.parent) besideAccounts(host, hall, scope)
  if (isNew) await hall.returning.restore()
}

/** Rooms tell strangers no more of names that nobody has than accounts do: only who may make a room finds out. */
async function isOfRooms(hall: Hall, event: StanzaEvent): Promise<boolean> {
  const { stanza, to } = event
  const joins = stanza.name === 'presence' && stanza.get('type') === undefined && stanza.child('x', MUC) !== undefined
  return (joins && isCreator(hall, event)) || (await hall.knows(to.local))
}

/** Rooms and accounts of one domain: no two have the same name. */
function besideAccounts(host: Host, hall: Hall, scope: Scope): void {
  host.disco.feature(MUC)
  const accounts = scope.find(accountRooms)
  if (accounts === undefined) return
  scope.defer(
    accounts.register({
      name: `chat-rooms ${hall.domain}`,
      create: async ({ local, domain }) => {
        if (domain === hall.domain) hall.released(local)
      },
      admit: async ({ local, domain, address }) => {
        if (domain === hall.domain && !(await hall.cede(local)))
          throw new AccountError('exists', `there is a room ${address}`)
      },
    }),
  )
}

/** Forms of commands that wait to be filled in. */
const COMMAND_LIMITS: CommandLimits = { lifetime: 900_000, 'max-open': 1000, 'max-open-per-account': 10 }

/** To others, a room that is being set up is none. @throws StanzaError item-not-found */
function mustKnow(room: Room, who: Jid): void {
  if (!mayKnow(room, who.bareString)) throw StanzaError.of('item-not-found', 'there is no such room')
}

function registerRequests(hall: Hall, { iq }: ServiceDomain, { avatars }: Settings, commands: CommandSessions): void {
  const inRoom =
    (act: (room: Room, request: IqRequest) => ReturnType<IqHandler>): IqHandler =>
    (request) => {
      hall.begin()
      return hall.using(request.to.local, (room) => {
        mustKnow(room, request.from)
        return act(room, request)
      })
    }
  const inTurn = (act: (room: Room, request: IqRequest) => ReturnType<IqHandler>): IqHandler =>
    inRoom((room, request) => room.inTurn(() => act(room, request)))
  iq.get(MUC_ADMIN, 'query', ['address'], inRoom(listAsked))
  iq.set(MUC_ADMIN, 'query', ['address'], inTurn(changesAsked))
  iq.get(MUC_OWNER, 'query', ['address'], inRoom(configAsked))
  iq.set(MUC_OWNER, 'query', ['address'], inTurn(ownerAsks))
  iq.get(REGISTER, 'query', ['address'], inRoom(registrationAsked))
  iq.set(REGISTER, 'query', ['address'], inTurn(register))
  iq.get(
    NS.mam,
    'query',
    ['address'],
    inRoom((_room, request) => request.result(queryForm())),
  )
  iq.set(NS.mam, 'query', ['address'], inRoom(archiveQuery))
  iq.get(NS.mam, 'metadata', ['address'], inRoom(archiveEnds))
  iq.set(
    COMMANDS,
    'command',
    ['address'],
    inRoom((room, request) => commandAsked(commands, room, request)),
  )
  iq.set(MODERATE, 'moderate', ['address'], inRoom(moderate))
  iq.get(
    NS.ping,
    'ping',
    ['address'],
    inRoom((_room, request) => request.result()),
  )
  if (!avatars) return
  iq.get(VCARD, 'vCard', ['address'], inRoom(cardAsked))
  iq.set(VCARD, 'vCard', ['address'], inTurn(setCard))
}

function message(hall: Hall, event: StanzaEvent): void | Promise<void> {
  hall.begin()
  const { to, stanza, origin } = event
  const type = stanza.get('type')
  if (to.local === '') {
    if (type === 'error' || type === 'headline') return undefined
    throw StanzaError.of('service-unavailable')
  }
  if (type === 'error') return withThose(hall, event, cameBack)
  hall.returning.cameBack(origin.jid.toString(), origin.session)
  return hall.using(to.local, (room): void | Promise<void> => {
    mustKnow(room, origin.jid)
    if (to.isFull) return sayToOne(room, event)
    return type === 'groupchat' ? sayToAll(room, event) : messageToRoom(room, event)
  })
}

/** What concerns only those who are in a room now. */
function withThose(hall: Hall, event: StanzaEvent, act: (room: Room, event: StanzaEvent) => void): void {
  const room = hall.rooms.get(event.to.local)
  if (room !== undefined) act(room, event)
}

function presence(hall: Hall, event: StanzaEvent): void | Promise<void> {
  hall.begin()
  const { to, stanza, origin } = event
  const type = stanza.get('type')
  if (to.local === '') return undefined
  if (type === 'error') return withThose(hall, event, cameBack)
  if (type === 'unavailable') return withThose(hall, event, leaves)
  if (type === 'probe') return hall.using(to.local, (room) => probed(room, event))
  if (type === 'subscribe')
    return origin.reply(el('presence', { type: 'unsubscribed', from: to.bareString, to: origin.jid.bareString }))
  if (type !== undefined) return undefined
  hall.returning.cameBack(origin.jid.toString(), origin.session)
  try {
    if (hall.rooms.has(to.local)) return hall.using(to.local, (room) => presenceAt(room, event))
  } catch (error) {
    return turnAway(event, error)
  }
  return hall
    .load(to.local)
    .then((found) => enterLoaded(hall, event, found))
    .catch((error: unknown) => turnAway(event, error))
}

/** Refuses who wants to enter as XEP-0045 has it: clients know by the `x` that it is about rooms. */
function turnAway({ stanza, origin }: StanzaEvent, error: unknown): void {
  const known = asStanzaError(error)
  const reply = known instanceof StanzaError ? errorReply(stanza, known) : undefined
  if (reply === undefined) throw error
  origin.reply(reply.withChildren(el('x', { xmlns: MUC }), ...reply.children))
}

async function enterLoaded(hall: Hall, event: StanzaEvent, found: Room | Tombstone | undefined): Promise<void> {
  const { to, stanza, origin } = event
  if (found !== undefined) {
    const { name } = mustBe(found)
    await hall.using(name, (room) => presenceAt(room, event))
    return
  }
  if (to.resource === '') throw StanzaError.of('jid-malformed', 'a nick is needed')
  if (stanza.child('x', MUC) === undefined) throw StanzaError.of('item-not-found', 'you are not in this room')
  if (!isCreator(hall, event)) throw StanzaError.of('not-allowed', 'you may not make rooms here')
  hall.mayTake('room-creations', origin.jid.bareString)
  const owner = { jid: origin.jid.bareString, affiliation: 'owner' as const, nick: '', reason: '', hats: [] }
  const password = stanza.child('x', MUC)?.childText('password') ?? ''
  const config = { ...hall.usual(), password: password.slice(0, 200) }
  const wish = { name: to.local, config, affiliations: [owner], locked: hall.settings.lock }
  const made = await hall.create(wish, (room) => presenceAt(room, event, true))
  // Somebody else was faster.
  if (!made) await hall.using(to.local, (room) => presenceAt(room, event))
}

/** Who may make rooms. */
function isCreator({ settings }: Hall, { origin }: StanzaEvent): boolean {
  const account = origin.session?.account.account
  return {
    anybody: true,
    local: account !== undefined,
    admins: account?.role === 'admin',
  }[settings.create]
}

function leaves(room: Room, { stanza, origin }: StanzaEvent): void {
  const session = room.sessions.get(origin.jid.toString())
  if (session === undefined) return
  leave(room, session, { parting: cleanPresence(stanza) })
  room.hall.settle(room)
}

/** RFC 6121 §4.3: what is asked of an occupant; only those who belong to the room may ask. */
function probed(room: Room, { to, origin }: StanzaEvent): void {
  mustKnow(room, origin.jid)
  const bare = origin.jid.bareString
  const asker = room.sessions.get(origin.jid.toString())
  if (asker === undefined && room.rankOf(bare) < RANK.member)
    throw StanzaError.of('not-acceptable', 'you are not in this room')
  const open = room.config.publicJids || asker?.occupant.role === 'moderator'
  const occupant = room.occupants.get(to.resource)
  const receiver = origin.jid.toString()
  if (occupant !== undefined) {
    return origin.reply(shown(room, occupant, open).with({ to: receiver }))
  }
  const away = [...room.affiliations.values()].find(({ nick }) => nick !== '' && nick === to.resource)
  if (away === undefined) throw StanzaError.of('item-not-found', 'nobody here has this nick')
  origin.reply(awayPresence(room, away.jid, open).with({ to: receiver }))
}

/** IQs for occupants; those for rooms are registered. */
function iq(hall: Hall, event: StanzaEvent): Handled | undefined {
  const { to } = event
  if (to.local === '' || !to.isFull) return undefined
  hall.begin()
  const room = hall.rooms.get(to.local)
  // Who is in a room keeps it in memory: whoever asks is not in it.
  if (room === undefined) throw StanzaError.of('not-acceptable', 'you are not in this room')
  iqToOccupant(room, event)
  return 'handled'
}
