// XEP-0060 §16.4.4: what can be set for a node. Store workers import this file: it must stay light.

export type AccessModel = 'open' | 'presence' | 'roster' | 'authorize' | 'whitelist'

export interface NodeConfig {
  readonly title: string
  readonly description: string
  readonly type: string
  readonly accessModel: AccessModel
  readonly rosterGroups: readonly string[]
  readonly publishModel: 'publishers' | 'subscribers' | 'open'
  readonly persist: boolean
  /** `max`: as many as the server keeps. */
  readonly maxItems: number | 'max'
  /** Seconds; `max`: for ever. */
  readonly itemExpire: number | 'max'
  /** Octets. */
  readonly maxPayload: number | 'max'
  readonly sendLast: 'never' | 'on_sub' | 'on_sub_and_presence'
  readonly deliver: boolean
  readonly payloads: boolean
  readonly notifyRetract: boolean
  readonly notifyDelete: boolean
  readonly notifyConfig: boolean
  readonly notificationType: 'headline' | 'normal'
  readonly itemReply: 'owner' | 'publisher' | 'none'
  /** Subscriptions are taken. */
  readonly subscribe: boolean
}

/** What the server allows. */
export interface ConfigLimits {
  readonly maxItems: number
  /** Octets. */
  readonly maxPayload: number
}

/** A field of a form, as it came. */
export type GivenField = readonly [name: string, values: readonly string[]]

export type FieldKind = 'boolean' | 'list-single' | 'text-multi' | 'text-single'

export interface ConfigField {
  readonly name: string
  readonly kind: FieldKind
  readonly label: string
  readonly options: readonly string[]
  /** What the values set; undefined where they make no sense. */
  read(values: readonly string[]): Partial<NodeConfig> | undefined
  write(config: NodeConfig): readonly string[]
}

interface Codec<T> {
  readonly kind: FieldKind
  readonly options?: readonly string[]
  read(values: readonly string[]): T | undefined
  write(value: T): readonly string[]
}

const MAX_TEXT = 1000
const MAX_GROUPS = 100

const single = <T>(kind: FieldKind, read: (text: string) => T | undefined, options?: readonly string[]): Codec<T> => ({
  kind,
  ...(options && { options }),
  read: ([text = '', ...more]) => (more.length > 0 ? undefined : read(text.trim())),
  write: (value) => (value === '' ? [] : [String(value)]),
})

const flag: Codec<boolean> = {
  ...single('boolean', (text) =>
    text === '1' || text === 'true' ? true : text === '0' || text === 'false' ? false : undefined,
  ),
  write: (value) => [value ? '1' : '0'],
}
const text = single('text-single', (value) => (value.length <= MAX_TEXT ? value : undefined))
const number = single('text-single', (value): number | 'max' | undefined =>
  value === 'max' ? 'max' : /^[1-9]\d{0,9}$/.test(value) ? Number(value) : undefined,
)
const choice = <T extends string>(...options: readonly T[]): Codec<T> =>
  single('list-single', (value) => options.find((option) => option === value), options)
const lines: Codec<readonly string[]> = {
  kind: 'text-multi',
  read: (values) =>
    values.length <= MAX_GROUPS && values.every((value) => value.length <= MAX_TEXT) ? [...new Set(values)] : undefined,
  write: (value) => value,
}

const field = <K extends keyof NodeConfig>(
  key: K,
  name: string,
  label: string,
  codec: Codec<NodeConfig[K]>,
): ConfigField => ({
  name: `pubsub#${name}`,
  kind: codec.kind,
  label,
  options: codec.options ?? [],
  read(values) {
    const value = codec.read(values)
    return value === undefined ? undefined : { [key]: value }
  },
  write: (config) => codec.write(config[key]),
})

export const CONFIG_FIELDS: readonly ConfigField[] = [
  field('title', 'title', 'A name for the node', text),
  field('description', 'description', 'What the node is for', text),
  field('type', 'type', 'The type of its content, usually a namespace', text),
  field(
    'accessModel',
    'access_model',
    'Who may subscribe and read',
    choice('open', 'presence', 'roster', 'authorize', 'whitelist'),
  ),
  field('rosterGroups', 'roster_groups_allowed', 'Roster groups that may subscribe and read', lines),
  field('publishModel', 'publish_model', 'Who may publish', choice('publishers', 'subscribers', 'open')),
  field('persist', 'persist_items', 'Keep items', flag),
  field('maxItems', 'max_items', 'How many items are kept', number),
  field('itemExpire', 'item_expire', 'Seconds after which an item goes', number),
  field('maxPayload', 'max_payload_size', 'How many octets an item may have', number),
  field(
    'sendLast',
    'send_last_published_item',
    'When the last item is sent',
    choice('never', 'on_sub', 'on_sub_and_presence'),
  ),
  field('deliver', 'deliver_notifications', 'Tell subscribers what happens', flag),
  field('payloads', 'deliver_payloads', 'Tell them the content of items, too', flag),
  field('notifyRetract', 'notify_retract', 'Tell when items are taken back', flag),
  field('notifyDelete', 'notify_delete', 'Tell when the node is deleted', flag),
  field('notifyConfig', 'notify_config', 'Tell when the configuration changes', flag),
  field('notificationType', 'notification_type', 'The type of messages', choice('headline', 'normal')),
  field('itemReply', 'itemreply', 'Whose address is told with an item', choice('owner', 'publisher', 'none')),
  field('subscribe', 'subscribe', 'Take subscriptions', flag),
]

