// RFC 5256 THREAD: small mailboxes with known answers, and random ones against a plain reading of the RFC's steps.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { Headers } from '@aviso/mime'
import { joinKeys, type Mailbox, type MailboxSnapshot, messageKeys } from '../src/index.ts'
import { forestText } from '../src/thread/forest.ts'
import { threadPositions } from '../src/thread/run.ts'
import { targetOfSnapshot } from '../src/search/target.ts'
import { type Mail, put, room } from './searching.ts'

const pace = { winded: false, breathe: async () => undefined }

/** A message with an id, a subject, and references, a day after another. */
let days = 0
const note = (id: string, text: string, ...references: string[]): Mail => ({
  header: [
    `Subject: ${text}`,
    ...(id === '' ? [] : [`Message-ID: <${id}>`]),
    ...(references.length === 0 ? [] : [`References: ${references.map((one) => `<${one}>`).join(' ')}`]),
  ],
  date: Date.UTC(2026, 0, 1) + days++ * 86_400_000,
})

async function threads(
  messages: readonly Mail[],
  algorithm: 'ORDEREDSUBJECT' | 'REFERENCES' | 'REFS',
): Promise<string> {
  const keys = messages.map(({ header }) => messageKeys(Headers.parse(Buffer.from(`${header.join('\r\n')}\r\n\r\n`))))
  const mailbox: Partial<Mailbox> = {
    cache: new Map<string, unknown>(),
    async *keys(uids, field) {
      yield { uids, keys: joinKeys(uids.map((uid) => keys[uid - 1]?.[field] ?? '')) }
    },
  }
  const { length } = messages
  const positions = Uint32Array.from(messages.keys())
  const uids = positions.map((position) => position + 1)
  const snapshot: MailboxSnapshot = {
    uidValidity: 1,
    uidNext: length + 1,
    highestModseq: 1,
    uids,
    flags: new Uint32Array(length),
    flagSets: [[]],
    modseqs: new Float64Array(length),
    sizes: new Float64Array(length),
    internalDates: Float64Array.from(messages, ({ date = 0 }) => date),
    zones: new Int16Array(length),
  }
  const target = targetOfSnapshot(mailbox as Mailbox, snapshot, Infinity)
  return [...forestText(await threadPositions(target, positions, algorithm, pace), uids)].join('')
}

const cases: readonly (readonly [string, readonly Mail[], string])[] = [
  ['a chain', [note('a', 's'), note('b', 'Re: s', 'a'), note('c', 'Re: s', 'a', 'b')], '(1 2 3)'],
  ['48: siblings are no chain', [note('a', 's'), note('b', 'x', 'a'), note('c', 'y', 'a')], '(1 (2)(3))'],
  ['48: a missing parent keeps its children together', [note('b', 'x', 'a'), note('c', 'y', 'a')], '((1)(2))'],
  ['a missing parent with one child leaves it at the top', [note('b', 'x', 'a'), note('c', 'y')], '(1)(2)'],
  [
    'a missing message in the middle',
    [note('a', 's'), note('c', 'x', 'a', 'b'), note('d', 'y', 'a', 'b')],
    '(1 (2)(3))',
  ],
  ['missing ancestors of missing ones', [note('c', 'x', 'a', 'b1'), note('d', 'y', 'a', 'b2')], '((1)(2))'],
  ['48: a loop of two', [note('a', 's', 'b'), note('b', 't', 'a')], '(2 1)'],
  ['a message that refers to itself', [note('a', 's', 'a'), note('b', 't', 'a', 'b')], '(1)(2)'],
  ['48: the first of two with one id has it', [note('a', 's'), note('a', 't'), note('b', 'u', 'a')], '(1 3)(2)'],
  ['messages without ids', [note('', 's'), note('', 't'), note('', 's')], '((1)(3))(2)'],
  ['no references, no parent, whatever another one says', [note('b', 'x'), note('c', 'y', 'a', 'b')], '(1 2)'],
  [
    'In-Reply-To where there are no references',
    [note('a', 's'), { header: ['Subject: x', 'Message-ID: <b>', 'In-Reply-To: <a> <z>'] }],
    '(1 2)',
  ],
  ['an answer by its subject', [note('a', 'plan'), note('b', 'Re: plan')], '(1 2)'],
  ['two of one subject, none an answer', [note('a', 'plan'), note('b', '[x] plan')], '((1)(2))'],
  ['an answer and then what it answers', [note('b', 'Re: plan'), note('a', 'plan')], '(2 1)'],
  ['two answers without their message', [note('b', 'Re: plan'), note('c', 'Fwd: PLAN (fwd)')], '((1)(2))'],
  [
    'a group takes others of its subject',
    [note('b', 'plan', 'x'), note('c', 'plan', 'x'), note('d', 'Re: plan')],
    '((1)(2)(3))',
  ],
  [
    'groups of one subject join',
    [note('a', 's', 'x'), note('b', 's', 'x'), note('c', 's', 'y'), note('d', 't', 'y')],
    '((1)(2)(3)(4))',
  ],
  ['empty subjects are not gathered', [note('a', ''), note('b', ''), note('c', 'Re:')], '(1)(2)(3)'],
  ['deeper ones are not gathered', [note('a', 's'), note('b', 'plan', 'a'), note('c', 'plan')], '(1 2)(3)'],
]

