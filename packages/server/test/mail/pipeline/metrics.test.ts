// What monitoring sees of mail: each figure that the server offers is one that moves, by what it says it counts.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { MailAddress } from '@aviso/mime'
import { accept, type MailCheck, reject } from '../../../src/mail/pipeline/contracts.ts'
import { samples } from '../../fixtures/metrics.ts'
import { openHouse, type Options, refusal } from './house.ts'

const anna = ['anna@example.org']

test('mails are counted by what became of them, verdicts by their check, refusals by their stage and code', async (t) => {
  const check: MailCheck = {
    sender: ({ reversePath }) => (reversePath?.local === 'evil' ? reject(550, '5.7.1', 'Not you') : accept()),
    content: (_mail, { header }) => {
      const wish = header.get('Subject')?.trim()
      if (wish === 'reject') return reject(554, '5.7.1', 'Not that')
      if (wish === 'quarantine') return { action: 'quarantine', why: 'looks odd' }
      if (wish === 'discard') return { action: 'discard', why: 'a virus' }
      if (wish === 'throw') throw new Error('broken')
      return accept()
    },
  }
  const house = await openHouse(t, { check })
  const send = (subject: string) => house.receive({ to: anna, message: `Subject: ${subject}\r\n\r\nHi\r\n` })
  for (const wish of ['hello', 'again', 'quarantine', 'discard']) await send(wish)
  await assert.rejects(send('reject'), refusal(554, '5.7.1'))
  await assert.rejects(send('throw'))
  await assert.rejects(house.receive({ to: anna, from: 'evil@example.net' }), refusal(550, '5.7.1'))
  const passage = await house.incoming.begin(house.client(), null, { body: '7BIT', smtpUtf8: false, requireTls: false })
  await passage.recipient(MailAddress.of('anna', 'example.org') ?? assert.fail(), {})
  await assert.rejects(passage.recipient(MailAddress.of('zoe', 'example.org') ?? assert.fail(), {}))
  passage.abort()
  await house.transport.simulate({ from: 'evil@example.net', to: anna })
  assert.deepEqual(await samples(house.scope, 'aviso_mails_total'), {
    'incoming accepted': 2,
    'incoming quarantined': 1,
    'incoming discarded': 1,
    'incoming rejected': 1,
    'incoming deferred': 1,
    'incoming abandoned': 1,
  })
  assert.deepEqual(await samples(house.scope, 'aviso_mail_verdicts_total'), {
    'incoming test quarantine': 1,
    'incoming test discard': 1,
    'incoming test reject': 2,
    'incoming test defer': 1,
  })
  assert.deepEqual(await samples(house.scope, 'aviso_mail_refusals_total'), {
    'incoming content 554': 1,
    'incoming content 451': 1,
    'incoming sender 550': 1,
    'incoming recipient 550': 1,
  })
})

test('who is sent away by a limit is counted by the limit', async (t) => {
  const limits = { ip: { rate: 1, per: '1h' }, 'recipient-domain': { rate: 1, per: '1h' } }
  const house = await openHouse(t, { config: { incoming: { limits } } } as Options)
  await house.receive({ to: anna })
  for (let i = 0; i < 2; i++) await assert.rejects(house.receive({ to: anna }), refusal(451, '4.4.5'))
  await assert.rejects(house.receive({ to: anna, client: { remoteAddress: '198.51.100.7' } }), refusal(451, '4.4.5'))
  assert.deepEqual(await samples(house.scope, 'aviso_mail_limited_total'), { ip: 2, 'recipient-domain': 1 })
})
