// RFC 5322 §2.2: header fields that the administrator adds, sets or takes out

import { encodeWords, type Headers } from '@aviso/mime'
import * as v from 'valibot'
import { type HeaderEdit, type Mail, mailModifier } from '../pipeline/contracts.ts'

const name = v.pipe(
  v.string(),
  v.regex(/^[!-9;-~]{1,76}$/, 'expected the name of a header field: printable ASCII without blanks and colons'),
)
/** RFC 5322 §2.1.1: a line may have 998 octets. */
const value = v.pipe(
  v.string(),
  v.maxLength(900),
  v.regex(/^[^\p{Cc}]*$/u, 'expected one line of text'),
  v.check(
    (text) => unknownIn(text) === undefined,
    (issue) =>
      `there is no placeholder ${unknownIn(issue.input) ?? ''}; known here: ${PLACEHOLDERS.map((one) => `{${one}}`).join(', ')}`,
  ),
)
const PLACEHOLDERS = ['mail', 'sender', 'account', 'ip', 'hello', 'subject'] as const
const PLACEHOLDER = /\{([a-z]+)\}/g
const unknownIn = (text: string): string | undefined =>
  [...text.matchAll(PLACEHOLDER)].find(([, one]) => !PLACEHOLDERS.some((known) => known === one))?.[0]

const fields = (what: string) =>
  v.optional(v.pipe(v.record(name, v.union([value, v.array(value)])), v.description(what)), {})

export const header = mailModifier({
  name: 'header',
  summary:
    'Adds, sets and takes out header fields. Values may hold {mail}, {sender}, {account}, {ip}, {hello} and {subject}.',
  config: v.strictObject({
    add: fields('fields to put on top, a value or a list of values by name'),
    set: fields('fields that shall stand there with this value, in the place of all of that name'),
    'add-missing': fields('fields that are added where there is none of that name'),
    remove: v.optional(
      v.pipe(v.array(name), v.description('names of fields to take out; at the end * stands for anything')),
      [],
    ),
    when: v.optional(
      v.pipe(
        v.picklist(['always', 'forwarded', 'kept']),
        v.description('for all copies, for those that an alias sends on, or for the others'),
      ),
      'always',
    ),
  }),

  create: (config) => ({
    edit(mail, message, forwarded): HeaderEdit {
      if (config.when !== 'always' && (config.when === 'forwarded') !== forwarded) return {}
      const made = (list: Readonly<Record<string, string | readonly string[]>>): string[] =>
        Object.entries(list).flatMap(([field, values]) =>
          [values].flat().map((text) => `${field}: ${filled(text, mail, message.header)}`),
        )
      const missing = Object.fromEntries(
        Object.entries(config['add-missing']).filter(([field]) => !message.header.has(field)),
      )
      return {
        prepend: [...made(config.add), ...made(config.set), ...made(missing)],
        remove: [...Object.keys(config.set), ...named(message.header, config.remove)],
      }
    },
  }),
})

/** The names in the header that the patterns fit. */
function named(present: Headers, patterns: readonly string[]): readonly string[] {
  const exact = patterns.filter((pattern) => !pattern.endsWith('*'))
  const starts = patterns
    .filter((pattern) => pattern.endsWith('*'))
    .map((pattern) => pattern.slice(0, -1).toLowerCase())
  if (starts.length === 0) return exact
  const fitting = [...present.fields()].filter(({ name: one }) =>
    starts.some((start) => one.toLowerCase().startsWith(start)),
  )
  return [...exact, ...fitting.map(({ name: one }) => one)]
}

/** A value with its placeholders filled, on one line of ASCII: what a peer chose ends no field. */
function filled(text: string, { id, sender, client }: Mail, present: Headers): string {
  const values: Readonly<Record<string, string | undefined>> = {
    mail: id,
    sender: sender?.toString(),
    account: client.account?.address,
    ip: client.remoteAddress,
    hello: client.hello,
    subject: present.get('Subject'),
  }
  const whole = text.replace(PLACEHOLDER, (_all, one: string) => (values[one] ?? '').slice(0, 900))
  return encodeWords(whole.replace(/\p{Cc}+/gu, ' ').trim())
}
