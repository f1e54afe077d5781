// XEP-0084: avatars, as they lie in the nodes of an account

import { createHash } from 'node:crypto'
import { DEFAULT_PARSER_LIMITS, el, type Element, NO_CONTEXT, readElement, StanzaError } from '@aviso/xmpp'
import type { Jid } from '@aviso/xmpp'
import type { Account } from '../../accounts/contracts.ts'
import type { NodeConfig } from './node-config.ts'
import type { PersonalEvents } from './personal-events.ts'
import type { Item } from './rows.ts'

export const AVATAR_METADATA = 'urn:xmpp:avatar:metadata'
const AVATAR_DATA = 'urn:xmpp:avatar:data'

const HASH = /^[0-9a-f]{40}$/

/** What an item holds; undefined where it holds nothing. */
export const contentOf = ({ xml }: Pick<Item, 'xml'>): Element | undefined =>
  xml === '' ? undefined : readElement(xml, NO_CONTEXT, DEFAULT_PARSER_LIMITS)

interface AvatarInfo {
  readonly hash: string
  readonly type: string | undefined
}

/** The picture that is kept here (one without a URL); undefined where there is none. */
function infoIn(items: readonly Item[]): AvatarInfo | undefined {
  const last = items.at(-1)
  const info =
    last &&
    contentOf(last)
      ?.childrenNamed('info')
      .find((each) => each.get('url') === undefined)
  const hash = info?.get('id')?.toLowerCase()
  return hash !== undefined && HASH.test(hash) ? { hash, type: info?.get('type') } : undefined
}

/** SHA-1 of the account's avatar, in hex; undefined where it has none. */
export const avatarHash = async (events: PersonalEvents, account: Account): Promise<string | undefined> =>
  infoIn(await events.items(account, AVATAR_METADATA))?.hash

/** The avatar as somebody sees it: its type, and the picture in base64. What is not what its hash says is none. */
export async function avatarSeenBy(
  events: PersonalEvents,
  account: Account,
  viewer: Jid,
): Promise<{ readonly type: string; readonly base64: string } | undefined> {
  const info = infoIn(await events.seenBy(account, AVATAR_METADATA, viewer))
  if (info === undefined) return undefined
  const item = (await events.seenBy(account, AVATAR_DATA, viewer)).find(({ id }) => id.toLowerCase() === info.hash)
  const base64 = (item && contentOf(item)?.text())?.replaceAll(/\s+/g, '')
  if (base64 === undefined || sha1(Buffer.from(base64, 'base64')) !== info.hash) return undefined
  return { type: info.type ?? 'image/png', base64 }
}

const sha1 = (octets: Buffer): string => createHash('sha1').update(octets).digest('hex')

/** XEP-0398 §3.2: makes a picture the account's avatar, unless it is so already. @throws StanzaError for what is no base64 */
export async function setAvatar(
  events: PersonalEvents,
  account: Account,
  photo: { readonly base64: string; readonly type: string | undefined },
  config: Partial<NodeConfig>,
): Promise<void> {
  const octets = Buffer.from(photo.base64, 'base64')
  if (!/^[A-Za-z0-9+/]+={0,2}$/.test(photo.base64) || octets.length === 0)
    throw StanzaError.of('bad-request', 'the picture is not in base64')
  const hash = sha1(octets)
  if ((await avatarHash(events, account)) === hash) return
  const type = typeOf(octets) ?? photo.type ?? 'application/octet-stream'
  const data = el('data', { xmlns: AVATAR_DATA }, photo.base64)
  await events.publish(account, AVATAR_DATA, [{ id: hash, xml: data.toString() }], config)
  const metadata = el('metadata', { xmlns: AVATAR_METADATA }, el('info', { bytes: octets.length, id: hash, type }))
  await events.publish(account, AVATAR_METADATA, [{ id: hash, xml: metadata.toString() }], config)
}

/** XEP-0084 §4.2.4: the account has no avatar any more. */
export async function removeAvatar(events: PersonalEvents, account: Account): Promise<void> {
  if ((await avatarHash(events, account)) === undefined) return
  const metadata = el('metadata', { xmlns: AVATAR_METADATA }).toString()
  await events.publish(account, AVATAR_METADATA, [{ id: 'none', xml: metadata }], {})
}

const MAGIC: readonly (readonly [type: string, octets: string])[] = [
  ['image/png', '\x89PNG'],
  ['image/jpeg', '\xff\xd8\xff'],
  ['image/gif', 'GIF8'],
]

/** By its first octets: what a client says of a picture is often wrong. */
const typeOf = (octets: Buffer): string | undefined => {
  const head = octets.toString('latin1', 0, 12)
  if (head.startsWith('RIFF') && head.endsWith('WEBP')) return 'image/webp'
  return MAGIC.find(([, magic]) => head.startsWith(magic))?.[0]
}
