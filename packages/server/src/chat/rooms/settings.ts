// What an administrator may say about rooms.

import * as v from 'valibot'
import { duration, size } from '../../kernel/units.ts'
import { serviceDomain } from '../core/service.ts'

const flag = (usual: boolean, what: string) => v.optional(v.pipe(v.boolean(), v.description(what)), usual)
const count = (usual: number, least: number, what: string) =>
  v.optional(v.pipe(v.number(), v.integer(), v.minValue(least), v.description(what)), usual)

export const BROADCAST_ROLES = ['moderator', 'participant', 'visitor', 'none'] as const
export const PRIVATE_MESSAGES = ['anyone', 'participants', 'moderators', 'affiliated', 'none'] as const

const broadcastRoles = v.pipe(
  v.array(v.picklist(BROADCAST_ROLES)),
  v.description('of which roles the presence is shown to all; `none` shows affiliated people that are away'),
)

const defaults = v.strictObject({
  public: flag(false, 'listed among the rooms'),
  persistent: flag(false, 'stays when the last one leaves'),
  'members-only': flag(false, 'only members may enter'),
  'member-invites': flag(false, 'members may invite into a members-only room'),
  moderated: flag(false, 'who has no affiliation may only listen, until a moderator gives him voice'),
  'public-jids': flag(false, 'everybody sees the real addresses, not only moderators'),
  'change-subject': flag(false, 'participants may change the subject'),
  'history-length': count(20, 0, 'messages that are shown to who enters'),
  language: v.optional(
    v.pipe(v.string(), v.maxLength(35), v.description('the language that is spoken, as in xml:lang')),
    '',
  ),
  'presence-broadcast': v.optional(broadcastRoles, ['moderator', 'participant', 'visitor']),
  'private-messages': v.optional(
    v.pipe(v.picklist(PRIVATE_MESSAGES), v.description('who may send private messages to occupants')),
    'anyone',
  ),
  archive: flag(true, 'messages are kept in the archive of the room'),
  'slow-mode': count(0, 0, 'seconds between two messages of who is no moderator; 0: none'),
})

export const settingsSchema = v.strictObject({
  domain: serviceDomain('rooms.{domain}', 'where the rooms are'),
  name: v.optional(v.pipe(v.string(), v.description('the name of the service, as clients show it')), 'Rooms'),
  create: v.optional(
    v.pipe(
      v.picklist(['local', 'anybody', 'admins']),
      v.description('who may make rooms: accounts of this server, people of other servers too, or administrators only'),
    ),
    'local',
  ),
  'max-rooms': count(100_000, 1, 'rooms of one service'),
  'rooms-in-memory': count(100, 0, 'rooms that are kept in memory though nobody is in them'),
  'max-occupants': count(5000, 1, 'people in one room'),
  'max-affiliations': count(10_000, 1, 'owners, administrators, members and outcasts of one room'),
  'max-history': count(200, 0, 'the most messages that a room may show to who enters'),
  'allow-persistent': flag(true, 'owners may make rooms that stay; administrators always may'),
  'allow-public': flag(true, 'owners may have their rooms listed; administrators always may'),
  lock: flag(true, 'a new room is locked until its owner has configured it (XEP-0045 §10.1)'),
  'lock-timeout': v.pipe(duration('5m'), v.description('how long a new room may be locked; then it goes')),
  'admins-are-owners': flag(false, 'administrators of the server are owners of each room'),
  'register-unaffiliated': flag(false, 'who has no affiliation may reserve a nick, and becomes a member by it'),
  'enforce-nicks': flag(false, 'who has reserved a nick may use no other one'),
  'look-alikes': v.optional(
    v.pipe(v.picklist(['refuse', 'allow']), v.description("nicks that look like another occupant's")),
    'refuse',
  ),
  tombstones: v.pipe(duration('31d'), v.description('how long the address of a destroyed room is not given again')),
  avatars: flag(true, 'rooms may have a picture'),
  'max-avatar': v.pipe(size('128KiB'), v.description('how big the card of a room, picture included, may be')),
  'max-affiliation-changes': count(500, 1, 'changes in one request'),
  notify: v.optional(
    v.pipe(
      v.picklist(['mentions', 'all', 'nothing']),
      v.description('of which messages members of this server that are not in the room are woken, by `push`'),
    ),
    'mentions',
  ),
  'archive-keep': v.pipe(duration('365d'), v.description('how long messages of rooms are kept at most')),
  'archive-max-messages': count(1_000_000, 1, 'messages that are kept of one room; the oldest go'),
  'archive-page': count(50, 1, 'messages that a client is sent that does not say how many'),
  'archive-max-page': count(250, 1, 'messages that a client is sent at once'),
  'return-within': v.pipe(
    duration('10m'),
    v.description('how long the places of clients are kept that were in a room when the server stopped'),
  ),
  defaults: v.optional(defaults, {}),
})

export type Settings = v.InferOutput<typeof settingsSchema>
