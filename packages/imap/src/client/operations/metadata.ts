// RFC 5464 GETMETADATA and SETMETADATA: annotations of mailboxes and of the server.

import { quote } from '../../wire/encode.ts'
import type { SessionCore } from '../core.ts'
import { ImapClientError } from '../errors.ts'
import type { CommandPart } from '../request.ts'

/** How far GETMETADATA looks, and what it leaves out. */
export interface MetadataOptions {
  /** Also entries this many levels below those named. Default 0: only themselves. */
  readonly depth?: 0 | 1 | 'infinity'
  /** Octets of a value: longer ones are left out, see `Metadata.longest`. Default: no limit. */
  readonly maxSize?: number
  readonly signal?: AbortSignal
}

/** Annotations found. */
export interface Metadata {
  /** Name → value; undefined for an entry that was asked for and has none. Names as the server writes them. */
  readonly entries: ReadonlyMap<string, Buffer | undefined>
  /** Octets of the longest value that `maxSize` left out. */
  readonly longest: number | undefined
}

/** RFC 5464 §6: a path below /private or /shared, in ASCII, without wildcards. */
const ENTRY = /^\/(?:private|shared)(?:\/[\x20-\x24\x26-\x29\x2b-\x2e\x30-\x7e]+)+$/i

function entry(name: string): string {
  if (!ENTRY.test(name)) throw new ImapClientError('UNSUPPORTED', `${name.slice(0, 60)} is no name of an annotation`)
  return quote(name)
}

function need(core: SessionCore, mailbox: string | undefined): void {
  if (mailbox === undefined && core.has('METADATA-SERVER')) return
  core.need('METADATA', 'keep annotations')
}

const place = (core: SessionCore, mailbox: string | undefined): CommandPart =>
  mailbox === undefined ? '""' : core.mailbox(mailbox)

/** Annotations of a mailbox, or (undefined) of the server. Rejects with `ImapClientError`: UNSUPPORTED without METADATA, and for names that are none. */
export async function getMetadata(
  core: SessionCore,
  mailbox: string | undefined,
  names: readonly string[],
  { depth, maxSize, signal }: MetadataOptions,
): Promise<Metadata> {
  need(core, mailbox)
  const options = [
    ...(depth === undefined || depth === 0 ? [] : [`DEPTH ${depth}`]),
    ...(maxSize === undefined ? [] : [`MAXSIZE ${maxSize}`]),
  ]
  const parts = [
    `GETMETADATA ${options.length === 0 ? '' : `(${options.join(' ')}) `}`,
    place(core, mailbox),
    ` (${names.map(entry).join(' ')})`,
  ]
  const { results, end } = await core.collect(
    { name: 'GETMETADATA', parts },
    (response) => (response.kind === 'metadata' && response.name === (mailbox ?? '') ? response : undefined),
    signal,
  )
  const longest = end.code?.name === 'METADATA' ? /^LONGENTRIES (\d{1,15})$/i.exec(end.code.text)?.[1] : undefined
  return {
    entries: new Map(results.flatMap(({ entries }) => [...entries])),
    longest: longest === undefined ? undefined : Number(longest),
  }
}

/** Sets annotations, or removes those that are undefined; all or none. */
export async function setMetadata(
  core: SessionCore,
  mailbox: string | undefined,
  entries: Readonly<Record<string, string | Uint8Array | undefined>>,
  signal: AbortSignal | undefined,
): Promise<void> {
  need(core, mailbox)
  const parts: CommandPart[] = ['SETMETADATA ', place(core, mailbox), ' (']
  Object.entries(entries).forEach(([name, value], i) => {
    parts.push(`${i === 0 ? '' : ' '}${entry(name)} `)
    if (value === undefined) parts.push('NIL')
    else if (typeof value === 'string') parts.push(core.string(value))
    else parts.push({ octets: value, binary: value.includes(0) })
  })
  parts.push(')')
  await core.run({ name: 'SETMETADATA', parts }, signal)
}
