// XEP-0317: Hats, titles that somebody wears in a room: which of them there are, and who wears them, by commands (XEP-0050) at the room

import { createHash } from 'node:crypto'
import { type Element, Jid, StanzaError } from '@aviso/xmpp'
import * as v from 'valibot'
import type { CommandSessions } from '../core/command-sessions.ts'
import { finished, type Stage } from '../core/commands.ts'
import type { DiscoItem, IqRequest } from '../core/contracts.ts'
import { type Field, form, type Submission, table } from '../core/forms.ts'
import { actorOf, affiliate } from './affiliations.ts'
import { type Affiliated, type Hat, RANK } from './contracts.ts'
import { saveConfig } from './owner.ts'
import type { Room } from './room.ts'
import { hatSchema, MAX_HATS } from './room-config.ts'

const FORM = 'urn:xmpp:hats:commands'
const URI = 'hats#uri'
const TITLE = 'hats#title'
const HUE = 'hats#hue'
const WHO = 'hats#jid'
/** Hats that one person wears. */
const MAX_WORN = 20

const hatColumns = [
  { name: TITLE, label: 'Title' },
  { name: URI, label: 'URI' },
  { name: HUE, label: 'Hue' },
]
const rowOf = ({ title, uri, hue = '' }: Hat): readonly string[] => [title, uri, hue]

/** What is told, or what is filled in and then done. `insiders`: everybody who is in the room or belongs to it; else its owners and administrators. */
type HatCommand = { readonly name: string; readonly access: 'insiders' | 'admins' } & (
  { tell(room: Room): Element } | { form(room: Room): Element; change(room: Room, filled: Submission): Promise<void> }
)

const uriField = (room: Room): Field => ({
  name: URI,
  type: 'list-single',
  label: 'Hat',
  required: true,
  options: room.config.hats.map(({ uri, title }) => ({ value: uri, label: title })),
})
const whoField: Field = { name: WHO, type: 'jid-single', label: 'Address', required: true }

const COMMANDS_OF_HATS: ReadonlyMap<string, HatCommand> = new Map<string, HatCommand>([
  [
    `${FORM}:create`,
    {
      name: 'Create or change a hat',
      access: 'admins',
      form: () =>
        form({ title: 'Create or change a hat', formType: FORM }, [
          { name: TITLE, type: 'text-single', label: 'Title', required: true },
          { name: URI, type: 'text-single', label: 'URI', required: true },
          { name: HUE, type: 'text-single', label: 'Hue (0 to 360)' },
        ]),
      async change(room, filled) {
        const hue = filled.text(HUE)
        const wish = { uri: filled.text(URI) ?? '', title: filled.text(TITLE) ?? '', ...(hue !== undefined && { hue }) }
        const read = v.safeParse(hatSchema, wish)
        if (!read.success) throw StanzaError.of('not-acceptable', read.issues[0].message)
        const hat = read.output
        const others = room.config.hats.filter(({ uri }) => uri !== hat.uri)
        if (others.length >= MAX_HATS) throw StanzaError.of('resource-constraint', 'the room has too many hats')
        await saveHats(
          room,
          [...others, hat],
          (worn) => worn.map((each) => (each.uri === hat.uri ? hat : each)),
          hat.uri,
        )
      },
    },
  ],
  [
    `${FORM}:destroy`,
    {
      name: 'Destroy a hat',
      access: 'admins',
      form: (room) => form({ title: 'Destroy a hat', formType: FORM }, [uriField(room)]),
      async change(room, filled) {
        const { uri } = hatIn(room, filled)
        const left = room.config.hats.filter((hat) => hat.uri !== uri)
        await saveHats(room, left, (worn) => worn.filter((hat) => hat.uri !== uri), uri)
      },
    },
  ],
  [
    `${FORM}:list`,
    {
      name: 'List the hats',
      access: 'insiders',
      tell: (room) => table({ title: 'Hats' }, hatColumns, room.config.hats.map(rowOf)),
    },
  ],
  [
    `${FORM}:assign`,
    {
      name: 'Give a hat to somebody',
      access: 'admins',
      form: (room) => form({ title: 'Give a hat to somebody', formType: FORM }, [whoField, uriField(room)]),
      async change(room, filled) {
        const hat = hatIn(room, filled)
        const entry = room.entryOf(whoIn(filled))
        if (entry.affiliation === 'outcast') throw StanzaError.of('not-allowed', 'he is banned from this room')
        const others = entry.hats.filter(({ uri }) => uri !== hat.uri)
        if (others.length >= MAX_WORN) throw StanzaError.of('resource-constraint', 'nobody wears so many hats')
        await affiliate(room, [{ ...entry, hats: [...others, hat] }])
      },
    },
  ],
  [
    `${FORM}:unassign`,
    {
      name: 'Take a hat from somebody',
      access: 'admins',
      form: (room) => form({ title: 'Take a hat from somebody', formType: FORM }, [whoField, uriField(room)]),
      async change(room, filled) {
        const entry = room.entryOf(whoIn(filled))
        const left = entry.hats.filter(({ uri }) => uri !== filled.text(URI))
        if (left.length === entry.hats.length) throw StanzaError.of('item-not-found', 'he wears no such hat')
        await affiliate(room, [{ ...entry, hats: left }])
      },
    },
  ],
  [
    `${FORM}:list-assigned`,
    {
      name: 'List who wears which hat',
      access: 'admins',
      tell: (room) =>
        table(
          { title: 'Hats that are worn' },
          [{ name: WHO, label: 'Address' }, ...hatColumns],
          [...room.affiliations.values()].flatMap(({ jid, hats }) => hats.map((hat) => [jid, ...rowOf(hat)])),
        ),
    },
  ],
])

