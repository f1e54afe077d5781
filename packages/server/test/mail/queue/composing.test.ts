// RFC 3464, 6522, 6533: what a notification is made of, whatever peers put into it.

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import * as fc from 'fast-check'
import { Headers, parseStructure } from '@aviso/mime'
import type { ReportParts } from '../../../src/mail/notifications/contracts.ts'
import { advice } from '../../../src/mail/notifications/advice.ts'
import { composeReport } from '../../../src/mail/notifications/report.ts'
import { Message } from '../../../src/mail/pipeline/message.ts'
import { isOutage, wait } from '../../../src/mail/targets/queue/schedule.ts'
import { SeededRandom } from '../../../src/kernel/random.ts'

const parts = (changes: Partial<ReportParts> = {}, text = 'Subject: Hi\r\n\r\nHi\r\n'): ReportParts => {
  const message = Message.of(Buffer.from(text))
  return {
    id: 'report1',
    kind: 'failure',
    hostname: 'mail.example.org',
    domain: 'example.org',
    at: 86_400_000,
    facts: [
      {
        recipient: 'zoe@far.example',
        action: 'failed',
        status: '5.1.1',
        reply: { code: 550, text: 'No' },
        at: 86_400_000,
      },
    ],
    mail: {
      created: 0,
      sender: 'anna@example.org',
      parameters: { body: '7BIT', smtpUtf8: false, requireTls: false },
      message,
      size: message.size,
    },
    ...changes,
  }
}

describe('composing', () => {
  test('whatever a peer writes makes no fields, parts or lines of its own', async () => {
    const hostile = fc.oneof(
      fc.string({ unit: 'binary', maxLength: 300 }),
      fc.constantFrom(
        '\r\nX-Evil: 1',
        '\n\n--=_report1_aviso--\r\n',
        '\u2028X-Evil: 1',
        '\r\n\r\nX',
        'a'.repeat(3000),
        '\0',
        '=?utf-8?q?=0D=0AX-Evil:?=',
      ),
    )
    await fc.assert(
      fc.asyncProperty(
        hostile,
        hostile,
        hostile,
        hostile,
        fc.boolean(),
        async (reply, remote, subject, envid, smtpUtf8) => {
          const clean = subject.replace(/[\r\n\0]/g, ' ')
          const report = await composeReport(
            parts({
              facts: [
                {
                  recipient: 'zoe@far.example',
                  originalRecipient: { type: 'rfc822', address: remote },
                  action: 'failed',
                  status: '5.1.1',
                  reply: { code: 550, text: reply },
                  remote,
                  at: 0,
                },
              ],
              mail: {
                ...parts({}, `Subject: ${clean}\r\nMessage-ID: ${clean}\r\n\r\nHi\r\n`).mail,
                parameters: { body: '8BITMIME', smtpUtf8, requireTls: false, envid },
              },
            }),
          )
          const { bytes } = report
          const text = Buffer.from(bytes).toString('utf8')
          const structure = parseStructure(bytes)
          assert.equal(structure.children?.length, 3)
          const names = [...Headers.parse(bytes.subarray(0, text.indexOf('\r\n\r\n') + 4)).fields()].map(
            ({ name }) => name,
          )
          const known = [
            'Date',
            'From',
            'To',
            'Subject',
            'Message-ID',
            'In-Reply-To',
            'References',
            'Auto-Submitted',
            'MIME-Version',
            'Content-Type',
          ]
          assert.deepEqual(
            names.filter((name) => !known.includes(name)),
            [],
          )
          const machine = /delivery-status\r\n.*\r\n\r\n([\s\S]*?)\r\n--=_report1_aviso\r\n/.exec(text)?.[1] ?? ''
          const fields = machine
            .split('\r\n')
            .filter((line) => line !== '' && !line.startsWith(' '))
            .map((line) => line.split(':')[0])
          assert.deepEqual(
            fields.filter((name) => name !== 'Original-Envelope-Id'),
            [
              'Reporting-MTA',
              'Arrival-Date',
              'Original-Recipient',
              'Final-Recipient',
              'Action',
              'Status',
              'Remote-MTA',
              'Diagnostic-Code',
              'Last-Attempt-Date',
            ],
          )
          assert.ok(!/(?<!\r)\n|\r(?!\n)|\0/.test(text), 'no line end alone, no NUL')
          if (!smtpUtf8) assert.ok(!report.smtpUtf8)
        },
      ),
      { numRuns: 300 },
    )
  })

  test('octets beyond ASCII make it 8BITMIME, pure ASCII stays 7BIT', async () => {
    assert.equal((await composeReport(parts())).body, '7BIT')
    assert.equal((await composeReport(parts({}, 'Subject: Hi\r\n\r\nGr\u00fc\u00dfe\r\n'))).body, '8BITMIME')
  })

  test('what must be protected comes back as its header only (RFC 8689 section 5), binary too (RFC 3030)', async () => {
    for (const parameters of [
      { body: '7BIT', smtpUtf8: false, requireTls: true },
      { body: 'BINARYMIME', smtpUtf8: false, requireTls: false },
    ] as const) {
      const given = parts({}, 'Subject: Hi\r\n\r\nSecret\r\n')
      const { bytes } = await composeReport({ ...given, mail: { ...given.mail, parameters } })
      assert.ok(!Buffer.from(bytes).includes('Secret'))
      assert.ok(Buffer.from(bytes).includes('text/rfc822-headers'))
    }
  })

  test('a header that is very long is cut at the end of a line', async () => {
    const { bytes } = await composeReport(parts({ kind: 'delay' }, `${'X-Long: yes\r\n'.repeat(20_000)}\r\nHi\r\n`))
    assert.ok(bytes.byteLength < 70_000)
    assert.match(Buffer.from(bytes).toString(), /X-Long: yes\r\n\r\n--=_report1_aviso--\r\n$/)
  })

  test('advice stands for what there is to do', () => {
    assert.match(advice('5.1.1', true) ?? '', /no such address/)
    assert.match(advice('4.2.2', true) ?? '', /full/)
    assert.match(advice('4.4.1', false) ?? '', /could not be reached/)
    assert.equal(advice('5.7.1', false), undefined)
    assert.equal(advice('5.0.0', true), undefined)
  })
})

describe('the schedule', () => {
  test('waits lie within the jitter of the plan, the last one repeats', () => {
    const random = new SeededRandom(5)
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 1000 }),
        fc.double({ min: 0, max: 0.5, noNaN: true }),
        (failures, jitter) => {
          const retry = [1000, 5000, 60_000]
          const base = retry[Math.min(failures, 3) - 1] ?? 0
          const ms = wait({ retry, jitter }, failures, random)
          assert.ok(ms >= Math.floor(base * (1 - jitter)) && ms <= Math.ceil(base * (1 + jitter)))
        },
      ),
    )
  })

  test('whose fault it is', () => {
    for (const [code, enhanced, outage] of [
      [451, '4.4.1', true],
      [421, '4.7.0', true],
      [452, '4.3.1', true],
      [450, '4.7.1', false],
      [452, '4.2.2', false],
      [451, '4.3.0', false],
    ] as const)
      assert.equal(isOutage({ code, enhanced }), outage, `${code} ${enhanced}`)
  })
})
