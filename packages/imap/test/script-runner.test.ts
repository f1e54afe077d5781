// The runner of scripts finds what a server does wrong, and says where.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { MemoryMail, readScript, runStory, ScriptFault, serveAccount } from '../src/testing/index.ts'

const HELLO = 'message hello\n| Subject: Hello\n|\n| text\n\n'

/** Runs the one story of a script on an account in memory; the lines of the story begin at 8. */
async function play(story: string): Promise<string[]> {
  const file = readScript('case.txt', `${HELLO}=== a story\ngiven INBOX hello hello(\\Deleted)\n${story}`)
  const mail = new MemoryMail({ name: 'anna' })
  const server = await serveAccount(async () => mail.open())
  const [first] = file.stories
  assert.ok(first)
  try {
    return await runStory(file, first, server, { patience: 500 })
  } finally {
    await server.close()
  }
}

const faults: readonly (readonly [string, string, RegExp])[] = [
  [
    'a wrong value',
    '> FETCH 1 FLAGS\n* 1 FETCH (FLAGS (\\Seen))\nOK',
    /^case\.txt:9: a story: did not come: \* 1 FETCH/,
  ],
  ['an answer that is missing', '> NOOP\n* 3 EXISTS\nOK', /^case\.txt:9: .*did not come: \* 3 EXISTS/],
  ['an answer too many', '> EXPUNGE\nOK', /^case\.txt:9: .*was not expected: \* 2 EXPUNGE/],
  ['an item too many', '> FETCH 1 (FLAGS RFC822.SIZE)\n* 1 FETCH (FLAGS ())\nOK', /^case\.txt:9: .*did not come/],
  ['an answer that is forbidden', '> EXPUNGE\n! * 2 EXPUNGE\n...\nOK', /^case\.txt:9: .*must not come: \* 2 EXPUNGE/],
  ['another status', '> FETCH 1\nOK', /^case\.txt:9: .*expected OK.*BAD/],
  ['another code', '> COPY 1 nowhere\nNO [OVERQUOTA]', /^case\.txt:9: .*TRYCREATE/],
  [
    'another order',
    '> FETCH 1:2 UID\nin order\n* 2 FETCH (UID 2)\n* 1 FETCH (UID 1)\nOK',
    /^case\.txt:11: .*did not come/,
  ],
  ['a variable with two values', '> FETCH 1:2 UID\n* 1 FETCH (UID $u)\n* 2 FETCH (UID $u)\nOK', /^case\.txt:10: /],
  [
    'NIL in place of a string',
    '> FETCH 1 ENVELOPE\n* 1 FETCH (ENVELOPE (NIL NIL $ $ $ $ $ $ $ $))\nOK',
    /^case\.txt:9: /,
  ],
  ['other octets', '> FETCH 1 BODY.PEEK[TEXT]\n* 1 FETCH (BODY[TEXT] "TEXT\\r\\n")\nOK', /^case\.txt:9: /],
  ['a number', 'check 4 > 5', /^case\.txt:8: .*is not so: 4 > 5/],
  ['no end', '> NOOP\nOK\nclosed', /^case\.txt:10: .*waited in vain for the end/],
  ['no continuation', '> NOOP\n+', /^case\.txt:9: .*waited in vain for a continuation/],
  ['a story that ends early', '> NOOP', /^case\.txt:8: .*ends before its answer/],
]

for (const [what, story, said] of faults)
  test(`the fault is found: ${what}`, async () => {
    await assert.rejects(play(story), (error: unknown) => {
      assert.ok(error instanceof ScriptFault, String(error))
      assert.match(error.message, said)
      return true
    })
  })

test('a story that is answered as it says passes, with variables, sets and any order', async () => {
  assert.deepEqual(
    await play(
      '> UID FETCH 1:* (UID FLAGS BODY.PEEK[])\n* 2 FETCH (UID $last BODY[] {{hello}} FLAGS (\\Deleted))\n* 1 FETCH (FLAGS () UID 1 BODY[] $)\nOK\n' +
        'check $last+1 = 3\n> UID SEARCH RETURN (ALL) $last,1\n* ESEARCH (TAG $tag) UID ALL 1,2\nOK',
    ),
    [],
  )
})

test('a story that needs what the server lacks is not run, and says what', async () => {
  assert.deepEqual(await play('needs UIDPLUS X-NOTHING\n> FROBNICATE\nOK'), ['X-NOTHING'])
})

test('a line that is none is told with its number', () => {
  assert.throws(() => readScript('bad.txt', '=== a story\nFROB\n'), /^Error: bad\.txt:2: not a line of a script: FROB/)
  assert.throws(() => readScript('bad.txt', '> NOOP\n'), /^Error: bad\.txt:1: a line outside of a story/)
})
