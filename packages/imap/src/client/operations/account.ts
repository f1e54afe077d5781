// What is asked of the account and the server: NAMESPACE (RFC 2342), QUOTA (RFC 9208), ID (RFC 2971), ENABLE (RFC 5161).

import { quote } from '../../wire/encode.ts'
import type { SessionCore } from '../core.ts'
import type { NamespaceEntry, QuotaResource } from '../response/types.ts'

/** Where mailboxes of one's own, of other users, and shared ones are (RFC 2342). */
export interface Namespaces {
  readonly personal: readonly NamespaceEntry[]
  readonly others: readonly NamespaceEntry[]
  readonly shared: readonly NamespaceEntry[]
}

/** Where the server does not tell: everything is personal, with the delimiter of the top (RFC 9051 §6.3.9). */
export async function namespaces(core: SessionCore, signal?: AbortSignal): Promise<Namespaces> {
  if (!core.has('NAMESPACE')) {
    const { results } = await core.collect(
      { name: 'LIST', parts: ['LIST "" ""'] },
      (response) => (response.kind === 'list' ? response : undefined),
      signal,
    )
    return { personal: [{ prefix: '', delimiter: results[0]?.delimiter }], others: [], shared: [] }
  }
  const { results } = await core.collect(
    { name: 'NAMESPACE', parts: ['NAMESPACE'] },
    (response) => (response.kind === 'namespace' ? response : undefined),
    signal,
  )
  const { personal = [], others = [], shared = [] } = results[0] ?? {}
  return { personal, others, shared }
}

/** What is used and allowed together under one name (RFC 9208). */
export interface QuotaRoot {
  readonly root: string
  readonly resources: readonly QuotaResource[]
}

/** The limits that a mailbox counts towards; none where the server counts nothing. */
export async function quota(core: SessionCore, mailbox: string, signal?: AbortSignal): Promise<QuotaRoot[]> {
  if (!core.has('QUOTA')) return []
  const { results } = await core.collect(
    { name: 'GETQUOTAROOT', parts: ['GETQUOTAROOT ', core.mailbox(mailbox)] },
    (response) => (response.kind === 'quota' || response.kind === 'quota-root' ? response : undefined),
    signal,
  )
  return results.flatMap((response) =>
    response.kind === 'quota' ? [{ root: response.root, resources: response.resources }] : [],
  )
}

/** RFC 2971 §3.3: 30 fields at most, names of 30 octets, values of 1024. */
const FIELDS = 30

/** Says who we are; answers who the server is. */
export async function identify(
  core: SessionCore,
  fields: Readonly<Record<string, string>>,
  signal?: AbortSignal,
): Promise<ReadonlyMap<string, string | undefined>> {
  const said = Object.entries(fields)
    .slice(0, FIELDS)
    .map(([name, value]) => `${quote(ascii(name, 30))} ${quote(ascii(value, 1024))}`)
  const { results } = await core.collect(
    { name: 'ID', parts: [`ID ${said.length === 0 ? 'NIL' : `(${said.join(' ')})`}`] },
    (response) => (response.kind === 'id' ? response : undefined),
    signal,
  )
  return results[0]?.fields ?? new Map()
}

const ascii = (text: string, length: number): string => text.replace(/[^\x20-\x7e]/g, '?').slice(0, length)

/** Of what is wanted, enables what is offered, in one command; `core.enabled` holds the result. */
export async function enable(core: SessionCore, wanted: readonly string[], signal?: AbortSignal): Promise<void> {
  if (!core.has('ENABLE')) return
  const names = wanted.filter((name) => core.has(name) && !core.enabled.has(name.toUpperCase()))
  if (names.length > 0) await core.run(`ENABLE ${names.join(' ')}`, signal)
}
