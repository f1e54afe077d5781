// The `mail` part of the config: what is looked at and edited on the ways that mail comes in, and where it goes.

import * as v from 'valibot'
import { issuePath, moduleMap } from '../kernel/config/modules.ts'
import type { Registry } from '../kernel/module.ts'
import { duration, size } from '../kernel/units.ts'
import { mailChecks, mailModifiers, mailTargets } from './pipeline/contracts.ts'
import { mailLimits } from './pipeline/limits.ts'
import { filterConfig } from './targets/filter.ts'
import { mistakes, routesConfig } from './routes-config.ts'
import { remoteConfig } from './targets/remote/config.ts'
import { queueConfig } from './targets/queue/config.ts'

const count = () => v.pipe(v.number(), v.integer(), v.minValue(0))

/** The schema of one pipeline; `checks` and `modifiers` are on without being named. */
const pipeline = (
  registry: Registry,
  routes: ReturnType<typeof routesConfig>,
  checks: Readonly<Record<string, unknown>>,
  modifiers: Readonly<Record<string, unknown>>,
) =>
  v.strictObject({
    checks: moduleMap(registry, mailChecks, checks),
    modifiers: moduleMap(registry, mailModifiers, modifiers),
    routes,
    limits: v.optional(
      v.pipe(
        mailLimits,
        v.description(
          'how much mail may come: who comes too early waits a little, then is told 451 4.4.5. What is not named is not limited',
        ),
      ),
      {},
    ),
  })

export const mailConfig = (registry: Registry) => {
  const routes = routesConfig(registry)
  const entries = v.strictObject({
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
    stories: v.pipe(
      duration('7d'),
      v.description('how long is remembered what became of each mail (aviso mail explain); 0s: not at all'),
    ),
    filter: v.optional(
      v.pipe(
        filterConfig,
        v.description(
          'a program that is run for each mail that comes to a mailbox, with the mail on its standard input: the first line that it prints is the mailbox (empty, or one that is not there: INBOX), each other line a flag. Quarantined mail goes to Junk without it',
        ),
      ),
    ),
    remote: v.optional(v.pipe(remoteConfig, v.description('how mail goes to other servers (target remote)')), {}),
    queue: v.optional(
      v.pipe(queueConfig, v.description('mail that waits: when it is tried again, and for how long')),
      {},
    ),
    targets: moduleMap(registry, mailTargets),
    incoming: v.optional(
      v.pipe(
        pipeline(
          registry,
          routes,
          { loops: true, 'own-name': true, spf: true, dkim: true, dmarc: true, arc: true },
          { srs: true, arc: true },
        ),
        v.description('mail from other servers (endpoints smtp and lmtp)'),
      ),
      {},
    ),
    outgoing: v.optional(
      v.pipe(
        pipeline(registry, routes, { 'authorised-sender': true, loops: true }, { complete: true, dkim: true }),
        v.description('mail from our own accounts (endpoint submission)'),
      ),
      {},
    ),
    local: v.optional(
      v.pipe(
        // A notification of mail that was sent on goes back the way of its rewritten reverse-path.
        pipeline(registry, routes, { loops: true }, { srs: true, complete: true, dkim: true }),
        v.description('mail that the server itself writes, such as notifications that a mail could not be delivered'),
      ),
      {},
    ),
    pipelines: v.optional(
      v.pipe(
        v.record(
          v.pipe(v.string(), v.regex(/^[a-z0-9-]{1,32}$/, 'expected a name of a-z, 0-9 and -')),
          pipeline(registry, routes, {}, {}),
        ),
        v.description(
          'further pipelines by name; a route sends mail into one with deliver: [pipeline/name], and it sees the addresses as rewritten so far',
        ),
      ),
      {},
    ),
  })
  return v.pipe(
    entries,
    v.rawCheck(({ dataset, addIssue }) => {
      if (!dataset.typed) return
      const { targets, incoming, outgoing, local, pipelines } = dataset.value
      const inner = Object.entries(pipelines)
      const known = [
        'accounts',
        'mailbox',
        'remote',
        ...targets.map(({ key }) => key),
        ...inner.map(([name]) => `pipeline/${name}`),
      ]
      const ways = [
        ...Object.entries({ incoming, outgoing, local }).map(([name, way]) => [[name], way] as const),
        ...inner.map(([name, way]) => [['pipelines', name], way] as const),
      ]
      for (const [place, way] of ways)
        for (const { path, message } of mistakes(way.routes, known))
          addIssue({ message, path: issuePath(dataset.value, { path: [...place, 'routes', ...path] }) })
    }),
  )
}

export type MailConfig = v.InferOutput<ReturnType<typeof mailConfig>>
