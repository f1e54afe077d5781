// XEP-0045 §10.2, §16.5.3: what the owners of a room may say about it, as a form and as it is kept.

import { type Element, StanzaError } from '@aviso/xmpp'
import * as v from 'valibot'
import { type Field, form, type Submission } from '../core/forms.ts'
import { MUC } from './contracts.ts'
import type { RoomMarks } from './rows.ts'
import { BROADCAST_ROLES, PRIVATE_MESSAGES, type Settings } from './settings.ts'

const text = (most: number) => v.pipe(v.string(), v.maxLength(most))
const whole = (most: number) => v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(most))

/** XEP-0317: the most hats that a room may have. */
export const MAX_HATS = 50

export const hatSchema = v.strictObject({
  uri: v.pipe(v.string(), v.minLength(1), v.maxLength(500), v.regex(/^[^\s<>]+$/u, 'a URI is expected')),
  title: v.pipe(v.string(), v.trim(), v.minLength(1, 'a title is expected'), v.maxLength(100)),
  /** XEP-0392 §5: an angle, in degrees. */
  hue: v.optional(
    v.pipe(
      v.string(),
      v.regex(/^\d{1,3}(?:\.\d{1,12})?$/, 'a hue is an angle'),
      v.check((text) => Number(text) <= 360, 'a hue is an angle of 360 degrees at most'),
    ),
  ),
})

/** A room's own settings, as they are kept, exported and imported. */
export const roomConfigSchema = v.strictObject({
  title: text(200),
  description: text(2000),
  language: text(35),
  persistent: v.boolean(),
  public: v.boolean(),
  membersOnly: v.boolean(),
  memberInvites: v.boolean(),
  moderated: v.boolean(),
  publicJids: v.boolean(),
  changeSubject: v.boolean(),
  password: text(200),
  historyLength: whole(10_000),
  broadcast: v.array(v.picklist(BROADCAST_ROLES)),
  privateMessages: v.picklist(PRIVATE_MESSAGES),
  /** 0: as many as the service allows. */
  maxOccupants: whole(1_000_000),
  archive: v.boolean(),
  /** Days; 0: as long as the service keeps them. */
  archiveDays: whole(100_000),
  /** Seconds. */
  slowMode: whole(86_400),
  /** Those that there are to be given. */
  hats: v.pipe(v.array(hatSchema), v.maxLength(MAX_HATS)),
})
export type RoomConfig = v.InferOutput<typeof roomConfigSchema>

export const usualConfig = ({ defaults, 'max-history': most }: Settings): RoomConfig => ({
  title: '',
  description: '',
  language: defaults.language,
  persistent: defaults.persistent,
  public: defaults.public,
  membersOnly: defaults['members-only'],
  memberInvites: defaults['member-invites'],
  moderated: defaults.moderated,
  publicJids: defaults['public-jids'],
  changeSubject: defaults['change-subject'],
  password: '',
  historyLength: Math.min(defaults['history-length'], most),
  broadcast: defaults['presence-broadcast'],
  privateMessages: defaults['private-messages'],
  maxOccupants: 0,
  archive: defaults.archive,
  archiveDays: 0,
  slowMode: defaults['slow-mode'],
  hats: [],
})

/** What was kept by another version lacks what is new, and has what is no more. */
export function keptConfig(kept: string, settings: Settings): RoomConfig {
  const usual = usualConfig(settings)
  const found: unknown = JSON.parse(kept)
  const known = Object.entries(typeof found === 'object' && found !== null ? found : {})
  const merged = { ...usual, ...Object.fromEntries(known.filter(([key]) => Object.hasOwn(usual, key))) }
  const parsed = v.safeParse(roomConfigSchema, merged)
  return parsed.success ? parsed.output : usual
}

/** As they are kept. */
export const marksOf = (config: RoomConfig): RoomMarks => ({
  config: JSON.stringify(config),
  title: config.title,
  listed: config.public,
  persistent: config.persistent,
})

const CONFIG = `${MUC}#roomconfig`

type KeyOf<T> = { [Key in keyof RoomConfig]: RoomConfig[Key] extends T ? Key : never }[keyof RoomConfig]

type FormField =
  | { readonly kind: 'heading'; readonly label: string }
  | {
      readonly kind: 'text'
      readonly name: string
      readonly key: KeyOf<string>
      readonly type: 'text-single' | 'text-multi'
      readonly label: string
    }
  | { readonly kind: 'flag'; readonly name: string; readonly key: KeyOf<boolean>; readonly label: string }
  | { readonly kind: 'number'; readonly name: string; readonly key: KeyOf<number>; readonly label: string }

