// XEP-0313 §4, XEP-0059: what a client asks its archive for

import { el, type Element, Jid, NS, StanzaError } from '@aviso/xmpp'
import { FORMS } from '../core/forms.ts'
import type { ArchiveFilter, ArchivePage, ArchiveQuery } from './shelf.ts'
import { wordsOf } from './text.ts'

export const RSM = 'http://jabber.org/protocol/rsm'
export const FULL_TEXT = 'urn:xmpp:fulltext:0'
const FULL_TEXT_FIELD = `{${FULL_TEXT}}fulltext`
/** Messages that may be asked for by their ids at once. */
const MAX_IDS = 100
const MAX_ID = 256

export interface Asked extends ArchiveQuery {
  readonly queryId: string | undefined
  /** Words to search for; undefined where it is no search. */
  readonly words: readonly string[] | undefined
  /** The newest message of the page first. */
  readonly flipped: boolean
}

export interface PageLimits {
  readonly usual: number
  readonly most: number
}

/** Reads a query. @throws StanzaError bad-request, jid-malformed, feature-not-implemented for a field that is not known, policy-violation */
export function readQuery(query: Element, limits: PageLimits): Asked {
  const fields = fieldsOf(query)
  const one = (name: string): string | undefined => {
    const value = fields.get(name)?.[0]
    return value === undefined || value === '' ? undefined : value
  }
  const type = one('FORM_TYPE')
  if (fields.size > 0 && type !== NS.mam) throw StanzaError.of('bad-request', 'this form is not for archives')
  for (const name of fields.keys())
    if (!KNOWN.has(name))
      throw StanzaError.of('feature-not-implemented', `the field ${name.slice(0, 100)} is not known`)
  const ids = fields.get('ids')?.filter((id) => id !== '')
  if (ids !== undefined && ids.length > MAX_IDS) throw StanzaError.of('policy-violation', 'too many ids')
  const text = one(FULL_TEXT_FIELD)
  const words = text === undefined ? undefined : wordsOf(text)
  const party = one('with')
  const filter: ArchiveFilter = {
    ...(party !== undefined && withWhom(party)),
    start: time(one('start')),
    end: time(one('end')),
    afterId: id(one('after-id')),
    beforeId: id(one('before-id')),
    ids: ids === undefined || ids.length === 0 ? undefined : ids.map((each) => id(each) ?? ''),
  }
  return {
    queryId: query.get('queryid'),
    filter,
    page: pageOf(query.child('set', RSM), limits),
    words: words === undefined || words.length === 0 ? undefined : words,
    flipped: query.child('flip-page') !== undefined,
  }
}

function fieldsOf(query: Element): ReadonlyMap<string, readonly string[]> {
  const fields = new Map<string, readonly string[]>()
  for (const field of query.child('x', FORMS)?.childrenNamed('field') ?? [])
    fields.set(
      field.get('var') ?? '',
      field.childrenNamed('value').map((value) => value.text()),
    )
  return fields
}

function withWhom(text: string): Pick<ArchiveFilter, 'contact' | 'resource'> {
  const jid = Jid.tryParse(text)
  if (jid === undefined) throw StanzaError.of('jid-malformed')
  return { contact: jid.bareString, resource: jid.isFull ? jid.resource : undefined }
}

const DATE_TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d)$/

/** XEP-0082 §3.2 */
function time(text: string | undefined): number | undefined {
  if (text === undefined) return undefined
  const at = DATE_TIME.test(text) ? Date.parse(text) : NaN
  if (Number.isNaN(at)) throw StanzaError.of('bad-request', 'a time is written like 2026-02-28T18:00:00Z')
  return at
}

/** No archive has longer ids: what is asked for is then not there. */
const id = (text: string | undefined): string | undefined => text?.slice(0, MAX_ID)

/** The part of a list that is asked for (XEP-0059). @throws StanzaError bad-request */
export function pageOf(set: Element | undefined, { usual, most }: PageLimits): ArchivePage {
  if (set === undefined) return { max: usual, backwards: false }
  const before = set.childText('before')
  const after = set.childText('after')
  return {
    max: Math.min(number(set.childText('max')) ?? usual, most),
    backwards: before !== undefined,
    before: before === undefined || before === '' ? undefined : id(before),
    after: after === undefined || after === '' ? undefined : id(after),
    index: number(set.childText('index')),
  }
}

function number(text: string | undefined): number | undefined {
  if (text === undefined) return undefined
  if (!/^\d{1,9}$/.test(text.trim())) throw StanzaError.of('bad-request', 'a whole number is expected')
  return Number(text)
}

/** Nothing is kept of rooms here: the field has no say, but is understood (§4.1.4). */
const GROUP_CHAT = 'include-groupchat'
const KNOWN: ReadonlySet<string> = new Set([
  'FORM_TYPE',
  'with',
  'start',
  'end',
  'before-id',
  'after-id',
  'ids',
  GROUP_CHAT,
  FULL_TEXT_FIELD,
])

/** The fields that may be asked by (§4.1.5). */
export const queryForm = (): Element =>
  el(
    'query',
    { xmlns: NS.mam },
    el(
      'x',
      { xmlns: FORMS, type: 'form' },
      el('field', { var: 'FORM_TYPE', type: 'hidden' }, el('value', {}, NS.mam)),
      el('field', { var: 'with', type: 'jid-single' }),
      ...['start', 'end', 'before-id', 'after-id'].map((name) => el('field', { var: name, type: 'text-single' })),
      el(
        'field',
        { var: 'ids', type: 'list-multi' },
        el('validate', { xmlns: 'http://jabber.org/protocol/xdata-validate', datatype: 'xs:string' }, el('open')),
      ),
      el('field', { var: GROUP_CHAT, type: 'boolean' }),
      el('field', { var: FULL_TEXT_FIELD, type: 'text-single' }),
    ),
  )