for (const [name, messages, expected] of cases)
  test(`REFERENCES: ${name}`, async () => assert.equal(await threads(messages, 'REFERENCES'), expected))

test('siblings and threads are in the order of their dates', async () => {
  const late = note('z', 'late', 'a')
  const messages = [note('c', 'x'), note('a', 'y'), note('b', 'z', 'a'), late]
  const dated = (mail: Mail, date: string): Mail => ({ ...mail, header: [...mail.header, `Date: ${date}`] })
  assert.equal(await threads(messages, 'REFERENCES'), '(1)(2 (4)(3))')
  assert.equal(
    await threads(
      messages.map((mail, i) => dated(mail, `Mon, ${10 - i} Feb 2026 10:00:00 +0000`)),
      'REFERENCES',
    ),
    '(2 (4)(3))(1)',
  )
})

test('REFS: no subjects, and the thread that was written to last stands last', async () => {
  const messages = [note('a', 's'), note('b', 's'), note('c', 'Re: s', 'x'), note('d', 'q', 'x'), note('e', 'r', 'a')]
  assert.equal(await threads(messages, 'REFERENCES'), '((1 5)(2)(3)(4))')
  assert.equal(await threads(messages, 'REFS'), '(2)((3)(4))(1 5)')
})

test('ORDEREDSUBJECT: one thread for each base subject, without grandchildren', async () => {
  const messages = [note('a', 'b'), note('b', 'a'), note('c', 'Re: b'), note('d', '[l] B (fwd)'), note('e', '')]
  assert.equal(await threads(messages, 'ORDEREDSUBJECT'), '(1 (3)(4))(2)(5)')
})

test('THREAD as it is spoken: only what was found, by number or UID, from the cache, and after changes', async (t) => {
  const { say, mail } = await room(t, [
    note('a', 's'),
    note('b', 'Re: s', 'a'),
    note('c', 'Re: s', 'b'),
    note('d', 'x'),
  ])
  assert.equal(await say('THREAD REFERENCES UTF-8 ALL'), '* THREAD (1 2 3)(4)')
  assert.equal(await say('THREAD REFERENCES UTF-8 ALL'), '* THREAD (1 2 3)(4)')
  // Without the one in the middle its answer still belongs to the first, by its subject.
  assert.equal(await say('THREAD REFERENCES UTF-8 NOT 2'), '* THREAD (1 3)(4)')
  assert.equal(await say('THREAD REFS UTF-8 NOT 2'), '* THREAD (1)(3)(4)')
  const box = await mail.open().open('INBOX')
  await box.store([1], { action: 'add', flags: ['\\Deleted'] })
  await box.expunge([1])
  await put(mail, [note('e', 'y', 'd')])
  await say('NOOP')
  assert.equal(await say('THREAD REFERENCES US-ASCII ALL'), '* THREAD (1 2)(3 4)')
  assert.equal(await say('UID THREAD REFERENCES UTF-8 ALL'), '* THREAD (2 3)(4 5)')
  assert.equal(await say('UID THREAD ORDEREDSUBJECT UTF-8 SUBJECT none'), '* THREAD')
  for (const args of ['BOGUS UTF-8 ALL', 'REFERENCES UTF-8', 'REFERENCES'])
    assert.match(await say(`THREAD ${args}`), /BAD/, args)
})

