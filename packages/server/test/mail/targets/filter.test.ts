// The program that chooses mailbox and flags.

import assert from 'node:assert/strict'
import { chmodSync, existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, test, type TestContext } from 'node:test'
import * as fc from 'fast-check'
import { filingOf } from '../../../src/mail/targets/filter.ts'
import { ProgramError } from '../../../src/mail/programs/run.ts'
import { Mailboxes } from '../../../src/mail/mailboxes/mailboxes.ts'
import { testFolder } from '../../accounts/tables/fixture.ts'
import { openHouse, type Options, refusal } from '../pipeline/house.ts'

async function filtered(t: TestContext, script: string, settings: object = {}, options: Options = {}) {
  const folder = testFolder(t)
  const command = join(folder, 'filter')
  writeFileSync(command, `#!/bin/sh\n${script}\n`)
  chmodSync(command, 0o755)
  const house = await openHouse(t, { ...options, config: { filter: { command, ...settings } } } as Options)
  for (const account of house.fake.list.values()) await house.scope.use(Mailboxes).room.create(account)
  return { house, folder }
}

const flagsOf = async (house: Awaited<ReturnType<typeof openHouse>>, local: string, mailbox: string) => {
  const account = house.fake.list.get(`${local}@example.org`)
  assert.ok(account)
  const box = await house.scope.use(Mailboxes).open(account).open(mailbox)
  const { flagSets, flags } = await box.snapshot()
  return flagSets[flags[0] ?? 0] ?? []
}

describe('mail.filter', () => {
  test('the first line is the mailbox, the others are flags; the program sees the mail and whom it is for', async (t) => {
    const { house, folder } = await filtered(
      t,
      'cat > "$(dirname "$0")/mail"; echo "$@" > "$(dirname "$0")/args"; echo Archive; echo "\\\\Seen"; echo work',
      {
        arguments: ['{owner}', '{recipient}', '{original-recipient}', '{sender}', '{subject}'],
      },
    )
    house.fake.aliases.set('info@example.org', ['anna@example.org'])
    await house.receive({ to: ['info@example.org'] })
    assert.equal((await house.mails('anna', 'Archive')).length, 1)
    assert.deepEqual([...(await flagsOf(house, 'anna', 'Archive'))].toSorted(), ['\\Seen', 'work'])
    assert.equal(
      readFileSync(join(folder, 'args'), 'utf8'),
      'anna@example.org anna@example.org info@example.org bo@example.net Hello\n',
    )
    assert.match(readFileSync(join(folder, 'mail'), 'utf8'), /^Received: [^]*Subject: Hello\r\n/)
  })

  test('nothing said, or a mailbox that is not there: INBOX, and no mailbox is made', async (t) => {
    for (const script of ['cat >/dev/null', 'echo Nowhere', 'echo inbox']) {
      const { house } = await filtered(t, script)
      await house.receive({ to: ['anna@example.org'] })
      assert.equal((await house.mails('anna')).length, 1, script)
      assert.deepEqual(await house.mails('anna', 'Nowhere'), [])
    }
  })

  test('each account is asked for alone', async (t) => {
    const { house } = await filtered(t, 'test "$1" = anna@example.org && echo Archive; exit 0', {
      arguments: ['{owner}'],
    })
    await house.receive({ to: ['anna@example.org', 'ben@example.org'] })
    assert.equal((await house.mails('anna', 'Archive')).length, 1)
    assert.equal((await house.mails('ben')).length, 1)
  })

  test('quarantined mail goes to Junk without it', async (t) => {
    const { house } = await filtered(
      t,
      'echo Archive',
      {},
      { check: { sender: () => ({ action: 'quarantine', why: 'x' }) } },
    )
    await house.receive({ to: ['anna@example.org'] })
    assert.equal((await house.mails('anna', 'Junk')).length, 1)
  })

  for (const script of ['exit 1', 'echo Archive; echo "no flag"', 'kill -9 $$'])
    test(`a filter that fails (${script}): later, or INBOX as the config says`, async (t) => {
      const { house } = await filtered(t, script)
      await assert.rejects(house.receive({ to: ['anna@example.org'] }), refusal(451, '4.3.0'))
      assert.deepEqual(await house.mails('anna'), [])
      const { house: lax } = await filtered(t, script, { failure: 'inbox' })
      await lax.receive({ to: ['anna@example.org'] })
      assert.equal((await lax.mails('anna')).length, 1)
    })

  test('X-20 a filter that hangs is ended after its time: later', async (t) => {
    const { house, folder } = await filtered(t, 'touch "$(dirname "$0")/begun"; exec sleep 600', { timeout: '7s' })
    const refused = assert.rejects(house.receive({ to: ['anna@example.org'] }), refusal(451, '4.3.0'))
    while (!existsSync(join(folder, 'begun'))) await new Promise((resolve) => setImmediate(resolve))
    house.clock.turn(7_000)
    await refused
    assert.deepEqual(await house.mails('anna'), [])
  })

  test('whatever it prints, it is a mailbox with flags, or a failure', () =>
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (output) => {
        try {
          const { mailbox, flags = [] } = filingOf(output)
          assert.ok(mailbox === undefined || (mailbox !== '' && !/\p{Cc}/u.test(mailbox)))
          assert.ok(flags.every((flag) => /^\\?[^\s(){%*"\\\]]+$/.test(flag)))
        } catch (error) {
          assert.ok(error instanceof ProgramError)
        }
      }),
    ))
})