const BY_NAME = new Map(CONFIG_FIELDS.map((each) => [each.name, each]))

/** What the server cannot do; clients that fill in whole forms send them switched off. */
const ONLY: ReadonlyMap<string, readonly string[]> = new Map([
  ['pubsub#node_type', ['leaf']],
  ['pubsub#notify_sub', ['0', 'false']],
  ['pubsub#presence_based_delivery', ['0', 'false']],
  ['pubsub#purge_offline', ['0', 'false']],
  ['pubsub#tempsub', ['0', 'false']],
])

/** A form that asks for what cannot be had; the message names the field. */
export class ConfigProblem extends Error {}

/** Reads the fields of a form, FORM_TYPE apart. @throws ConfigProblem */
export function readConfig(fields: readonly GivenField[], limits: ConfigLimits): Partial<NodeConfig> {
  let config: Partial<NodeConfig> = {}
  const seen = new Set<string>()
  for (const [name, values] of fields) {
    const shown = name.slice(0, 100)
    if (seen.has(name)) throw new ConfigProblem(`${shown} is given twice`)
    seen.add(name)
    const only = ONLY.get(name)
    if (only !== undefined) {
      if (!only.includes(values[0] ?? '')) throw new ConfigProblem(`${shown} can only be ${only[0] ?? ''}`)
      continue
    }
    const known = BY_NAME.get(name)
    if (known === undefined) throw new ConfigProblem(`${shown} is not known`)
    const value = known.read(values)
    if (value === undefined) throw new ConfigProblem(`${shown} cannot be that`)
    config = { ...config, ...value }
  }
  if (config.maxItems !== undefined && config.maxItems !== 'max' && config.maxItems > limits.maxItems)
    throw new ConfigProblem(`pubsub#max_items can be at most ${limits.maxItems}`)
  if (config.maxPayload !== undefined && config.maxPayload !== 'max' && config.maxPayload > limits.maxPayload)
    throw new ConfigProblem(`pubsub#max_payload_size can be at most ${limits.maxPayload}`)
  return config
}

/** How many items of that node are kept. */
export const keptItems = (config: NodeConfig, limits: ConfigLimits): number =>
  config.persist ? Math.min(config.maxItems === 'max' ? limits.maxItems : config.maxItems, limits.maxItems) : 0

/** How many octets the payload of an item may have. */
export const payloadOctets = (config: NodeConfig, limits: ConfigLimits): number =>
  config.maxPayload === 'max' ? limits.maxPayload : Math.min(config.maxPayload, limits.maxPayload)

/** With `max` as the number that it stands for. */
const effective = (config: NodeConfig, limits: ConfigLimits): NodeConfig => ({
  ...config,
  maxItems: Math.min(config.maxItems === 'max' ? limits.maxItems : config.maxItems, limits.maxItems),
  maxPayload: payloadOctets(config, limits),
  rosterGroups: config.rosterGroups.toSorted(),
})

/** §7.1.5: the name of the first field that is wanted otherwise; undefined where all are as wanted. */
export function unmet(config: NodeConfig, wanted: Partial<NodeConfig>, limits: ConfigLimits): string | undefined {
  const is = effective(config, limits)
  const shall = effective({ ...config, ...wanted }, limits)
  const differs = (each: ConfigField): boolean => JSON.stringify(each.write(is)) !== JSON.stringify(each.write(shall))
  return CONFIG_FIELDS.find(differs)?.name
}

/** The configuration of nodes where nothing else is said. */
export const DEFAULT_CONFIG: NodeConfig = {
  title: '',
  description: '',
  type: '',
  accessModel: 'open',
  rosterGroups: [],
  publishModel: 'publishers',
  persist: true,
  maxItems: 'max',
  itemExpire: 'max',
  maxPayload: 'max',
  sendLast: 'on_sub',
  deliver: true,
  payloads: true,
  notifyRetract: true,
  notifyDelete: true,
  notifyConfig: false,
  notificationType: 'headline',
  itemReply: 'none',
  subscribe: true,
}

/** XEP-0163 §3: of personal events, contacts get the last one. */
export const PERSONAL_CONFIG: NodeConfig = {
  ...DEFAULT_CONFIG,
  accessModel: 'presence',
  maxItems: 1,
  sendLast: 'on_sub_and_presence',
}
