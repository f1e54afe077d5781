// A courier behind the contract of targets: what a mail of the pipeline becomes on its way out, and what comes back.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type MailAddress, parseMailAddress } from '@aviso/mime'
import type { MailParameters } from '@aviso/smtp'
import { HandClock } from '../../../src/kernel/clock.ts'
import { silentLog } from '../../../src/kernel/log.ts'
import type { Client, Mail, Outcome, Routed } from '../../../src/mail/pipeline/contracts.ts'
import { Findings } from '../../../src/mail/pipeline/findings.ts'
import { Message } from '../../../src/mail/pipeline/message.ts'
import { answer } from '../../../src/mail/targets/remote/answers.ts'
import type { Courier, Parcel } from '../../../src/mail/targets/remote/contracts.ts'
import { all } from '../../../src/mail/targets/remote/courier.ts'
import { CourierTarget } from '../../../src/mail/targets/remote/target.ts'
import { testScope } from '../../fixtures/scope.ts'

const clock = new HandClock()
const findings = new Findings()
const client: Client = {
  session: 's',
  log: silentLog(),
  protocol: 'queue',
  remoteAddress: '',
  hello: '',
  extended: true,
  tls: undefined,
  account: undefined,
  once: (finding, make) => findings.once(finding, make),
}

const addressOf = (text: string): MailAddress => parseMailAddress(text) ?? assert.fail(text)

const mail = (parameters: Partial<MailParameters> = {}): Mail => ({
  id: 'm1',
  client,
  reversePath: addressOf('anna@example.org'),
  sender: addressOf('anna@example.org'),
  parameters: { body: '7BIT', smtpUtf8: false, requireTls: false, ...parameters },
  recipients: [],
  received: clock.now(),
  results: [],
  simulated: false,
  external: false,
  once: (finding, make) => findings.once(finding, make),
})

const to = (local: string, domain: string): Routed => {
  const address = addressOf(`${local}@${domain}`)
  return { recipient: { address, parameters: { notify: ['DELAY'] } }, address, account: undefined }
}

/** A courier that remembers parcels: domain `no.example` refuses, all others take. */
function remembering(): Courier & { readonly parcels: Parcel[] } {
  const parcels: Parcel[] = []
  return {
    parcels,
    send: async (parcel) => {
      parcels.push(parcel)
      const said = parcel.domain === 'no.example' ? answer(550, '5.1.1', 'no such user') : answer(250, '2.0.0', 'taken')
      return all(parcel, said, 'mx.example').map((result) => ({ ...result, how: 'TLSv1.3, dane', relayed: true }))
    },
  }
}

async function deliver(
  courier: Courier,
  given: Mail,
  routed: readonly Routed[],
  { text = 'Subject: x\r\n\r\nbody\r\n', quarantined = false, together = false, takesJunk = false } = {},
): Promise<readonly Outcome[]> {
  const scope = testScope({ clock })
  const target = new CourierTarget({ courier, together, quarantined: takesJunk, scope })
  const delivery = target.begin(given)
  for (const one of routed) await delivery.add(one)
  await delivery.body(Message.of(Buffer.from(text)), quarantined)
  const outcomes = await delivery.commit()
  await scope.close()
  return outcomes
}

const failures = (outcomes: readonly Outcome[]): (string | undefined)[] =>
  outcomes.map(({ failure }) => failure && `${failure.code} ${failure.enhanced}`)

