// XEP-0292 §4: cards of XEP-0054 as vCard4 (RFC 6351), and back. What vCard4 has no place for is kept beside it, in its own namespace.

import { type Child, el, type Element } from '@aviso/xmpp'

export const VCARD_TEMP = 'vcard-temp'
export const VCARD4 = 'urn:ietf:params:xml:ns:vcard-4.0'

/** vcard-temp, vCard4, and the kind of value there. */
const PLAIN: readonly (readonly [temp: string, name: string, kind: string])[] = [
  ['FN', 'fn', 'text'],
  ['NICKNAME', 'nickname', 'text'],
  ['URL', 'url', 'uri'],
  ['BDAY', 'bday', 'date'],
  ['TZ', 'tz', 'text'],
  ['TITLE', 'title', 'text'],
  ['ROLE', 'role', 'text'],
  ['NOTE', 'note', 'text'],
  ['PRODID', 'prodid', 'text'],
  ['REV', 'rev', 'timestamp'],
  ['UID', 'uid', 'text'],
]

/** Values with parts. */
const PARTS: Readonly<
  Record<string, readonly [name: string, parts: readonly (readonly [temp: string, name: string])[]]>
> = {
  N: [
    'n',
    [
      ['FAMILY', 'surname'],
      ['GIVEN', 'given'],
      ['MIDDLE', 'additional'],
      ['PREFIX', 'prefix'],
      ['SUFFIX', 'suffix'],
    ],
  ],
  ADR: [
    'adr',
    [
      ['POBOX', 'pobox'],
      ['EXTADD', 'ext'],
      ['STREET', 'street'],
      ['LOCALITY', 'locality'],
      ['REGION', 'region'],
      ['PCODE', 'code'],
      ['CTRY', 'country'],
    ],
  ],
}

/** What an address, a number or a mailbox is for. */
const TYPES: readonly (readonly [temp: string, type: string])[] = [
  ['HOME', 'home'],
  ['WORK', 'work'],
  ['VOICE', 'voice'],
  ['FAX', 'fax'],
  ['PAGER', 'pager'],
  ['CELL', 'cell'],
  ['VIDEO', 'video'],
]

const typesOf = (property: Element): Element | false => {
  const types = TYPES.filter(([temp]) => property.child(temp) !== undefined)
  const preferred = property.child('PREF') !== undefined
  if (types.length === 0 && !preferred) return false
  return el(
    'parameters',
    {},
    types.length > 0 && el('type', {}, ...types.map(([, type]) => el('text', {}, type))),
    preferred && el('pref', {}, el('integer', {}, '1')),
  )
}

const value = (name: string, kind: string, text: string): Element => el(name, {}, el(kind, {}, text))

function parts(property: Element): Element | undefined {
  const found = PARTS[property.name]
  if (found === undefined) return undefined
  const [name, fields] = found
  return el(
    name,
    {},
    name !== 'n' && typesOf(property),
    ...fields.map(([temp, part]) => el(part, {}, property.childText(temp) ?? '')),
  )
}

/** One property as vCard4; undefined where that has no place for it. */
function property4(property: Element): Element | undefined {
  const { name } = property
  const plain = PLAIN.find(([temp]) => temp === name)
  if (plain !== undefined) return value(plain[1], plain[2], property.text())
  switch (name) {
    case 'DESC':
      return value('note', 'text', property.text())
    case 'JABBERID':
      return value('impp', 'uri', `xmpp:${property.text()}`)
    case 'EMAIL':
      return el('email', {}, typesOf(property), el('text', {}, property.childText('USERID') ?? property.text()))
    case 'TEL':
      return el('tel', {}, typesOf(property), el('uri', {}, `tel:${encodeURI(property.childText('NUMBER') ?? '')}`))
    case 'ORG':
      return el(
        'org',
        {},
        ...[...property.childrenNamed('ORGNAME'), ...property.childrenNamed('ORGUNIT')].map((part) =>
          el('text', {}, part.text()),
        ),
      )
    case 'CATEGORIES':
      return el('categories', {}, ...property.childrenNamed('KEYWORD').map((word) => el('text', {}, word.text())))
    case 'GEO':
      return value('geo', 'uri', `geo:${property.childText('LAT') ?? ''},${property.childText('LON') ?? ''}`)
    default:
      return parts(property)
  }
}

