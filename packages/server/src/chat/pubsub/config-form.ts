// XEP-0060 §8.2, §6.3: the forms of nodes and of subscriptions

import { type Element, StanzaError } from '@aviso/xmpp'
import { type Field, form, FORMS, result } from '../core/forms.ts'
import { pubsubError, unsupported } from './errors.ts'
import { META_DATA, NODE_CONFIG, SUBSCRIBE_OPTIONS } from './names.ts'
import {
  CONFIG_FIELDS,
  type ConfigLimits,
  ConfigProblem,
  type GivenField,
  type NodeConfig,
  readConfig,
} from './node-config.ts'
import type { NodeFacts, Subscription } from './rows.ts'

/** The form of a configuration, to be filled in or as it is now. */
export const configForm = (config: NodeConfig, kind: 'form' | 'result' = 'form'): Element => {
  const fields = CONFIG_FIELDS.map(({ name, kind: type, label, options, write }): Field => ({
    name,
    type,
    label,
    values: write(config),
    options: options.map((value) => ({ value })),
  }))
  return (kind === 'form' ? form : result)({ formType: NODE_CONFIG }, fields)
}

/** The fields of the form in `parent`, FORM_TYPE apart; undefined where there is none, or it was cancelled. @throws StanzaError */
export function fieldsOf(parent: Element, formType: string): readonly GivenField[] | undefined {
  const x = parent.child('x', FORMS)
  if (x === undefined) return undefined
  if (x.get('type') === 'cancel') return undefined
  if (x.get('type') !== 'submit') throw StanzaError.of('bad-request', 'the form is to be submitted')
  const fields = x
    .childrenNamed('field')
    .map((field): GivenField => [field.get('var') ?? '', field.childrenNamed('value').map((value) => value.text())])
  const types = fields.filter(([name]) => name === 'FORM_TYPE')
  // Clients are known to leave it away; another one is another form.
  if (types.length > 1 || types.some(([, values]) => values[0] !== formType))
    throw StanzaError.of('bad-request', `the form is to be of the type ${formType}`)
  return fields.filter(([name]) => name !== 'FORM_TYPE')
}

/** What a form sets. @throws StanzaError not-acceptable, or feature-not-implemented for collections */
export function configOf(fields: readonly GivenField[], limits: ConfigLimits): Partial<NodeConfig> {
  if (fields.some(([name, values]) => name === 'pubsub#node_type' && values[0] === 'collection'))
    throw unsupported('collections')
  try {
    return readConfig(fields, limits)
  } catch (error) {
    if (error instanceof ConfigProblem) throw StanzaError.of('not-acceptable', error.message)
    throw error
  }
}

/** §5.4: what is told of a node to those who may know of it. */
export const metaData = (
  { config, creator, created }: NodeFacts,
  subscribers: number,
  owners: readonly string[],
): Element =>
  result({ formType: META_DATA }, [
    ...CONFIG_FIELDS.filter(({ name }) => TOLD.has(name)).map(({ name, kind: type, write }): Field => ({
      name,
      type,
      values: write(config),
    })),
    { name: 'pubsub#creation_date', type: 'text-single', values: [new Date(created).toISOString()] },
    { name: 'pubsub#creator', type: 'text-single', values: [creator] },
    { name: 'pubsub#owner', type: 'text-multi', values: owners },
    { name: 'pubsub#num_subscribers', type: 'text-single', values: [String(subscribers)] },
  ])

const TOLD: ReadonlySet<string> = new Set(
  ['title', 'description', 'type', 'access_model', 'publish_model', 'max_items'].map((name) => `pubsub#${name}`),
)

const DELIVER = 'pubsub#deliver'
const EXPIRE = 'pubsub#expire'
/** Of a subscription that does not end (§12.18). */
const NEVER = 'never'

/** §6.3.2 */
export const optionsForm = ({ deliver, expires }: Pick<Subscription, 'deliver' | 'expires'>): Element =>
  form({ formType: SUBSCRIBE_OPTIONS }, [
    { name: DELIVER, type: 'boolean', label: 'Send notifications', values: [deliver ? '1' : '0'] },
    {
      name: EXPIRE,
      type: 'text-single',
      label: 'When the subscription ends',
      values: expires === 0 ? [] : [new Date(expires).toISOString()],
    },
  ])

/** What a form of options sets. @throws StanzaError bad-request with invalid-options */
export function optionsOf(
  fields: readonly GivenField[],
  now: number,
): Partial<Pick<Subscription, 'deliver' | 'expires'>> {
  const invalid = (name: string): StanzaError =>
    pubsubError('bad-request', 'invalid-options', `${name.slice(0, 100)} cannot be that`)
  let options: Partial<Pick<Subscription, 'deliver' | 'expires'>> = {}
  for (const [name, values] of fields) {
    const [value = ''] = values
    if (values.length > 1) throw invalid(name)
    if (name === DELIVER && /^(?:0|1|true|false)$/.test(value)) {
      options = { ...options, deliver: value === '1' || value === 'true' }
    } else if (name === EXPIRE) {
      const at = value === '' || value === NEVER ? 0 : Date.parse(value)
      if (Number.isNaN(at) || (at !== 0 && at <= now)) throw invalid(name)
      options = { ...options, expires: at }
    } else throw invalid(name)
  }
  return options
}
