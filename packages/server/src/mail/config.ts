// The `mail` part of the config: what is looked at and edited on the two ways that mail comes in.

import * as v from 'valibot'
import { moduleMap } from '../kernel/config/modules.ts'
import type { Registry } from '../kernel/module.ts'
import { size } from '../kernel/units.ts'
import { mailChecks, mailModifiers } from './pipeline/contracts.ts'

const count = () => v.pipe(v.number(), v.integer(), v.minValue(0))

export const mailConfig = (registry: Registry) =>
  v.strictObject({
    'max-message-size': v.pipe(size('50MiB'), v.description('the largest mail that is taken, by SMTP and by IMAP')),
    quota: v.optional(
      v.pipe(
        v.strictObject({
          storage: v.optional(v.pipe(size(), v.description('octets of all messages of an account'))),
          messages: v.optional(v.pipe(count(), v.description('messages of an account, in all mailboxes'))),
          mailboxes: v.optional(v.pipe(count(), v.description('mailboxes of an account'))),
        }),
        v.description(
          'limits of accounts that have none of their own (aviso account quota); without them there are none',
        ),
      ),
      {},
    ),
    incoming: v.optional(
      v.pipe(
        v.strictObject({
          checks: moduleMap(registry, mailChecks, { loops: true, 'own-name': true }),
          modifiers: moduleMap(registry, mailModifiers, { 'own-results': true }),
        }),
        v.description('mail from other servers (endpoint smtp)'),
      ),
      {},
    ),
    outgoing: v.optional(
      v.pipe(
        v.strictObject({
          checks: moduleMap(registry, mailChecks, { 'authorised-sender': true, loops: true }),
          modifiers: moduleMap(registry, mailModifiers, { complete: true, 'own-results': true }),
        }),
        v.description('mail from our own accounts (endpoint submission)'),
      ),
      {},
    ),
  })

export type MailConfig = v.InferOutput<ReturnType<typeof mailConfig>>
