// `find`, the store's shortcut of text search: it decides as `matchesText` does, on every message.

import assert from 'node:assert/strict'
import type { Mailbox, TextQuery } from '../../backend.ts'
import { matchesText } from '../../search/message-text.ts'
import { CORPUS } from '../corpus.ts'
import { type Kit } from '../kit.ts'
import { ascending, course, message } from '../mail.ts'

const NEEDLES = [
  'good morning',
  'unbreak',
  'breakable',
  'BREAKABLE',
  'Straße',
  'strasse',
  'gesperrt',
  'jörg',
  'JÖRG',
  'Jo\u0308rg',
  'Übersicht der Woche',
  'der woche',
  'café',
  'caf',
  'markup',
  'shout',
  'hidden in',
  'preamble',
  'epilogue',
  'inner subject',
  'zwölf',
  'негритят',
  'НЕГР',
  'example.org',
  '@',
  '<plain@',
  'first second third',
  'second',
  'istanbul',
  'filigree',
  'ångström',
  'x',
  'xx',
  'xyz',
  'é',
  'naïve',
  '',
  ' ',
  '.',
  'no header',
  'subject',
  'report',
  'attachment',
  'r7@example',
  '10:00',
  'nothing has this needle',
  '\\',
  '"',
  '%',
  '*',
  '_',
]

export function search(kit: Kit): void {
  kit.story('find decides as matchesText', async (account) => {
    const messages = [...CORPUS, ...Array.from({ length: 40 }, (_, i) => message(`filler ${i}`, words(i)))]
    const { uids } = await account.append(
      'INBOX',
      messages.map((bytes) => ({ bytes, flags: [] })),
    )
    const mailbox = await account.open('INBOX')
    if (mailbox.find === undefined) {
      assert.ok(!kit.expects.has('find'), 'the store was said to have find')
      return
    }
    for (const needle of NEEDLES) {
      const queries: TextQuery[] = [
        { kind: 'text', text: needle },
        { kind: 'body', text: needle },
        ...['Subject', 'FROM', 'x-folded', 'References', 'No-Such-Field'].map((name): TextQuery => ({
          kind: 'header',
          name,
          text: needle,
        })),
      ]
      for (const query of queries) {
        const expected = uids.filter((_, i) => matchesText(query, messages[i] ?? new Uint8Array()))
        assert.deepEqual(await found(mailbox, query, uids), expected, JSON.stringify(query))
      }
    }
    const half = uids.filter((uid) => uid % 2 === 0)
    const query: TextQuery = { kind: 'text', text: 'example.org' }
    const all = await found(mailbox, query, uids)
    assert.deepEqual(
      await found(mailbox, query, [...half.toReversed(), 88_888]),
      all.filter((uid) => uid % 2 === 0),
    )
    assert.deepEqual(await found(mailbox, query, []), [])
  })

  kit.story('find knows a message from the moment it is there, and forgets it when it is gone', async (account) => {
    const mailbox = await account.open('INBOX')
    if (mailbox.find === undefined) return
    await account.create('kit-to')
    for (let round = 0; round < 5; round++) {
      const { uids } = await account.append('INBOX', [
        { bytes: message('fresh', `needle${round}stack\r\n`), flags: ['\\Deleted'] },
      ])
      const query: TextQuery = { kind: 'body', text: `eedle${round}st` }
      assert.deepEqual(await found(mailbox, query, uids), uids)
      const copy = (await mailbox.copy(uids, 'kit-to')).destination
      assert.deepEqual(await found(await account.open('kit-to'), query, copy), copy)
      await mailbox.expunge(uids)
      assert.deepEqual(await found(mailbox, query, [...uids, ...copy]), [])
    }
  })
}

/** All UIDs of the batches, whose order and progress are looked at. */
async function found(mailbox: Mailbox, query: TextQuery, uids: readonly number[]): Promise<number[]> {
  const out: number[] = []
  let progress = 0
  for await (const batch of mailbox.find?.(query, uids) ?? []) {
    assert.ok(batch.progress >= progress && batch.progress <= 1, 'progress grows up to 1')
    progress = batch.progress
    out.push(...batch.uids)
  }
  assert.ok(ascending(out), 'ascending over all batches')
  return out
}

function words(seed: number): string {
  const random = course(seed + 1)
  const letters = 'etaoinshrdlu'
  const word = (): string => Array.from({ length: 2 + random(8) }, () => letters[random(letters.length)]).join('')
  return `${Array.from({ length: 30 }, word).join(' ')}\r\n`
}