/** A card of XEP-0054 as vCard4; its photo, if it has one in it, is left out: that is the avatar. */
export const toVcard4 = (card: Element): Element =>
  el(
    'vcard',
    { xmlns: VCARD4 },
    ...card.elements
      .filter((property) => property.xmlns !== VCARD_TEMP || property.name !== 'PHOTO' || photoOf(card) === undefined)
      .map((property) => (property.xmlns === VCARD_TEMP ? (property4(property) ?? property) : property)),
  )

const typeMarks = (property: Element): Child[] => {
  const parameters = property.child('parameters')
  const types =
    parameters
      ?.child('type')
      ?.childrenNamed('text')
      .map((type) => type.text().toLowerCase()) ?? []
  return [
    ...TYPES.filter(([, type]) => types.includes(type)).map(([temp]) => el(temp)),
    parameters?.child('pref') !== undefined && el('PREF'),
  ]
}

/** The text of a property's value, of whatever kind. */
const textOf = (property: Element): string => property.elements.find(({ name }) => name !== 'parameters')?.text() ?? ''

function without(prefix: string, text: string): string {
  const rest = text.startsWith(prefix) ? text.slice(prefix.length) : text
  try {
    return prefix === 'tel:' ? decodeURI(rest) : rest
  } catch {
    return rest
  }
}

function propertyTemp(property: Element): Element | undefined {
  const { name } = property
  const plain = PLAIN.find(([, each]) => each === name)
  if (plain !== undefined) return el(plain[0], {}, textOf(property))
  switch (name) {
    case 'impp':
      return textOf(property).startsWith('xmpp:') ? el('JABBERID', {}, without('xmpp:', textOf(property))) : undefined
    case 'email':
      return el('EMAIL', {}, ...typeMarks(property), el('USERID', {}, textOf(property)))
    case 'tel':
      return el('TEL', {}, ...typeMarks(property), el('NUMBER', {}, without('tel:', textOf(property))))
    case 'org':
      return el(
        'ORG',
        {},
        ...property
          .childrenNamed('text')
          .map((part, index) => el(index === 0 ? 'ORGNAME' : 'ORGUNIT', {}, part.text())),
      )
    case 'categories':
      return el('CATEGORIES', {}, ...property.childrenNamed('text').map((word) => el('KEYWORD', {}, word.text())))
    case 'geo': {
      const [, lat, lon] = /^geo:([-+\d.]+),([-+\d.]+)/.exec(textOf(property)) ?? []
      return lat === undefined || lon === undefined ? undefined : el('GEO', {}, el('LAT', {}, lat), el('LON', {}, lon))
    }
    default: {
      const found = Object.entries(PARTS).find(([, [each]]) => each === name)
      if (found === undefined) return undefined
      const [temp, [, fields]] = found
      const marks = temp === 'N' ? [] : typeMarks(property)
      return el(temp, {}, ...marks, ...fields.map(([part, each]) => el(part, {}, property.childText(each) ?? '')))
    }
  }
}

/** A vCard4 as a card of XEP-0054; what that has no place for is left out. */
export const toVcardTemp = (card: Element): Element =>
  el(
    'vCard',
    { xmlns: VCARD_TEMP },
    ...card.elements.map((property) => (property.xmlns === VCARD4 ? propertyTemp(property) : property)),
  )

/** The picture in a card of XEP-0054, in base64 without spaces; undefined where there is none. */
export function photoOf(card: Element): { readonly base64: string; readonly type: string | undefined } | undefined {
  const photo = card.child('PHOTO')
  const base64 = photo?.childText('BINVAL')?.replaceAll(/\s+/g, '')
  return base64 === undefined || base64 === '' ? undefined : { base64, type: photo?.childText('TYPE')?.trim() }
}