const FIELDS: readonly FormField[] = [
  { kind: 'heading', label: 'Room information' },
  { kind: 'text', name: 'muc#roomconfig_roomname', key: 'title', type: 'text-single', label: 'Name' },
  { kind: 'text', name: 'muc#roomconfig_roomdesc', key: 'description', type: 'text-single', label: 'Description' },
  { kind: 'text', name: 'muc#roomconfig_lang', key: 'language', type: 'text-single', label: 'Language, such as en' },
  { kind: 'flag', name: 'muc#roomconfig_publicroom', key: 'public', label: 'Listed among the rooms' },
  { kind: 'flag', name: 'muc#roomconfig_persistentroom', key: 'persistent', label: 'Stays when nobody is in it' },
  { kind: 'heading', label: 'Access and invitations' },
  { kind: 'flag', name: 'muc#roomconfig_membersonly', key: 'membersOnly', label: 'Only for members' },
  { kind: 'flag', name: 'muc#roomconfig_allowinvites', key: 'memberInvites', label: 'Members may invite others' },
  {
    kind: 'number',
    name: 'muc#roomconfig_maxusers',
    key: 'maxOccupants',
    label: 'Most people (0: no limit of its own)',
  },
  { kind: 'heading', label: 'Who may do what' },
  { kind: 'flag', name: 'muc#roomconfig_moderatedroom', key: 'moderated', label: 'Only those with voice may speak' },
  {
    kind: 'flag',
    name: 'muc#roomconfig_changesubject',
    key: 'changeSubject',
    label: 'Everybody may change the subject',
  },
  {
    kind: 'number',
    name: 'muc#roomconfig_slow_mode_duration',
    key: 'slowMode',
    label: 'Seconds between two messages (0: no slow mode)',
  },
  { kind: 'heading', label: 'History' },
  { kind: 'flag', name: 'muc#roomconfig_enablearchiving', key: 'archive', label: 'Messages are archived' },
  {
    kind: 'number',
    name: 'urn:aviso:rooms#archive_days',
    key: 'archiveDays',
    label: 'Days that messages are kept (0: as the server does)',
  },
  {
    kind: 'number',
    name: 'muc#roomconfig_historylength',
    key: 'historyLength',
    label: 'Messages that are shown to who enters',
  },
]

const PASSWORD_ON = 'muc#roomconfig_passwordprotectedroom'
const PASSWORD = 'muc#roomconfig_roomsecret'
const WHOIS = 'muc#roomconfig_whois'
const BROADCAST = 'muc#roomconfig_presencebroadcast'
const PRIVATE = 'muc#roomconfig_allowpm'
export const OWNERS = 'muc#roomconfig_roomowners'
export const ADMINS = 'muc#roomconfig_roomadmins'
/** Of some clients, and of Prosody's. */
const HISTORY_ALIASES = ['muc#roomconfig_historylength', 'muc#maxhistoryfetch', 'muc#roomconfig_maxhistoryfetch']
const INVITES_ALIASES = ['muc#roomconfig_allowinvites', '{http://prosody.im/protocol/muc}roomconfig_allowmemberinvites']

export interface Officers {
  readonly owners: readonly string[]
  readonly admins: readonly string[]
}

/** The form that an owner is to fill in. */
export function configForm(config: RoomConfig, room: string, { owners, admins }: Officers): Element {
  const fields: Field[] = FIELDS.map((field): Field => {
    if (field.kind === 'heading') return { type: 'fixed', values: [field.label] }
    const { name, key, label } = field
    if (field.kind === 'flag') return { name, label, type: 'boolean', values: [config[field.key] ? '1' : '0'] }
    return { name, label, type: field.kind === 'text' ? field.type : 'text-single', values: [String(config[key])] }
  })
  fields.push(
    { name: PASSWORD_ON, type: 'boolean', label: 'A password is needed', values: [config.password === '' ? '0' : '1'] },
    {
      name: PASSWORD,
      type: 'text-private',
      label: 'Password',
      values: config.password === '' ? [] : [config.password],
    },
    {
      name: WHOIS,
      type: 'list-single',
      label: 'Who sees real addresses',
      values: [config.publicJids ? 'anyone' : 'moderators'],
      options: [
        { value: 'moderators', label: 'Moderators' },
        { value: 'anyone', label: 'Everybody' },
      ],
    },
    {
      name: BROADCAST,
      type: 'list-multi',
      label: 'Whose presence is shown',
      values: config.broadcast,
      options: BROADCAST_ROLES.map((value) => ({ value, label: BROADCAST_LABELS[value] })),
    },
    {
      name: PRIVATE,
      type: 'list-single',
      label: 'Who may send private messages',
      values: [config.privateMessages],
      options: PRIVATE_MESSAGES.map((value) => ({ value, label: PRIVATE_LABELS[value] })),
    },
    { name: ADMINS, type: 'jid-multi', label: 'Administrators', values: admins },
    { name: OWNERS, type: 'jid-multi', label: 'Owners', values: owners },
  )
  return form({ title: `Configuration of ${room}`, formType: CONFIG }, fields)
}