/** The room's hats are others now, and so are those that people wear. Told are those that wear `uri`. */
function saveHats(
  room: Room,
  hats: readonly Hat[],
  change: (worn: readonly Hat[]) => readonly Hat[],
  uri: string,
): Promise<void> {
  const wearers: readonly Affiliated[] = [...room.affiliations.values()]
    .filter((entry) => entry.hats.some((hat) => hat.uri === uri))
    .map((entry) => ({ ...entry, hats: change(entry.hats) }))
  return saveConfig(room, { ...room.config, hats: [...hats] }, wearers)
}

function hatIn(room: Room, filled: Submission): Hat {
  const wished = filled.text(URI)
  const hat = room.config.hats.find(({ uri }) => uri === wished)
  if (hat === undefined) throw StanzaError.of('item-not-found', 'the room has no such hat')
  return hat
}

function whoIn(filled: Submission): string {
  const jid = Jid.tryParse(filled.text(WHO) ?? '')
  if (jid === undefined || jid.local === '') throw StanzaError.of('jid-malformed', 'whose hat is it?')
  return jid.bareString
}

function mayRun(room: Room, { access }: HatCommand, iq: IqRequest): boolean {
  const { affiliation, occupant } = actorOf(room, iq)
  const rank = RANK[affiliation]
  if (access === 'admins') return rank >= RANK.admin
  return rank >= RANK.member || (occupant !== undefined && rank > RANK.outcast)
}

/** Runs a command of the room's; changes are made one after the other. @throws StanzaError item-not-found, forbidden */
export function commandAsked(sessions: CommandSessions, asked: Room, iq: IqRequest): Promise<Element> {
  const command = COMMANDS_OF_HATS.get(iq.payload.get('node') ?? '')
  if (command === undefined) throw StanzaError.of('item-not-found')
  const mustRun = (room: Room): void => {
    if (!mayRun(room, command, iq)) throw StanzaError.of('forbidden')
  }
  mustRun(asked)
  return sessions.answer(iq, iq.from.bareString, async (direct): Promise<Stage> => {
    if ('tell' in command) return finished(undefined, command.tell(asked))
    // Between the form and its answer the room may have been let go of, and who asked may be an administrator no more.
    const change = async (filled: Submission): Promise<Stage> => {
      await asked.hall.using(asked.name, (room) =>
        room.inTurn(() => {
          mustRun(room)
          return command.change(room, filled)
        }),
      )
      return finished()
    }
    return direct === undefined ? { form: command.form(asked), next: change } : change(direct)
  })
}

/** What somebody may run at the room (XEP-0050 §2.2). */
export const commandsFor = (room: Room, iq: IqRequest): readonly DiscoItem[] =>
  [...COMMANDS_OF_HATS]
    .filter(([, command]) => mayRun(room, command, iq))
    .map(([node, { name }]) => ({ jid: room.bare, node, name }))

/** By this clients know whether the hats that they know are still those of the room. */
export const hatsHash = ({ config: { hats } }: Room): string =>
  createHash('sha1')
    .update(
      hats
        .map(({ uri }) => uri)
        .toSorted()
        .join('\n'),
    )
    .digest('hex')
