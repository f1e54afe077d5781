// The mail rooms of one generation: mailboxes, queue, and the two ways that mail comes in.

import type { AccountRooms } from '../accounts/rooms.ts'
import { Accounts } from '../accounts/contracts.ts'
import type { Chosen } from '../kernel/config/modules.ts'
import { type Scope, serviceKey } from '../kernel/scope.ts'
import { Store } from '../store/contracts.ts'
import type { MailConfig } from './config.ts'
import { Mailboxes, openMailboxes } from './mailboxes/mailboxes.ts'
import type { MailCheck, MailModifier } from './pipeline/contracts.ts'
import { Pipeline } from './pipeline/pipeline.ts'
import { MailSettings } from './settings.ts'
import { MailboxTarget } from './targets/mailbox.ts'
import { Queue } from './targets/queue/queue.ts'

/** The pipelines that endpoints hand mail to. */
export interface Pipelines {
  /** From other servers. */
  readonly incoming: Pipeline
  /** From our own accounts. */
  readonly outgoing: Pipeline
}

export const Pipelines = serviceKey<Pipelines>('mail-pipelines')

/** Opens the mail rooms until `scope` closes, and provides `Mailboxes`, `MailSettings` and `Pipelines` in it. */
export async function openMail(scope: Scope, config: MailConfig, hostname: string, rooms: AccountRooms): Promise<void> {
  const store = scope.use(Store)
  const accounts = scope.use(Accounts)
  scope.provide(MailSettings, { hostname, maxMessageSize: config['max-message-size'] })
  const { storage, messages, mailboxes: most } = config.quota
  const mailboxes = openMailboxes(scope, store, {
    appendLimit: config['max-message-size'],
    limits: { octets: storage, messages, mailboxes: most },
  })
  scope.provide(Mailboxes, mailboxes)
  scope.defer(rooms.register(mailboxes.room))
  const local = new MailboxTarget(mailboxes)
  const queue = new Queue(scope.child('mail.queue'), store)
  await queue.retryLocal(accounts, local)

  const pipeline = async (name: 'incoming' | 'outgoing'): Promise<Pipeline> => {
    const inner = scope.child(`mail.${name}`)
    const { checks, modifiers } = config[name]
    return new Pipeline(inner, {
      name,
      hostname,
      checks: await createAll<MailCheck, { name: string; check: MailCheck }>(inner, 'checks', checks, (key, check) => ({
        name: key,
        check,
      })),
      modifiers: await createAll<MailModifier, MailModifier>(
        inner,
        'modifiers',
        modifiers,
        (_key, modifier) => modifier,
      ),
      accounts,
      local,
      queue,
    })
  }
  scope.provide(Pipelines, { incoming: await pipeline('incoming'), outgoing: await pipeline('outgoing') })
}

async function createAll<Instance, Made>(
  scope: Scope,
  place: string,
  chosen: readonly Chosen<Instance>[],
  as: (key: string, instance: Instance) => Made,
): Promise<Made[]> {
  const made: Made[] = []
  for (const { key, module, config } of chosen)
    made.push(as(key, await module.create(config, scope.child(`${place}.${key}`))))
  return made
}
