// Long mails on their way into mailboxes: so many of them at the same time as there is memory for.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseMailAddress } from '@aviso/mime'
import type { Account } from '../../../src/accounts/contracts.ts'
import type { Mailboxes } from '../../../src/mail/mailboxes/mailboxes.ts'
import type { Delivery, Mail, Outcome, Routed } from '../../../src/mail/pipeline/contracts.ts'
import { Message, type Octets } from '../../../src/mail/pipeline/message.ts'
import { MailboxTarget } from '../../../src/mail/targets/mailbox.ts'
import { silentLog } from '../../../src/kernel/log.ts'

const HEAD = Buffer.from('Subject: long\r\n\r\n')

const address = parseMailAddress('anna@example.org')
const account: Account = {
  id: 'anna',
  address: 'anna@example.org',
  local: 'anna',
  domain: 'example.org',
  role: 'user',
  disabled: false,
}

function mail(id: string): Mail {
  return {
    id,
    client: {
      session: id,
      log: silentLog(),
      protocol: 'smtp',
      remoteAddress: '192.0.2.1',
      hello: 'mx.far.example',
      extended: true,
      tls: undefined,
      account: undefined,
      once: async (_finding, make) => make(),
    },
    reversePath: null,
    sender: null,
    parameters: { body: '8BITMIME', smtpUtf8: false, requireTls: false },
    recipients: [],
    received: 0,
    results: [],
    simulated: false,
    external: false,
    once: async (_finding, make) => make(),
  }
}

/** A mail of so many octets that lies in a file. */
function inFile(octets: number, chunks: Octets['chunks']): Message {
  return Message.from(HEAD, { size: HEAD.byteLength + octets, bytes: undefined, chunks })
}

function begin(target: MailboxTarget, id: string, message: Message): Delivery {
  assert.ok(address !== undefined)
  const routed: Routed = { recipient: { address, parameters: {} }, address, account }
  const delivery = target.begin(mail(id))
  void delivery.add(routed)
  void delivery.body(message, false)
  return delivery
}

/** Mailboxes that keep what comes until they are let go on. */
function slowMailboxes() {
  const arrived: { readonly id: string; readonly octets: number; readonly done: () => void }[] = []
  const mailboxes: Pick<Mailboxes, 'deliver'> = {
    deliver: (_account, { bytes, deliveryId }) =>
      new Promise((resolve) =>
        arrived.push({
          id: deliveryId,
          octets: bytes.byteLength,
          done: () => resolve({ uid: 1, mailboxId: 'inbox' }),
        }),
      ),
  }
  return { arrived, mailboxes: mailboxes as Mailboxes }
}

const turn = () => new Promise((resolve) => setImmediate(resolve))
const MEGABYTE = 1024 * 1024

async function* zeros(): AsyncGenerator<Uint8Array> {
  yield new Uint8Array(MEGABYTE)
}

test('a long mail is not read before there is memory for it; a short one need not wait', async () => {
  const { arrived, mailboxes } = slowMailboxes()
  const target = new MailboxTarget(mailboxes, undefined, 1.5 * MEGABYTE)
  let read = 0
  const counted = async function* (): AsyncGenerator<Uint8Array> {
    read++
    yield* zeros()
  }
  const commits = ['one', 'two'].map((id) => begin(target, id, inFile(MEGABYTE, counted)).commit())
  const short = begin(target, 'short', Message.of(Buffer.from('Subject: short\r\n\r\nHi\r\n'))).commit()
  while (arrived.length < 2) await turn()
  await turn()
  assert.deepEqual([read, arrived.map(({ id }) => id).sort()], [1, ['one', 'short']])
  for (const { done } of arrived.splice(0)) done()
  while (arrived.length < 1) await turn()
  assert.deepEqual([read, arrived.map(({ id }) => id)], [2, ['two']])
  for (const { done } of arrived) done()
  const outcomes: readonly Outcome[] = (await Promise.all([...commits, short])).flat()
  assert.deepEqual(
    outcomes.map(({ failure }) => failure),
    [undefined, undefined, undefined],
  )
})

test('a mail that cannot be read is later for its mailboxes, and leaves its memory to others', async () => {
  const { arrived, mailboxes } = slowMailboxes()
  const target = new MailboxTarget(mailboxes, undefined, MEGABYTE)
  const broken = inFile(MEGABYTE, async function* () {
    yield new Uint8Array(1)
    throw new Error('the disk is gone')
  })
  const [outcome] = await begin(target, 'broken', broken).commit()
  assert.equal(outcome?.failure?.temporary, true)
  const next = begin(target, 'next', inFile(MEGABYTE, zeros)).commit()
  while (arrived.length < 1) await turn()
  arrived[0]?.done()
  assert.equal((await next)[0]?.failure, undefined)
})