const BROADCAST_LABELS: Readonly<Record<(typeof BROADCAST_ROLES)[number], string>> = {
  moderator: 'Moderators',
  participant: 'Participants',
  visitor: 'Visitors',
  none: 'Members that are away',
}

const PRIVATE_LABELS: Readonly<Record<(typeof PRIVATE_MESSAGES)[number], string>> = {
  anyone: 'Everybody',
  participants: 'Those with voice',
  moderators: 'Only moderators, and others to them',
  affiliated: 'Members',
  none: 'Nobody, except with moderators',
}

/** What the one who fills in the form may decide. */
export interface ConfigRights {
  readonly persistent: boolean
  readonly public: boolean
  readonly maxHistory: number
  readonly maxOccupants: number
}

const refuse = (why: string): StanzaError => StanzaError.of('not-acceptable', why)

/** The settings after a form was filled in; fields that are missing stay as they were, unknown ones say nothing. @throws StanzaError not-acceptable */
export function submittedConfig(config: RoomConfig, filled: Submission, rights: ConfigRights): RoomConfig {
  if (filled.formType !== undefined && filled.formType !== CONFIG) throw refuse('this is not the form')
  const next: Record<string, unknown> = { ...config }
  for (const field of FIELDS) {
    if (field.kind === 'heading') continue
    const name = namesOf(field.name).find((each) => filled.has(each))
    if (name === undefined) continue
    if (field.kind === 'text') next[field.key] = filled.list(name).join('\n')
    else if (field.kind === 'flag') next[field.key] = flagIn(filled, name)
    else next[field.key] = numberIn(filled, name)
  }
  if (filled.has(WHOIS)) next.publicJids = choice(filled, WHOIS, ['moderators', 'anyone']) === 'anyone'
  if (filled.has(PRIVATE)) next.privateMessages = choice(filled, PRIVATE, PRIVATE_MESSAGES)
  if (filled.has(BROADCAST)) {
    const roles = filled.list(BROADCAST)
    if (!roles.every((role) => BROADCAST_ROLES.some((known) => known === role)))
      throw refuse(`${BROADCAST}: no such role`)
    next.broadcast = [...new Set(roles)]
  }
  next.password = passwordIn(config, filled)
  const parsed = v.safeParse(roomConfigSchema, next)
  if (!parsed.success)
    throw refuse(parsed.issues.map((issue) => `${v.getDotPath(issue) ?? ''}: ${issue.message}`).join('; '))
  const result = parsed.output
  if (result.persistent && !config.persistent && !rights.persistent) throw refuse('rooms here do not stay')
  if (result.public && !config.public && !rights.public) throw refuse('rooms here are not listed')
  if (result.historyLength > rights.maxHistory) throw refuse(`the history has ${rights.maxHistory} messages at most`)
  if (result.maxOccupants > rights.maxOccupants) throw refuse(`a room holds ${rights.maxOccupants} people at most`)
  return result
}

const namesOf = (name: string): readonly string[] =>
  name === HISTORY_ALIASES[0] ? HISTORY_ALIASES : name === INVITES_ALIASES[0] ? INVITES_ALIASES : [name]

function passwordIn(config: RoomConfig, filled: Submission): string {
  const wanted = filled.has(PASSWORD_ON) ? flagIn(filled, PASSWORD_ON) : undefined
  const secret = filled.has(PASSWORD) ? (filled.text(PASSWORD) ?? '') : undefined
  if (wanted === false) return ''
  if (wanted === undefined) return secret ?? config.password
  const password = secret ?? config.password
  if (password === '') throw refuse('a password is wanted, but there is none')
  return password
}

function flagIn(filled: Submission, name: string): boolean {
  const [value = '0', ...others] = filled.list(name)
  if (others.length > 0 || !/^(?:0|1|true|false)$/.test(value)) throw refuse(`${name}: neither true nor false`)
  return value === '1' || value === 'true'
}

function numberIn(filled: Submission, name: string): number {
  const value = filled.text(name)?.trim() ?? '0'
  // Some forms have `none` for no limit (§16.5.3).
  if (value === 'none') return 0
  if (!/^\d{1,9}$/.test(value)) throw refuse(`${name}: a whole number is expected`)
  return Number(value)
}

function choice<T extends string>(filled: Submission, name: string, choices: readonly T[]): T {
  const value = filled.text(name)
  const found = choices.find((each) => each === value)
  if (found === undefined) throw refuse(`${name}: expected one of ${choices.join(', ')}`)
  return found
}
