// RFC 6376 §5, RFC 8463: signing a message, with as many keys as are given, in one pass over its body.

import { createHash, type KeyObject, sign as signOctets } from 'node:crypto'
import { promisify } from 'node:util'
import { Field, type Message, selectFields, signedOctets } from '../message.ts'
import type { Canonicalization } from './body.ts'
import type { Algorithm } from './signature.ts'

/** A private key in use. `domain` and `selector` as A-labels. */
export interface SigningKey {
  readonly domain: string
  readonly selector: string
  readonly algorithm: Algorithm
  readonly key: KeyObject
}

export interface SignOptions {
  readonly keys: readonly SigningKey[]
  /** Milliseconds since the epoch. */
  readonly now: number
  /** Seconds that the signatures hold; undefined: for ever. */
  readonly lifetime?: number
  readonly header?: Canonicalization
  readonly body?: Canonicalization
  /** Names signed once more than they occur, so that nobody can add one. */
  readonly oversign?: readonly string[]
  /** Names signed as often as they occur. */
  readonly sign?: readonly string[]
}

/** What a reader sees, or a mail program acts on: none of it may be added to. */
export const OVERSIGN: readonly string[] = [
  'Subject',
  'Sender',
  'To',
  'Cc',
  'From',
  'Date',
  'MIME-Version',
  'Content-Type',
  'Content-Transfer-Encoding',
  'Reply-To',
  'In-Reply-To',
  'Message-ID',
  'References',
  'Autocrypt',
  'OpenPGP',
]
/** What lists and those who resend may have reason to add. */
export const SIGN: readonly string[] = [
  'List-Id',
  'List-Help',
  'List-Unsubscribe',
  'List-Unsubscribe-Post',
  'List-Post',
  'List-Owner',
  'List-Archive',
  'Resent-To',
  'Resent-Sender',
  'Resent-Message-ID',
  'Resent-Date',
  'Resent-From',
  'Resent-Cc',
]

const rsa = promisify(signOctets)

/** DKIM-Signature fields, one for each key, without their last line end, in the order of the keys. Throws TypeError for a message without From, which cannot be signed. */
export async function signDkim(message: Message, options: SignOptions): Promise<readonly string[]> {
  const { header = 'relaxed', body = 'relaxed', now, lifetime } = options
  if (message.named('from').length === 0) throw new TypeError('a message without From cannot be signed')
  const names = namesToSign(message, options.oversign ?? OVERSIGN, options.sign ?? SIGN)
  const hash = (await message.bodyHashes([body])).get(body)?.digest.toString('base64') ?? ''
  const seconds = Math.floor(now / 1000)
  const fields = selectFields(message, names)
  return Promise.all(
    options.keys.map(async (key) => {
      const tags = [
        'v=1',
        `a=${key.algorithm}`,
        `c=${header}/${body}`,
        `d=${key.domain}`,
        `s=${key.selector}`,
        `t=${seconds}`,
        ...(lifetime === undefined ? [] : [`x=${seconds + lifetime}`]),
        foldedNames(names),
        `bh=${hash}`,
      ]
      return signedField('DKIM-Signature', tags, key, (field) => signedOctets(fields, field, header))
    }),
  )
}

/** RFC 6376 §5.4: names as they stand in h=, lower case. From is always among them. */
export function namesToSign(message: Message, oversign: readonly string[], sign: readonly string[]): readonly string[] {
  const names: string[] = []
  const over = new Set(oversign.map((name) => name.toLowerCase()))
  const plain = new Set(sign.map((name) => name.toLowerCase()).filter((name) => !over.has(name)))
  if (!over.has('from')) plain.add('from')
  for (const name of [...over, ...plain]) {
    const times = message.named(name).length + (over.has(name) ? 1 : 0)
    for (let i = 0; i < times; i++) names.push(name)
  }
  return names
}

/** The h= tag in pieces that fit a line. */
export function foldedNames(names: readonly string[]): string {
  const lines: string[] = []
  let line = 'h='
  for (const [i, name] of names.entries()) {
    const piece = i === names.length - 1 ? name : `${name}:`
    if (line.length + piece.length > LINE - 2 && line !== 'h=') {
      lines.push(line)
      line = ''
    }
    line += piece
  }
  lines.push(line)
  return lines.join('\r\n\t')
}

/** RFC 5322 §2.1.1. */
const LINE = 76

/** A field of these tags and a signature over `octets` of it in b=, folded. */
export async function signedField(
  name: string,
  tags: readonly string[],
  key: SigningKey,
  octets: (field: Field) => Buffer,
): Promise<string> {
  let text = `${name}:`
  let column = text.length
  for (const tag of [...tags, 'b=']) {
    const piece = tag === 'b=' ? tag : `${tag};`
    const first = piece.split('\r\n', 1)[0] ?? ''
    if (column + 1 + first.length > LINE) {
      text += `\r\n\t${piece}`
      column = 1 + piece.length
    } else {
      text += ` ${piece}`
      column += 1 + piece.length
    }
    const last = piece.lastIndexOf('\n')
    if (last >= 0) column = piece.length - last
  }
  const value = await signature(octets(Field.of(text)), key)
  const width = LINE - 1
  const lines = [value.slice(0, Math.max(0, LINE - column))]
  for (let at = Math.max(0, LINE - column); at < value.length; at += width) lines.push(value.slice(at, at + width))
  return text + lines.filter((line, i) => i === 0 || line !== '').join('\r\n\t')
}

async function signature(octets: Buffer, { algorithm, key }: SigningKey): Promise<string> {
  // RSA takes a third of a millisecond and more: a thread does it. Ed25519 is done sooner than a thread is asked.
  const value =
    algorithm === 'rsa-sha256'
      ? await rsa('sha256', octets, key)
      : signOctets(null, createHash('sha256').update(octets).digest(), key)
  return value.toString('base64')
}
