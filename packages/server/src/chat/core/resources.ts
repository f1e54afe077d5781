// XEP-0386 §3.2.1: the resource of a client that binds together with its login.

import { createHash } from 'node:crypto'
import { JidError, prepareResource } from '@aviso/xmpp'

/** No honest tag is longer. */
const TAG_CHARACTERS = 64

/**
 * The resource for a client's tag: the tag, and behind it what is the same each time for one installation. Its id cannot be told from it.
 * @param random what takes the place of the stable part where the client has no id
 */
export function resourceFor(
  tag: string | undefined,
  account: string,
  userAgent: string | undefined,
  random: () => string,
): string {
  const stable =
    userAgent === undefined
      ? random()
      : createHash('sha256').update(`resource\0${account}\0${userAgent}`).digest('base64url').slice(0, 14)
  return tag === undefined || !isFit(tag) ? stable : `${tag}/${stable}`
}

function isFit(tag: string): boolean {
  if (tag === '' || tag.length > TAG_CHARACTERS) return false
  try {
    prepareResource(tag)
    return true
  } catch (error) {
    if (error instanceof JidError) return false
    throw error
  }
}
