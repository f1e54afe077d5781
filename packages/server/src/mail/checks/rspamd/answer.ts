// What rspamd answers (its protocol, /checkv2), read into what a verdict is made of.

import { encodeWords, type Headers, type MailAddress, parseMailAddress } from '@aviso/mime'
import * as v from 'valibot'
import type { HeaderEdit } from '../../pipeline/contracts.ts'

const text = v.pipe(v.string(), v.maxLength(10_000))

const headerValue = v.union([
  text,
  v.object({ value: text, order: v.optional(v.number()) }),
  v.array(v.union([text, v.object({ value: text, order: v.optional(v.number()) })])),
])

/** An answer of rspamd, as far as it concerns us. */
const schema = v.object({
  action: v.string(),
  score: v.optional(v.number(), 0),
  required_score: v.optional(v.nullable(v.number())),
  symbols: v.optional(v.record(v.string(), v.object({ score: v.optional(v.number(), 0) })), {}),
  subject: v.optional(text),
  messages: v.optional(v.record(v.string(), v.unknown())),
  'dkim-signature': v.optional(v.union([text, v.array(text)])),
  milter: v.optional(
    v.object({
      add_headers: v.optional(v.record(v.string(), headerValue)),
      remove_headers: v.optional(v.record(v.string(), v.union([v.number(), v.array(v.number())]))),
      change_from: v.optional(text),
      add_rcpt: v.optional(v.array(text)),
      del_rcpt: v.optional(v.array(text)),
      reject: v.optional(text),
    }),
  ),
})

export type RspamdAnswer = v.InferOutput<typeof schema>

/** Reads an answer. Throws Error for what is none. */
export const parseAnswer = (json: string): RspamdAnswer => {
  // An empty list in Lua, which rspamd is written in, is an empty object, and the other way round.
  const parsed: unknown = JSON.parse(json, (key, value: unknown) =>
    Array.isArray(value) && value.length === 0 && OBJECTS.has(key) ? {} : value,
  )
  return v.parse(schema, parsed)
}
const OBJECTS = new Set(['symbols', 'messages', 'milter', 'add_headers', 'remove_headers'])

/** The symbols that weigh most, for log and trace. */
export function symbolsTold({ symbols }: RspamdAnswer): string {
  return Object.entries(symbols)
    .filter(([, { score }]) => score !== 0)
    .toSorted(([, a], [, b]) => Math.abs(b.score) - Math.abs(a.score))
    .slice(0, 20)
    .map(([name, { score }]) => `${name.replace(/[^\w.-]/g, '?').slice(0, 60)}(${Math.round(score * 100) / 100})`)
    .join(' ')
}

/** The text for the client that rspamd wants, on one line of printable ASCII. */
export function smtpMessage({ messages, milter }: RspamdAnswer): string | undefined {
  const wanted = messages?.['smtp_message'] ?? milter?.reject
  if (typeof wanted !== 'string') return undefined
  const line = wanted
    .replace(/[^ -~]+/g, ' ')
    .trim()
    .slice(0, 200)
  return line === '' ? undefined : line
}

/** What rspamd wants to change in the header: its own fields, signatures, and with `rewriteSubject` another Subject. Fields that are none are left out. */
export function headerEdit(answer: RspamdAnswer, header: Headers, rewriteSubject: boolean): HeaderEdit {
  const prepend: string[] = []
  const append: string[] = []
  const change: { name: string; index: number; value: string | null }[] = []
  const add = (name: string, value: string, order?: number): void => {
    const field = fieldOf(name, value)
    if (field !== undefined) (order !== undefined && order > 0 ? append : prepend).push(field)
  }
  for (const signature of [answer['dkim-signature'] ?? []].flat()) add('DKIM-Signature', signature)
  for (const [name, values] of Object.entries(answer.milter?.add_headers ?? {}))
    for (const one of [values].flat())
      if (typeof one === 'string') add(name, one)
      else add(name, one.value, one.order)
  for (const [name, which] of Object.entries(answer.milter?.remove_headers ?? {})) {
    if (!NAME.test(name)) continue
    const present = header.all(name).length
    const indices = [which].flat()
    // 0: all of that name; below 0: counted from the last.
    const gone = indices.includes(0)
      ? Array.from({ length: present }, (_one, i) => i + 1)
      : indices
          .map((index) => (index < 0 ? present + 1 + index : index))
          .filter((index) => index >= 1 && index <= present)
    for (const index of gone) change.push({ name, index, value: null })
  }
  if (rewriteSubject) {
    const subject = answer.subject ?? `*** SPAM *** ${header.get('Subject') ?? ''}`
    const value = encodeWords(subject.replace(/[\r\n\0]+/g, ' ').trim())
    if (header.has('Subject')) change.push({ name: 'Subject', index: 1, value })
    else append.push(`Subject: ${value}`)
  }
  return { prepend, append, change }
}

const NAME = /^[!-9;-~]{1,200}$/

/** A field on as many lines as rspamd folded it to; undefined for what is none. */
function fieldOf(name: string, value: string): string | undefined {
  const folded = value.replace(/\r?\n(?=[ \t])/g, '\r\n')
  const flat = folded.replace(/\r\n(?=[ \t])/g, '')
  return NAME.test(name) && !/[\r\n\0]/.test(flat) ? `${name}: ${folded}` : undefined
}

/** The changes to the envelope that rspamd wants. */
export function envelopeEdit({ milter }: RspamdAnswer): {
  readonly sender?: MailAddress | null
  readonly add?: readonly MailAddress[]
  readonly remove?: readonly MailAddress[]
} {
  const addresses = (list: readonly string[] | undefined): MailAddress[] =>
    (list ?? []).slice(0, 100).flatMap((one) => parseMailAddress(bare(one)) ?? [])
  const from = milter?.change_from === undefined ? undefined : bare(milter.change_from)
  const sender = from === undefined ? undefined : from === '' ? null : parseMailAddress(from)
  return {
    ...(sender !== undefined && { sender }),
    ...(milter?.add_rcpt !== undefined && { add: addresses(milter.add_rcpt) }),
    ...(milter?.del_rcpt !== undefined && { remove: addresses(milter.del_rcpt) }),
  }
}

const bare = (address: string): string => address.trim().replace(/^<(.*)>$/, '$1')
