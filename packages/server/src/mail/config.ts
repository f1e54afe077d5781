// The `mail` part of the config: what is looked at and edited on the two ways that mail comes in.

import * as v from 'valibot'
import { moduleMap } from '../kernel/config/modules.ts'
import type { Registry } from '../kernel/module.ts'
import { size } from '../kernel/units.ts'
import { mailChecks, mailModifiers } from './pipeline/contracts.ts'

export const mailConfig = (registry: Registry) =>
  v.strictObject({
    'max-message-size': v.pipe(size('50MiB'), v.description('the largest mail that is taken, by SMTP and by IMAP')),
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