test('a chain of six thousand, in both directions, and references made to be slow', async () => {
  const count = 6000
  const chain = Array.from({ length: count }, (_, i) => note(`m${i}`, 's', ...(i > 0 ? [`m${i - 1}`] : [])))
  assert.equal(await threads(chain, 'REFERENCES'), `(${chain.map((_, i) => i + 1).join(' ')})`)
  const backwards = Array.from({ length: count }, (_, i) => note(`m${i}`, 's', `m${i + 1}`))
  assert.equal(await threads(backwards, 'REFERENCES'), `(${backwards.map((_, i) => count - i).join(' ')})`)
  // Each asks, from deep below, whether the top may hang below it.
  const hostile = [
    ...Array.from({ length: 3000 }, (_, i) => note(`m${i}`, '', ...(i > 0 ? [`m${i - 1}`] : []))),
    ...Array.from({ length: 3000 }, (_, i) => note(`h${i}`, '', 'm2999', 'm0', 'm2998', 'm1')),
  ]
  assert.match(await threads(hostile, 'REFS'), /^\(1 2 \(3 4 /)
})

// --- A plain reading of the RFC ----------------------------------------------------------------------------------------------------

interface Node {
  number: number
  date: number
  subject: string
  reply: boolean
  parent: Node | undefined
  children: Node[]
}

interface Written {
  readonly id: number
  readonly references: readonly number[]
  readonly subject: string
  readonly reply: boolean
  readonly date: number
}

function link(parent: Node, child: Node): void {
  for (let at: Node | undefined = parent; at !== undefined; at = at.parent) if (at === child) return
  child.parent = parent
  parent.children.push(child)
}

function unlink(node: Node): void {
  if (node.parent !== undefined) node.parent.children = node.parent.children.filter((one) => one !== node)
  node.parent = undefined
}

const firstOf = (node: Node): Node => (node.number > 0 ? node : (sorted(node.children)[0] ?? node))
const sorted = (nodes: readonly Node[]): Node[] =>
  [...nodes].sort((a, b) => firstOf(a).date - firstOf(b).date || firstOf(a).number - firstOf(b).number)
const dummy = (): Node => ({ number: 0, date: 0, subject: '', reply: false, parent: undefined, children: [] })

/** RFC 5256 §3, REFERENCES, step by step; without step 5 it is REFS up to the order of threads. */
function naive(messages: readonly Written[], gather: boolean): string {
  const table = new Map<number, Node>()
  const nodes = messages.map(({ id, subject, reply, date }, i): Node => {
    const node: Node = { ...dummy(), number: i + 1, subject, reply, date }
    if (id > 0 && !table.has(id)) table.set(id, node)
    return node
  })
  const find = (id: number): Node => {
    const node = table.get(id) ?? dummy()
    table.set(id, node)
    return node
  }
  messages.forEach(({ references }, i) => {
    const named = references.map(find)
    for (let at = 1; at < named.length; at++) {
      const [parent, child] = [named[at - 1], named[at]]
      if (parent !== undefined && child !== undefined && child.parent === undefined) link(parent, child)
    }
    const node = nodes[i]
    const last = named.at(-1)
    if (node === undefined) return
    unlink(node)
    if (last !== undefined) link(last, node)
  })
  let roots = [...new Set([...table.values(), ...nodes])].filter((node) => node.parent === undefined)
  const prune = (siblings: readonly Node[], top: boolean): Node[] =>
    siblings.flatMap((node) => {
      node.children = prune(node.children, false)
      if (node.number > 0) return [node]
      return top && node.children.length > 1 ? [node] : node.children
    })
  roots = sorted(prune(roots, true))
  if (gather) roots = gathered(roots)
  return texts(sorted(roots))
}

function gathered(roots: readonly Node[]): Node[] {
  const subjects = new Map<string, Node>()
  for (const node of roots) {
    const { subject } = firstOf(node)
    const known = subjects.get(subject)
    if (subject === '') continue
    if (known === undefined || (known.number > 0 && (node.number === 0 || (known.reply && !node.reply))))
      subjects.set(subject, node)
  }
  const left = new Set(roots)
  for (const node of roots) {
    const { subject } = firstOf(node)
    const known = subjects.get(subject)
    if (subject === '' || known === undefined || known === node || !left.has(node)) continue
    left.delete(node)
    if (node.number === 0) known.children.push(...node.children)
    else if (known.number === 0 || (node.reply && !known.reply)) known.children.push(node)
    else {
      const both = { ...dummy(), children: [node, known] }
      left.delete(known)
      left.add(both)
      subjects.set(subject, both)
    }
  }
  return [...left]
}

const texts = (nodes: readonly Node[]): string => nodes.map((node) => `(${text(node)})`).join('')

function text(node: Node): string {
  const children = sorted(node.children)
  const below = children.length === 1 ? text(children[0] as Node) : texts(children)
  return node.number === 0 ? below : below === '' ? `${node.number}` : `${node.number} ${below}`
}

const written = fc.record({
  id: fc.integer({ min: 0, max: 9 }),
  references: fc.array(fc.integer({ min: 1, max: 12 }), { maxLength: 4 }),
  subject: fc.constantFrom('', 'a', 'b', 'c', 'd'),
  reply: fc.boolean(),
  date: fc.integer({ min: 1, max: 6 }),
})

const mailOf = ({ id, references, subject, reply, date }: Written): Mail => ({
  header: [
    `Subject: ${reply && subject !== '' ? 'Re: ' : ''}${subject}`,
    ...(id === 0 ? [] : [`Message-ID: <${id}@x>`]),
    ...(references.length === 0 ? [] : [`References: ${references.map((one) => `<${one}@x>`).join(' ')}`]),
  ],
  date: Date.UTC(2026, 0, date),
})

test('random references, loops and duplicates and all, thread as the steps of the RFC have it', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(written, { maxLength: 25 }), async (messages) => {
      const plain = messages.map((one) => ({ ...one, reply: one.reply && one.subject !== '' }))
      const mail = plain.map(mailOf)
      assert.equal(await threads(mail, 'REFERENCES'), naive(plain, true))
      // The order of threads is another with REFS.
      const top = (all: string): string[] => splitTop(all).sort()
      assert.deepEqual(top(await threads(mail, 'REFS')), top(naive(plain, false)))
    }),
    { numRuns: 250 },
  )
})

/** `(1 (2))(3)` → `(1 (2))`, `(3)`. */
function splitTop(all: string): string[] {
  const out: string[] = []
  let depth = 0
  let from = 0
  for (let at = 0; at < all.length; at++) {
    if (all[at] === '(') depth++
    if (all[at] === ')' && --depth === 0) {
      out.push(all.slice(from, at + 1))
      from = at + 1
    }
  }
  return out
}