test('recipients split over domains, with partial failures: a parcel for each domain, outcomes in the order of the recipients', async () => {
  const courier = remembering()
  const routed = [to('ben', 'a.example'), to('cleo', 'no.example'), to('dora', 'A.example'), to('emil', 'b.example')]
  const outcomes = await deliver(courier, mail(), routed)
  assert.deepEqual(failures(outcomes), [undefined, '550 5.1.1', undefined, undefined])
  assert.deepEqual(
    outcomes.map((outcome) => outcome.routed),
    routed,
  )
  assert.deepEqual([outcomes[0]?.remote, outcomes[0]?.how, outcomes[0]?.relayed], ['mx.example', 'TLSv1.3, dane', true])
  assert.deepEqual(
    courier.parcels.map(({ recipients }) => recipients.map(({ address }) => address.toLowerCase())),
    [['ben@a.example', 'dora@a.example'], ['cleo@no.example'], ['emil@b.example']],
  )
  assert.deepEqual(courier.parcels[0]?.recipients[0]?.notify, ['DELAY'])
})

test('to servers that are fixed all go in one parcel', async () => {
  const courier = remembering()
  await deliver(courier, mail(), [to('ben', 'a.example'), to('cleo', 'b.example')], { together: true })
  assert.equal(courier.parcels.length, 1)
})

test('quarantined mail is not sent to strangers: 550 5.7.0; to a store of ours it may go', async () => {
  const courier = remembering()
  assert.deepEqual(failures(await deliver(courier, mail(), [to('ben', 'a.example')], { quarantined: true })), [
    '550 5.7.0',
  ])
  assert.equal(courier.parcels.length, 0)
  const own = await deliver(courier, mail(), [to('ben', 'a.example')], { quarantined: true, takesJunk: true })
  assert.deepEqual(failures(own), [undefined])
})

test('the parameters of MAIL go along; TLS-Required: No is read from the header, and no other value', async () => {
  const courier = remembering()
  const parameters = { requireTls: true, smtpUtf8: true, ret: 'HDRS', envid: 'e1', priority: 4 } as const
  for (const [field, expected] of [
    ['TLS-Required: No', true],
    ['tls-required:  NO ', true],
    ['TLS-Required: Yes', false],
    ['Subject: TLS-Required: No', false],
  ] as const) {
    await deliver(courier, mail(parameters), [to('ben', 'a.example')], { text: `${field}\r\n\r\nx\r\n` })
    assert.equal(courier.parcels.at(-1)?.tlsOptional, expected, field)
  }
  const { requireTls, smtpUtf8, ret, envid, priority, sender } = courier.parcels[0] ?? {}
  assert.deepEqual(
    { requireTls, smtpUtf8, ret, envid, priority, sender },
    { ...parameters, sender: 'anna@example.org' },
  )
})

test('DELIVERBY: the time that is left goes along; when it is over, what must be given back is given back', async () => {
  const courier = remembering()
  const given = (late: 'return' | 'notify'): Mail => mail({ deliverBy: { seconds: 60, late, trace: false } })
  const [returned, notified] = [given('return'), given('notify')]
  clock.turn(40_500)
  assert.deepEqual(failures(await deliver(courier, returned, [to('ben', 'a.example')])), [undefined])
  assert.equal(courier.parcels[0]?.deliverBy?.seconds, 19)
  clock.turn(20_000)
  assert.deepEqual(failures(await deliver(courier, returned, [to('ben', 'a.example')])), ['550 5.4.7'])
  assert.deepEqual(failures(await deliver(courier, notified, [to('ben', 'a.example')])), [undefined])
  assert.equal(courier.parcels.at(-1)?.deliverBy?.seconds, -1)
})

test('a delivery that is called off stops what is under way', async () => {
  const scope = testScope()
  let stopped = false
  const courier: Courier = {
    send: (_parcel, signal) =>
      new Promise((_resolve, reject) => {
        signal.addEventListener('abort', () => {
          stopped = true
          reject(signal.reason as Error)
        })
      }),
  }
  const delivery = new CourierTarget({ courier, together: false, quarantined: false, scope }).begin(mail())
  await delivery.add(to('ben', 'a.example'))
  await delivery.body(Message.of(Buffer.from('x\r\n')), false)
  const committed = delivery.commit()
  delivery.abort()
  await assert.rejects(committed, /called off/)
  assert.ok(stopped)
  await scope.close()
})
