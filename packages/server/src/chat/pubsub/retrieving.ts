// XEP-0060 §6.5: retrieving items, with XEP-0059 paging

import { type Element, escapeAttribute, escapeText, StanzaError } from '@aviso/xmpp'
import { asked } from './errors.ts'
import { RSM } from './names.ts'
import { bounded, itemIds, itemXml, nodeNamed, pubsubResult } from './payloads.ts'
import type { Answer, Place, Request } from './place.ts'
import type { ItemPage, Page } from './rows.ts'

function whole(text: string | undefined): number | undefined {
  if (text === undefined) return undefined
  if (!/^\d{1,9}$/.test(text.trim())) throw StanzaError.of('bad-request', 'a whole number is expected')
  return Number(text)
}

/** Which page is asked for. @throws StanzaError bad-request */
export function itemPage(place: Place, { payload }: Request, items: Element): ItemPage {
  const { page, pageOctets } = place.limits
  const set = payload.child('set', RSM)
  const newest = whole(items.get('max_items'))
  const before = set?.childText('before')
  const after = set?.childText('after')
  const max = Math.min(whole(set?.childText('max')) ?? page, page)
  return {
    max: newest === undefined ? max : Math.min(max, newest),
    // The newest ones are asked for by their number (§6.5.7), or by an empty <before/>.
    backwards: before !== undefined || (newest !== undefined && after === undefined),
    ...(after !== undefined && after !== '' && { after: bounded(after) }),
    ...(before !== undefined && before !== '' && { before: bounded(before) }),
    index: whole(set?.childText('index')),
    octets: pageOctets,
  }
}

function setXml({ items, count, index }: Page): string {
  const first = items[0]
  const last = items.at(-1)
  const ends =
    first === undefined || last === undefined
      ? ''
      : `<first index='${index}'>${escapeText(first.id)}</first><last>${escapeText(last.id)}</last>`
  return `<set xmlns='${RSM}'>${ends}<count>${count}</count></set>`
}

export async function items(place: Place, request: Request, element: Element): Promise<Answer> {
  const node = nodeNamed(element)
  const actor = await place.actor(request.from, node)
  const page = itemPage(place, request, element)
  const ids = itemIds(element).slice(0, place.limits.page)
  const found = await asked(place.nodes.items({ node, actor, ids, page }))
  const xml = found.items.map((item) => itemXml(place, found.node, item)).join('')
  const paged = request.payload.child('set', RSM) !== undefined || found.more
  return pubsubResult(
    `<items node='${escapeAttribute(node)}'>${xml}</items>${paged && ids.length === 0 ? setXml(found) : ''}`,
  )
}
