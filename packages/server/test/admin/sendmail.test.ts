// The arguments of sendmail(8), as programs write them.

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { sendmailArguments } from '../../src/admin/commands/sendmail.ts'
import { UsageError } from '../../src/admin/terminal.ts'

describe('sendmail arguments', () => {
  const cases: readonly (readonly [words: string, expected: Partial<ReturnType<typeof sendmailArguments>>])[] = [
    // PHP's mail(), cron, git send-email, mutt, mdadm.
    ['-t -i', { fromHeader: true, wholeInput: true, recipients: [] }],
    ['-ti', { fromHeader: true, wholeInput: true }],
    ['-FCronDaemon -i -B8BITMIME -oem root', { fullName: 'CronDaemon', wholeInput: true, recipients: ['root'] }],
    [
      '-i -f anna@example.org ben@example.org carl@example.org',
      { sender: 'anna@example.org', recipients: ['ben@example.org', 'carl@example.org'] },
    ],
    [
      '-oem -oi -f anna@example.org -- ben@example.org',
      { wholeInput: true, sender: 'anna@example.org', recipients: ['ben@example.org'] },
    ],
    ['-f<> -t', { sender: '', fromHeader: true }],
    ['-r <anna@example.org> ben@example.org', { sender: 'anna@example.org' }],
    ['-bm -odb -N failure -- -odd@example.org', { recipients: ['-odd@example.org'] }],
    ['-bp', { queue: true }],
    ['--config x.yaml -t', { common: { config: 'x.yaml' }, fromHeader: true }],
  ]
  for (const [words, expected] of cases)
    test(words, () => {
      const made = sendmailArguments(words.split(' '))
      for (const [key, value] of Object.entries(expected)) assert.deepEqual(made[key as keyof typeof made], value, key)
    })

  test('what is no sending is refused, not taken for it', () => {
    for (const words of [['-bs'], ['-bd'], ['-bi'], ['-I']])
      assert.throws(() => sendmailArguments(words), UsageError, words.join(' '))
  })
})
