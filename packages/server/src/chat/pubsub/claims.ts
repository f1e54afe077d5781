// XEP-0115, XEP-0390: what a presence claims of its client's capabilities, and whether a description bears it out

import { type Element, NS } from '@aviso/xmpp'
import type { DiscoIdentity, DiscoInfo } from '../core/contracts.ts'
import { FORMS } from '../core/forms.ts'
import { CAPS, CAPS2, hashes, verification } from '../features/capabilities.ts'

export interface Claim {
  /** Names the capabilities, the same for all clients that have them; undefined where the claim cannot be verified. */
  readonly hash: string | undefined
  /** The node to ask the client for. */
  readonly node: string
  /** True when the description is the one that was claimed. */
  holds(info: DiscoInfo): boolean
}

const MAX_CLAIM = 300
/** As XEP-0115 names them, and node:crypto. */
const ALGORITHMS: Readonly<Record<string, string>> = {
  'sha-1': 'sha1',
  'sha-224': 'sha224',
  'sha-256': 'sha256',
  'sha-384': 'sha384',
  'sha-512': 'sha512',
}

/** What is claimed; undefined where there is nothing, or nothing of use. */
export function claimOf(presence: Element): Claim | undefined {
  const set = presence.child('c', CAPS2)
  for (const algorithm of ['sha3-256', 'sha-256']) {
    const found = set?.childrenNamed('hash', 'urn:xmpp:hashes:2').find((hash) => hash.get('algo') === algorithm)
    const value = found?.text().trim()
    if (value === undefined || value === '' || value.length > MAX_CLAIM) continue
    return {
      hash: `2 ${algorithm} ${value}`,
      node: `${CAPS2}#${algorithm}.${value}`,
      holds: (info) => hashes(info).get(algorithm) === value,
    }
  }
  const old = presence.child('c', CAPS)
  const node = old?.get('node')
  const ver = old?.get('ver')
  if (node === undefined || ver === undefined || node === '' || ver === '' || node.length + ver.length > MAX_CLAIM)
    return undefined
  const named = old?.get('hash') ?? ''
  const algorithm = Object.hasOwn(ALGORITHMS, named) ? ALGORITHMS[named] : undefined
  return {
    hash: algorithm === undefined ? undefined : `1 ${named} ${ver}`,
    node: `${node}#${ver}`,
    holds: (info) => algorithm !== undefined && verification(info, algorithm) === ver,
  }
}

/**
 * Reads a description. Undefined where it is ill-formed in a way that would let one hash stand for two descriptions (XEP-0115 §5.4, §8.1).
 */
export function infoOf(query: Element): DiscoInfo | undefined {
  if (query.xmlns !== NS.discoInfo) return undefined
  const identities = query.childrenNamed('identity').map((identity): DiscoIdentity => {
    const [name, lang] = [identity.get('name'), identity.get('xml:lang')]
    return {
      category: identity.get('category') ?? '',
      type: identity.get('type') ?? '',
      ...(name !== undefined && { name }),
      ...(lang !== undefined && { lang }),
    }
  })
  const features = query.childrenNamed('feature').map((feature) => feature.get('var') ?? '')
  const forms = query.childrenNamed('x', FORMS)
  const types = forms.map((form) => form.childrenNamed('field').find((field) => field.get('var') === 'FORM_TYPE'))
  const names = identities.map((each) => JSON.stringify([each.category, each.type, each.lang, each.name]))
  if (new Set(names).size < names.length || new Set(features).size < features.length) return undefined
  const formTypes = types.map((type) => type?.childText('value'))
  if (new Set(formTypes).size < formTypes.length || types.some((type) => type && type.elements.length !== 1))
    return undefined
  if ([...features, ...identities.flatMap(Object.values)].some((text) => /[<\u001c-\u001f]/.test(String(text))))
    return undefined
  // A form whose type is not hidden is left out of the hash (§5.4).
  return { identities, features, forms: forms.filter((_, index) => types[index]?.get('type') === 'hidden') }
}

const NOTIFY = '+notify'
const MAX_WANTED = 300
const MAX_NODE = 1023

/** The nodes that a client wants to hear of (XEP-0163 §4.2). */
export const wantedBy = ({ features }: DiscoInfo): readonly string[] =>
  features
    .filter((feature) => feature.endsWith(NOTIFY) && feature.length <= MAX_NODE)
    .map((feature) => feature.slice(0, -NOTIFY.length))
    .slice(0, MAX_WANTED)
